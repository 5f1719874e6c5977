// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gopkg.in/go-jose/go-jose.v2/jwt"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

const (
	// mintTimeout bounds the check for all clusters: a revocation takes the 11 s until members have forgotten the
	// token, and some more.
	mintTimeout = 3 * time.Minute
	// revocationTimeout bounds how long one revocation is waited for.
	revocationTimeout = time.Minute
	revocationPoll    = 500 * time.Millisecond
	// deleteTimeout bounds the deletion of a grant, which is tried even if the caller gave up.
	deleteTimeout = 15 * time.Second
)

// checkMint asks for tokens without any role, throws them away and has their grants revoked. It is the one check that
// changes anything, and runs for the clusters that were named for it alone.
func checkMint(ctx context.Context, e *examination) findings {
	var f findings
	if len(e.Mint) == 0 {
		f.skip("", "not asked for: --mint CLUSTER has a token made and revoked")
		return f
	}
	for _, cluster := range e.Mint {
		e.mintOne(ctx, &f, cluster)
	}
	return f
}

func (e *examination) mintOne(ctx context.Context, f *findings, cluster types.NamespacedName) {
	about := "ClusterProfile " + cluster.String()
	// What can't be revoked again is not made.
	if err := e.mayRevoke(ctx, cluster.Namespace); err != nil {
		f.skip(about, "%v", err)
		return
	}
	started := e.Clock.Now()
	answer := &multiclusterv1alpha1.AuthTokenRequest{}
	// The form that every hub has, whoever serves its ClusterProfiles.
	if err := e.Clusterpass.ClusterpassV1alpha1().RESTClient().Post().Namespace(cluster.Namespace).Resource("authtokenrequests").
		Body(e.throwaway(cluster)).Do(ctx).Into(answer); err != nil {
		f.fail(about, "Look its words up in the README (When something is refused): kubectl -n "+cluster.Namespace+" describe clusterprofile "+cluster.Name,
			"no token: %v", err)
		return
	}
	took := e.Clock.Since(started)
	defer e.revoke(ctx, f, about, types.NamespacedName{Namespace: cluster.Namespace, Name: answer.Status.GrantName})
	f.ok(about, "a token in %s", took.Round(time.Millisecond))
	f.memberClock(about, answer.Status.Token, e.now().Add(-took), e.now())
}

// mayRevoke returns nil if the caller may delete grants in namespace.
func (e *examination) mayRevoke(ctx context.Context, namespace string) error {
	resource := clusterpassv1alpha1.Resource("authtokengrants")
	review, err := e.Kubernetes.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verbDelete, Group: resource.Group, Resource: resource.Resource,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("whether you may delete a grant is not known: %w", err)
	}
	if !review.Status.Allowed {
		return fmt.Errorf("no token is made that you could not revoke: you lack delete on %s in namespace %s", resource, namespace)
	}
	return nil
}

// throwaway asks for a token of a new ServiceAccount without roles, for as short as can be.
func (e *examination) throwaway(cluster types.NamespacedName) *multiclusterv1alpha1.AuthTokenRequest {
	return &multiclusterv1alpha1.AuthTokenRequest{Spec: multiclusterv1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    multiclusterv1alpha1.ClusterProfileReference{Namespace: cluster.Namespace, Name: cluster.Name},
		ServiceAccountNamespace: e.MintNamespace,
		ServiceAccountName:      "clusterpass-doctor-" + utilrand.String(8),
		ExpirationSeconds:       ptr.To(multiclusterv1alpha1.MinExpirationSeconds),
	}}
}

// memberClock compares when the member says that it issued a token with the hub's clock meanwhile.
func (f *findings) memberClock(about, token string, before, after time.Time) {
	const mend = "Set the member's clock, and keep it by NTP: timedatectl timesync-status"
	parsed, err := jwt.ParseSigned(token)
	if err != nil {
		return // not a token that says when it was issued
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil || claims.IssuedAt == nil {
		return
	}
	measured := newSkew(claims.IssuedAt.Time(), before, after)
	switch {
	case measured.exceeds(grossSkew):
		f.fail(about, mend, "the member's clock is %s the hub's", measured)
	case measured.exceeds(slightSkew):
		f.warn(about, mend, "the member's clock is %s the hub's", measured)
	default:
		f.ok(about, "the member's clock is %s the hub's", measured)
	}
}

// revoke deletes the grant, whatever has become of the caller, and waits until it is gone.
func (e *examination) revoke(ctx context.Context, f *findings, about string, grant types.NamespacedName) {
	mend := fmt.Sprintf("See why, and delete it if it is still there: kubectl -n %s delete authtokengrant %s", grant.Namespace, grant.Name)
	grants := e.Clusterpass.ClusterpassV1alpha1().AuthTokenGrants(grant.Namespace)
	deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	if err := grants.Delete(deleting, grant.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		f.fail(about, mend, "grant %s is left: %v", grant, err)
		return
	}
	started := e.Clock.Now()
	err := wait.PollUntilContextTimeout(ctx, revocationPoll, revocationTimeout, true, func(ctx context.Context) (bool, error) {
		_, err := grants.Get(ctx, grant.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
	switch {
	case wait.Interrupted(err) || errors.Is(err, context.Canceled):
		f.fail(about, mend, "grant %s was deleted and is not revoked after %s", grant, e.Clock.Since(started).Round(time.Second))
	case err != nil:
		f.fail(about, mend, "grant %s was deleted; whether it is revoked is not known: %v", grant, err)
	default:
		f.ok(about, "its grant was revoked in %s", e.Clock.Since(started).Round(time.Second))
	}
}
