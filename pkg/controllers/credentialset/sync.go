// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"cmp"
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/gone"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/words"
)

// errBehind says that the cache lacks what is stored. The credential is tried again, with backoff.
var errBehind = errors.New("the cache is behind what is stored")

// syncCredential reconciles one credential: it writes it if that is due. It returns after how long
// to do so again.
func (c *Controller) syncCredential(ctx context.Context, key credentialKey) (time.Duration, error) {
	set, err := c.sets.ClusterCredentialSets(key.set.Namespace).Get(key.set.Name)
	if err != nil || set.DeletionTimestamp != nil {
		return 0, nil //nolint:nilerr // What is gone has no credentials.
	}
	profile, err := c.selectCluster(ctx, set, key.cluster)
	if err != nil {
		return 0, err
	}
	if profile == nil {
		c.dropState(set, key.cluster)
		return 0, nil
	}
	want := &wanted{set: set, profile: profile, access: c.Members.AccessProviders(profile)}
	secret, err := c.cachedSecret(set, key.cluster)
	if err != nil {
		return 0, err
	}
	if c.isBehind(want, secret) {
		return writePoll, nil
	}
	due, what, why := want.due(secret, func(name string) bool { return c.hasGrant(set, name) })
	if wait := due.Sub(c.Clock.Now()); wait > 0 {
		c.setState(want, ready(secret, set, due))
		return wait, nil
	}
	if what == replace {
		if stored, err := c.hasStoredGrant(ctx, set, secret.Annotations[annotationGrant]); stored || err != nil {
			return 0, cmp.Or(err, errBehind)
		}
	}
	if wait := c.pause(want, what); wait > 0 {
		return wait, nil
	}
	made, result, err := c.write(ctx, want, what)
	if err != nil {
		return c.retryAfter(ctx, key, want, secret, err)
	}
	c.refusals.Forget(key)
	c.wrote(want, made)
	c.setState(want, ready(made, set, time.Time{}))
	renewals.WithLabelValues(result).Inc()
	klog.FromContext(ctx).V(2).Info("Wrote a credential", "result", result, "why", why,
		"secret", klog.KObj(made), "expires", made.Annotations[annotationExpires])
	// The event of the write enqueues it again.
	return 0, nil
}

// retryAfter records why a credential could not be written, and returns after how long to try
// again, or the error for the usual backoff. secret is as of the cache.
func (c *Controller) retryAfter(
	ctx context.Context, key credentialKey, want *wanted, secret *corev1.Secret, err error,
) (time.Duration, error) {
	if isBehindServer(err) {
		return 0, errBehind
	}
	c.setState(want, c.failed(secret, want, err))
	renewals.WithLabelValues(resultFailed).Inc()
	c.Recorder.Eventf(want.set, nil, corev1.EventTypeWarning, "CredentialNotIssued", "Issue", "%s",
		words.Message(want.profile.Name+": "+err.Error()))
	if !isRefused(err) {
		return 0, err
	}
	again := c.refusals.When(key)
	klog.FromContext(ctx).V(2).Info("Refused; trying again", "after", again, "reason", err)
	return again, nil
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

// write writes a credential into its Secret, by one write and with a new token. A repair keeps the
// token of the Secret, if that is still there: the server says by a dry run, which mints nothing,
// how the cluster is reached, and whether the author may still have the token.
//
// If a Secret of that name is not the set's, a dry run first has the server review whether the
// author may write it. An author without that right gets the same refusal whether the Secret exists
// or not.
func (c *Controller) write(ctx context.Context, want *wanted, what action) (made *corev1.Secret, result string, err error) {
	dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	current, err := c.storedSecret(ctx, want)
	if apierrors.IsConflict(err) {
		if _, refused := c.requestToken(ctx, want, dryRun); refused != nil {
			return nil, "", refused
		}
	}
	if err != nil {
		return nil, "", err
	}
	if what == repair {
		if kept := c.writtenToken(current); kept.value != "" {
			answer, err := c.requestToken(ctx, want, dryRun)
			if err != nil {
				return nil, "", err
			}
			answer.Status.Token, answer.Status.ExpirationTimestamp = kept.value, &metav1.Time{Time: kept.expires}
			answer.Status.GrantName = cmp.Or(answer.Status.GrantName, current.Annotations[annotationGrant])
			made, err = c.store(ctx, want, current, answer, kept.issued)
			return made, resultRepaired, err
		}
	}
	requested := c.Clock.Now()
	answer, err := c.requestToken(ctx, want, metav1.CreateOptions{})
	if err != nil {
		return nil, "", err
	}
	made, err = c.store(ctx, want, current, answer, requested)
	return made, resultIssued, err
}

// requestToken requests a token from the server, which decides as if the set's author asked.
func (c *Controller) requestToken(
	ctx context.Context, want *wanted, options metav1.CreateOptions,
) (*multiclusterv1alpha1.AuthTokenRequest, error) {
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
