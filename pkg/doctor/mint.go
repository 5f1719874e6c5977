// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/rights"
	"clusterpass.dev/pkg/waiting"
)

const (
	// mintTimeout bounds the check for all clusters: a revocation takes the 11 s until members have
	// forgotten the token, and some more.
	mintTimeout = 3 * time.Minute
	// revocationTimeout bounds how long one revocation is waited for.
	revocationTimeout = time.Minute
	revocationPoll    = 500 * time.Millisecond
	// deleteTimeout bounds the deletion of a grant, which is tried even if the caller gave up.
	deleteTimeout = 15 * time.Second
)

// checkMint asks for tokens without any role, throws them away and has their grants revoked. It is
// the one check that changes anything, and runs for the clusters that were named for it alone.
func checkMint(ctx context.Context, e *examination, f *findings) {
	if len(e.Mint) == 0 {
		f.skip("", "not requested: --mint CLUSTER requests a token and revokes it")
	}
	for _, cluster := range e.Mint {
		e.mintOne(ctx, f, cluster)
	}
}

func (e *examination) mintOne(ctx context.Context, f *findings, cluster types.NamespacedName) {
	about := kindProfile + " " + cluster.String()
	// What cannot be revoked again is not made.
	if err := e.mayRevoke(ctx, cluster.Namespace); err != nil {
		f.skip(about, "%v", err)
		return
	}
	profile, err := e.Profiles.ApisV1alpha1().ClusterProfiles(cluster.Namespace).Get(ctx, cluster.Name, metav1.GetOptions{})
	if f.unknown(about, err) {
		return
	}
	request := e.throwaway(profile)
	// Known beforehand, so that it is found even if no answer comes.
	grantName := types.NamespacedName{Namespace: cluster.Namespace,
		Name: grant.New(cluster.Namespace, request.Spec, profile.UID, clusterpassv1alpha1.Requester{}).Name}
	defer e.revoke(ctx, f, about, grantName)
	e.mintFor(ctx, f, about, request)
}

// mintFor has a request answered, drops the token and reports what came of it.
func (e *examination) mintFor(ctx context.Context, f *findings, about string, request *multiclusterv1alpha1.AuthTokenRequest) {
	target := request.Spec.TargetClusterProfile
	answer := &multiclusterv1alpha1.AuthTokenRequest{}
	started := e.now()
	// The form that every hub has, whoever serves its ClusterProfiles.
	err := e.Clusterpass.ClusterpassV1alpha1().RESTClient().Post().Namespace(target.Namespace).Resource("authtokenrequests").
		Body(request).Do(ctx).Into(answer)
	// A member's own 403 is not told as one: this is about the caller.
	if apierrors.IsForbidden(err) {
		f.unknown(about, err)
		return
	}
	if err != nil {
		f.fail(about, fmt.Sprintf("Look the message up in docs/troubleshooting.md (Error messages): kubectl -n %s describe clusterprofile %s",
			target.Namespace, target.Name),
			"no token: %v", err)
		return
	}
	answered := e.now()
	f.ok(about, "got a token in %s", answered.Sub(started).Round(time.Millisecond))
	f.memberClock(about, answer.Status.Token, started, answered)
}

// mayRevoke returns nil if the caller may delete grants in namespace.
func (e *examination) mayRevoke(ctx context.Context, namespace string) error {
	resource := clusterpassv1alpha1.Resource("authtokengrants")
	missing, err := rights.Missing(ctx, e.Kubernetes,
		authorizationv1.ResourceAttributes{Namespace: namespace, Group: resource.Group, Resource: resource.Resource}, "delete")
	if err != nil {
		return fmt.Errorf("cannot tell whether you may delete a grant: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("no token was requested, because you could not revoke it: you lack delete on %s in namespace %s", resource, namespace)
	}
	return nil
}

// throwaway asks for a token of a new ServiceAccount without roles, for as short as can be.
func (e *examination) throwaway(target *inventoryv1alpha1.ClusterProfile) *multiclusterv1alpha1.AuthTokenRequest {
	return &multiclusterv1alpha1.AuthTokenRequest{
		// What a refusal calls the request.
		ObjectMeta: metav1.ObjectMeta{Name: target.Name},
		Spec: multiclusterv1alpha1.AuthTokenRequestSpec{
			TargetClusterProfile:    multiclusterv1alpha1.ClusterProfileReference{Namespace: target.Namespace, Name: target.Name, UID: target.UID},
			ServiceAccountNamespace: e.MintNamespace,
			ServiceAccountName:      "clusterpass-doctor-" + utilrand.String(8),
			ExpirationSeconds:       ptr.To(multiclusterv1alpha1.MinExpirationSeconds),
		},
	}
}

// memberClock compares when the member says that it issued a token with the hub's clock meanwhile.
func (f *findings) memberClock(about, token string, before, after time.Time) {
	issued := member.TokenValidity(token).NotBefore
	if issued.IsZero() {
		return // not a token that says when it was issued
	}
	f.clock(about, "Correct the member's clock", newSkew(issued, before, after), "the member's clock %s the hub's", "")
}

// revoke deletes the grant, if there is one, whatever has become of the caller, and waits until it
// is gone.
func (e *examination) revoke(ctx context.Context, f *findings, about string, name types.NamespacedName) {
	mend := fmt.Sprintf("See why, and delete it if it is still there: kubectl -n %s delete authtokengrant %s", name.Namespace, name.Name)
	grants := e.Clusterpass.ClusterpassV1alpha1().AuthTokenGrants(name.Namespace)
	deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
	defer cancel()
	err := grants.Delete(deleting, name.Name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return
	}
	if err != nil {
		f.fail(about, mend, "grant %s may be left: %v", name, err)
		return
	}
	started := e.Clock.Now()
	err = waiting.Until(ctx, revocationPoll, revocationTimeout, func(ctx context.Context) (bool, error) {
		_, err := grants.Get(ctx, name.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
	took := e.Clock.Since(started).Round(time.Second)
	switch {
	case wait.Interrupted(err):
		f.fail(about, mend, "grant %s was deleted but was not revoked within %s", name, took)
	case err != nil:
		f.fail(about, mend, "grant %s was deleted; cannot tell whether it was revoked: %v", name, err)
	default:
		f.ok(about, "its grant was revoked in %s", took)
	}
}
