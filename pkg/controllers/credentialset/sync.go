// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/gone"
	"clusterpass.dev/pkg/credentialset/format"
	"clusterpass.dev/pkg/member"
)

// syncCredential reconciles one credential: it makes or renews it if that is due. It returns after
// how long to do so again.
func (c *Controller) syncCredential(ctx context.Context, key credentialKey) (time.Duration, error) {
	set, err := c.sets.ClusterCredentialSets(key.set.Namespace).Get(key.set.Name)
	if err != nil || set.DeletionTimestamp != nil {
		return 0, nil //nolint:nilerr // What is gone has no credentials.
	}
	profile, err := c.selectedOne(ctx, set, key.cluster)
	if err != nil {
		return 0, err
	}
	if profile == nil {
		c.dropState(set, key.cluster)
		return 0, nil
	}
	want := &wanted{set: set, profile: profile}
	secret, err := c.secrets.get(set, key.cluster)
	if err != nil {
		return 0, err
	}
	if c.isBehind(key, secret) {
		return writePoll, nil
	}
	due, what, why := want.due(secret, func(name string) bool { return c.hasGrant(set, name) })
	if left := due.Sub(c.Clock.Now()); left > 0 {
		c.setState(want, ready(secret, set, due))
		return left, nil
	}
	if why == whyRevoked {
		if stored, err := c.hasStoredGrant(ctx, set, secret.Annotations[annotationGrant]); stored || err != nil {
			return 0, cmp.Or(err, errBehind)
		}
	}
	if left := c.pause(key, what); left > 0 {
		return left, nil
	}
	made, result, err := c.renew(ctx, want, what)
	if isBehindServer(err) {
		return 0, errBehind
	}
	if err != nil {
		c.setState(want, c.failed(secret, want, err))
		c.recordFailure(want, err)
		if isRefused(err) {
			again := c.refusals.When(key)
			klog.FromContext(ctx).V(2).Info("Refused; trying again", "after", again, "reason", err)
			return again, nil
		}
		return 0, err
	}
	c.refusals.Forget(key)
	c.wrote(key, made)
	c.setState(want, ready(made, set, time.Time{}))
	renewals.WithLabelValues(result).Inc()
	klog.FromContext(ctx).V(2).Info("Wrote a credential", "result", result, "why", why,
		"secret", klog.KObj(made), "expires", made.Annotations[annotationExpires])
	// The event of the write enqueues it again.
	return 0, nil
}

// isRefused returns whether only a change of rights or policies, on the hub or the member, or of
// the set, can help.
func isRefused(err error) bool {
	if apierrors.HasStatusCause(err, member.CauseForbidden) || apierrors.HasStatusCause(err, member.CausePolicy) {
		return true
	}
	_, waits := apierrors.SuggestsClientDelay(err)
	return !waits && (apierrors.IsForbidden(err) || apierrors.IsInvalid(err))
}

// errBehind says that the cache lacks what is stored. The credential is tried again, with backoff.
var errBehind = errors.New("the cache is behind what is stored")

// written is a write of a Secret that the cache may lack.
type written struct {
	uid     types.UID
	version string
	at      time.Time
	// seen says that the cache has it.
	seen bool
}

func (c *Controller) wrote(key credentialKey, secret *corev1.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes[key] = written{uid: secret.UID, version: secret.ResourceVersion, at: c.Clock.Now()}
}

// isBehind returns whether secret, of the cache, is older than the last write: to use it would mint
// twice.
func (c *Controller) isBehind(key credentialKey, secret *corev1.Secret) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.writes[key]
	if !ok || last.seen {
		return false
	}
	if secret != nil {
		order, err := resourceversion.CompareResourceVersion(secret.ResourceVersion, last.version)
		last.seen = secret.UID != last.uid || err != nil || order >= 0
	}
	if c.Clock.Since(last.at) > writeLag {
		last.seen = true
	}
	c.writes[key] = last
	return !last.seen
}

// pause returns how long a repair waits: another controller may fight for the same field.
func (c *Controller) pause(key credentialKey, what action) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, ok := c.writes[key]
	if !ok || what != repair {
		return 0
	}
	return last.at.Add(repairPause).Sub(c.Clock.Now())
}

// hasGrant returns whether a grant of the set exists, and is not being revoked.
func (c *Controller) hasGrant(set *v1alpha1.ClusterCredentialSet, name string) bool {
	g, err := c.grants.AuthTokenGrants(set.Namespace).Get(name)
	return err == nil && g.DeletionTimestamp == nil
}

