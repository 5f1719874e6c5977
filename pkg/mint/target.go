// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/member"
)

// confirmTimeout bounds a read of the hub that confirms an answer.
const confirmTimeout = 5 * time.Second

// target is the cluster that a token is for.
type target struct {
	profile types.UID
	client  *member.Client
	// joined is the UID of the member that the ClusterProfile was joined with, where it says so.
	joined types.UID
}

func newTarget(profile *inventoryv1alpha1.ClusterProfile, client *member.Client) *target {
	return &target{profile: profile.UID, client: client, joined: types.UID(profile.Annotations[member.MemberUIDAnnotation])}
}

// cachedTarget returns the target that a request names, by what is known of it without a call. Its
// error is no refusal yet: the caches may be behind. Two targets are equal only if the pool gave
// the same client for both, which it does for the same access.
func (m *Minter) cachedTarget(ctx context.Context, of v1alpha1.ClusterProfileReference) (*target, error) {
	profile, err := m.Profiles.Cached(ctx, of.Namespace, of.Name)
	if err != nil {
		return nil, err
	}
	if err := checkProfile(of, profile); err != nil {
		return nil, err
	}
	if err := checkNotLeaving(of.Name, m.Members.CachedLeaving(profile)); err != nil {
		return nil, err
	}
	client, err := m.Members.Cached(ctx, profile)
	if err != nil {
		return nil, err
	}
	return newTarget(profile, client), nil
}

// storedTarget is cachedTarget by what is stored. It is for requests that have passed all reviews:
// nobody else has the hub read anything.
func (m *Minter) storedTarget(ctx context.Context, of v1alpha1.ClusterProfileReference) (*target, error) {
	profile, err := m.Profiles.Stored(ctx, of.Namespace, of.Name)
	if err != nil {
		return nil, err
	}
	if err := checkProfile(of, profile); err != nil {
		return nil, err
	}
	client, leaving, err := m.Members.StoredWithLeaving(ctx, profile)
	if err != nil {
		return nil, err
	}
	if err := checkNotLeaving(of.Name, leaving); err != nil {
		return nil, err
	}
	return newTarget(profile, client), nil
}

// checkProfile returns 409 where profile is another one than the reference says, or is about to go.
func checkProfile(of v1alpha1.ClusterProfileReference, profile *inventoryv1alpha1.ClusterProfile) error {
	if of.UID != "" && of.UID != profile.UID {
		return apierrors.NewConflict(clusterProfiles, of.Name,
			fmt.Errorf("the UID in spec.targetClusterProfile is %s and the ClusterProfile's is %s: the cluster has been replaced",
				of.UID, profile.UID))
	}
	if profile.DeletionTimestamp != nil {
		return apierrors.NewConflict(clusterProfiles, of.Name, errors.New("the ClusterProfile is being deleted"))
	}
	return nil
}

// checkNotLeaving refuses a token for a member that is being removed from the hub: it would have to
// be ended at once.
func checkNotLeaving(name string, leaving *member.Leaving) error {
	if leaving == nil {
		return nil
	}
	err := apierrors.NewConflict(clusterProfiles, name, errors.New(leaving.String()))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: member.CauseLeaving, Message: leaving.String()}}
	return err
}

// checkCachedNotLeaving is checkNotLeaving for the member of a request that has been let in: it may
// have begun to leave since.
func (t *task) checkCachedNotLeaving() error {
	return checkNotLeaving(t.want.Spec.ClusterProfile.Name, t.Members.CachedLeaving(t.profile()))
}

// checkLiveNotLeaving is checkNotLeaving by what is stored now. It is for a request whose grant is
// stored. Whoever removes the member sets the mark, and then lists the grants; the request stores
// its grant, and then reads the mark. So one of them sees the other.
func (t *task) checkLiveNotLeaving(ctx context.Context) error {
	reading, cancel := context.WithTimeoutCause(ctx, confirmTimeout, fmt.Errorf("it was not read within %s", confirmTimeout))
	defer cancel()
	leaving, err := t.Members.LiveLeaving(reading, t.profile())
	if _, told := errors.AsType[*apierrors.StatusError](err); err != nil && !told {
		return apierrors.NewTimeoutError(fmt.Sprintf("cannot tell whether cluster %s is leaving this hub: %v",
			t.want.Spec.ClusterProfile.Name, err), 1)
	}
	if err != nil {
		return err
	}
	return checkNotLeaving(t.want.Spec.ClusterProfile.Name, leaving)
}

// profile returns as much of the ClusterProfile as it takes to find the Secret that its member is
// reached by.
func (t *task) profile() *inventoryv1alpha1.ClusterProfile {
	of := t.want.Spec.ClusterProfile
	return &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: of.Name, UID: of.UID},
		Status:     inventoryv1alpha1.ClusterProfileStatus{AccessProviders: []inventoryv1alpha1.AccessProvider{t.client.Provider()}},
	}
}

// aboutAccess are the failures of members that may come from an old kubeconfig, or an old
// ClusterProfile: it may have been replaced a moment ago. Those of a member that is left alone, or
// did not answer in time, are not among them: they are to cost nothing.
var aboutAccess = []metav1.CauseType{
	member.CauseUnauthorized, member.CauseForbidden, member.CauseTLS, member.CauseUnreachable, member.CauseRedirect, member.CauseIdentity,
}

// isAboutAccess returns whether err may be because of the kubeconfig that was used.
func isAboutAccess(err error) bool {
	return slices.ContainsFunc(aboutAccess, func(cause metav1.CauseType) bool { return apierrors.HasStatusCause(err, cause) })
}
