// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rotation is the controller that renews clusterpass's own credentials for member clusters:
// the tokens in the hub's Secrets. When 75 to 80 % of a token's lifetime are over, it uses the
// token to request a successor from the member, tests that, and writes it into the Secret. It does
// not revoke the old token, which other processes may use until it expires.
//
// It renews only tokens that are bound to the Secret member.CredentialSecret. It does not change
// other tokens, tokens without an end, and client certificates.
package rotation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/metric"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/words"
)

const (
	// recheck is how often a credential is checked, because another user may have replaced it. A check
	// makes no call.
	recheck = 30 * time.Second
	// minBackoff is the minimum delay before a retry after a failure. The maximum is recheck.
	minBackoff = time.Second
)

// Options configure a Controller. Every field is required.
type Options struct {
	// Hub reads and writes the Secrets of the namespaces that Access names.
	Hub kubernetes.Interface
	// Access says where kubeconfigs are. Secrets caches them.
	Access  *configv1alpha1.AccessConfiguration
	Secrets member.Secrets
	// Profiles watches ClusterProfiles.
	Profiles inventoryinformers.ClusterProfileInformer
	// Members has the clients for the member clusters.
	Members member.Members
	// Recorder records events about renewals on the ClusterProfile.
	Recorder events.EventRecorder
	// Lifetime is the requested lifetime of tokens. A member may issue shorter ones.
	Lifetime time.Duration
	// Workers is how many credentials are renewed in parallel.
	Workers int
	// Clock is the clock.
	Clock clock.WithTicker
}

// Controller renews credentials. Use New.
type Controller struct {
	Options
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
	synced cache.InformerSynced
}

// New returns a Controller with a handler at its informer, which the caller starts.
func New(o Options) (*Controller, error) {
	registerMetrics()
	c := &Controller{
		Options: o,
		queue:   loop.NewQueue[cache.ObjectName]("rotation", o.Clock, minBackoff, recheck),
	}
	var err error
	c.synced, err = loop.AddHandler("ClusterProfiles", o.Profiles.Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc: loop.Typed(func(profile *inventoryv1alpha1.ClusterProfile) { c.queue.Add(cache.MetaObjectToName(profile)) }),
	})
	return c, err
}

// Run renews credentials until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	if ctx, synced := loop.Begin(member.Quiet(ctx), "rotation", c.synced); synced {
		loop.Run(ctx, c.queue, c.Workers, "cluster", c.reconcile)
	}
}

// reconcile renews the credential for one member if that is due. It returns after how long to
// reconcile it again.
func (c *Controller) reconcile(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	profile, err := c.Profiles.Lister().ClusterProfiles(name.Namespace).Get(name.Name)
	if err != nil {
		return 0, nil //nolint:nilerr // it was deleted
	}
	again, err := c.sync(ctx, profile)
	if err != nil && ctx.Err() == nil {
		c.failed(ctx, profile, err)
	}
	return again, err
}

// sync renews the credential for the cluster of profile if that is due. It returns after how long
// to check again.
func (c *Controller) sync(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (time.Duration, error) {
	own := c.credential(profile)
	if own == nil {
		return recheck, nil
	}
	now := c.Clock.Now()
	if left := own.due(profile.UID).Sub(now); left > 0 {
		return min(left, recheck), nil
	}
	// Try even if the credential has expired by our clock: the member's clock counts.
	renewed, err := c.renew(ctx, profile, own)
	if apierrors.HasStatusCause(err, member.CauseUnauthorized) {
		if c.isReplaced(ctx, own) {
			return minBackoff, nil
		}
		return 0, &endedError{end: own.NotAfter, mend: member.MendCredential(profile)}
	}
	if err != nil {
		return 0, err
	}
	if renewed != nil {
		c.succeeded(ctx, profile, renewed)
	}
	return recheck, nil
}

// credential returns the credential for the cluster of profile, or nil if it is not one to renew.
func (c *Controller) credential(profile *inventoryv1alpha1.ClusterProfile) *credential {
	reference, ok := member.SecretFor(c.Access, c.Secrets, profile)
	if !ok {
		return nil
	}
	secret, err := c.Secrets.Get(reference.Namespace, reference.Name)
	if err != nil || member.CheckSecret(secret, profile) != nil {
		// The condition ControlPlaneHealthy says why there is no access.
		return nil
	}
	return newCredential(reference, member.KubeconfigToken(secret.Data[reference.Key], reference.Context))
}

// isReplaced returns whether the stored Secret has another token than own, for example because
// somebody has just joined the member again.
func (c *Controller) isReplaced(ctx context.Context, own *credential) bool {
	of := own.reference
	secret, err := c.Hub.CoreV1().Secrets(of.Namespace).Get(ctx, of.Name, metav1.GetOptions{})
	return err == nil && member.KubeconfigToken(secret.Data[of.Key], of.Context) != own.token
}

func (c *Controller) succeeded(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, renewed *credential) {
	renewals.WithLabelValues("Renewed").Inc()
	until := renewed.NotAfter.UTC().Format(time.RFC3339)
	klog.FromContext(ctx).Info("Renewed the credential for a member", "notAfter", until)
	c.Recorder.Eventf(profile, nil, corev1.EventTypeNormal, "CredentialRenewed", "Renew",
		"The hub's credential for the member is now valid until %s", until)
}

func (c *Controller) failed(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, err error) {
	renewals.WithLabelValues("Failed").Inc()
	klog.FromContext(ctx).V(2).Info("The credential for a member is not renewed", "reason", err)
	reason := "CredentialNotRenewed"
	if _, ended := errors.AsType[*endedError](err); ended {
		// Events with the same reason are counted as one, which keeps only the first message.
		reason = "CredentialRefused"
	}
	c.Recorder.Eventf(profile, nil, corev1.EventTypeWarning, reason, "Renew",
		"The hub's credential for the member is not renewed: %s", words.Message(err.Error()))
}

// endedError says that the member no longer accepts a credential.
type endedError struct {
	end  time.Time
	mend string
}

// Error implements error.
func (e *endedError) Error() string {
	return fmt.Sprintf("the member does not accept it; it says that it ends at %s. %s", e.end.UTC().Format(time.RFC3339), e.mend)
}

var renewals = metric.CounterVec("member_credential_renewals_total",
	"Renewals of the hub's own credentials for member clusters, by result: Renewed, or Failed for each failed attempt.", "result")

// registerMetrics registers the metrics of this controller with the legacy registry.
var registerMetrics = sync.OnceFunc(func() {
	legacyregistry.MustRegister(renewals)
	metric.Start(renewals, "Renewed", "Failed")
})