// hasStoredGrant is hasGrant without the cache: a grant that the cache lacks is no reason for
// another token.
func (c *Controller) hasStoredGrant(ctx context.Context, set *v1alpha1.ClusterCredentialSet, name string) (bool, error) {
	g, err := c.Client.ClusterpassV1alpha1().AuthTokenGrants(set.Namespace).Get(ctx, name, metav1.GetOptions{})
	if gone.Is(err, v1alpha1.Resource("authtokengrants"), name) {
		return false, nil
	}
	return err == nil && g.DeletionTimestamp == nil, err
}

// isBehindServer returns whether err says that the server has a newer set than the cache. That is
// not a failure: the cache is about to have it.
func isBehindServer(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsConflict(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Group == v1alpha1.GroupName && details.Kind == "clustercredentialsets"
}

// renew writes a credential into the Secret, by one write and with a new token. A repair keeps the
// token of the Secret, if that is still there.
//
// If a Secret of that name is not the set's, a dry run first has the server review whether the
// author may write it. An author who may not gets that refusal, and cannot tell that the Secret
// exists.
func (c *Controller) renew(ctx context.Context, want *wanted, what action) (made *corev1.Secret, result string, err error) {
	current, err := c.current(ctx, want)
	if apierrors.IsConflict(err) {
		if _, refused := c.ask(ctx, want, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); refused != nil {
			return nil, "", refused
		}
	}
	if err != nil {
		return nil, "", err
	}
	var has kept
	if what == repair {
		has = c.kept(current)
	}
	if has.token != "" {
		made, err = c.rewrite(ctx, want, current, has)
		return made, resultRepaired, err
	}
	asked := c.Clock.Now()
	answer, err := c.ask(ctx, want, metav1.CreateOptions{})
	if err != nil {
		return nil, "", err
	}
	made, err = c.store(ctx, want, current, answer, asked)
	return made, resultRenewed, err
}

// ask requests a token.
func (c *Controller) ask(ctx context.Context, want *wanted, options metav1.CreateOptions) (*multiclusterv1alpha1.AuthTokenRequest, error) {
	set := want.set
	return c.Client.ClusterpassV1alpha1().ClusterCredentialSets(set.Namespace).CreateToken(ctx, set.Name,
		&multiclusterv1alpha1.AuthTokenRequest{
			// A set may have been created again under its name, with its Secrets elsewhere.
			ObjectMeta: metav1.ObjectMeta{UID: set.UID, Generation: set.Generation},
			Spec: multiclusterv1alpha1.AuthTokenRequestSpec{
				TargetClusterProfile: multiclusterv1alpha1.ClusterProfileReference{Name: want.profile.Name, UID: want.profile.UID},
			},
		}, options)
}

// current returns the Secret without the cache, nil if there is none. One that is not the set's is
// an error.
func (c *Controller) current(ctx context.Context, want *wanted) (*corev1.Secret, error) {
	name := want.name()
	secret, err := c.Hub.CoreV1().Secrets(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // that it is not there is an answer
	case err != nil:
		return nil, err
	case !isOf(secret, want.set.UID):
		return nil, refused(name, "is not this set's, and is left alone: it has no label %s=%s. "+
			"Delete it, or choose another spec.secret.name in another set", v1alpha1.LabelCredentialSetUID, want.set.UID)
	case ptr.Deref(secret.Immutable, false):
		return nil, refused(name, "is immutable: delete it, and it is created again")
	}
	return secret, nil
}

func refused(name types.NamespacedName, format string, args ...any) error {
	return apierrors.NewConflict(corev1.Resource("secrets"), name.Name,
		fmt.Errorf("the Secret in namespace %s "+format, append([]any{name.Namespace}, args...)...))
}

// secret returns the Secret for an answer whose token was issued at a time.
func (w *wanted) secret(answer *multiclusterv1alpha1.AuthTokenRequest, issued time.Time) (*corev1.Secret, error) {
	if answer.Status.ExpirationTimestamp == nil {
		return nil, errors.New("the answer does not say when the token expires")
	}
	rendered, err := format.Render(w.set.Spec.Secret.Format, format.Credential{
		Cluster: w.profile.Name, Namespace: answer.Spec.ServiceAccountNamespace, Status: answer.Status, ArgoCD: w.argoCD(),
	})
	if err != nil {
		return nil, err
	}
	name := w.name()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, Labels: map[string]string{}, Annotations: map[string]string{}},
		Type:       rendered.Type,
		Data:       rendered.Data,
	}
	// The keys that the consumer reads win over what the set says.
	maps.Copy(secret.Labels, w.set.Spec.Secret.Labels)
	maps.Copy(secret.Labels, rendered.Labels)
	secret.Labels[v1alpha1.LabelCredentialSetUID] = string(w.set.UID)
	maps.Copy(secret.Annotations, w.set.Spec.Secret.Annotations)
	maps.Copy(secret.Annotations, w.annotations(&answer.Status, issued, rendered.Data))
	return secret, note(secret)
}
