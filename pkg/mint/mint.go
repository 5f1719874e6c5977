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
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
)

const (
	// verifiedTTL is how long a mint assumes that a grant's objects still exist on the member after
	// it has checked them.
	verifiedTTL = 5 * time.Minute
	// verifiedEntries bounds how many grants are remembered as verified, at about 200 bytes each. A
	// grant that is forgotten costs a few more calls to its member.
	verifiedEntries = 50_000
)

// Of the three interfaces below, Cached reads a cache, Stored shares one read of what the hub
// stores with other callers, and Live reads what the hub stores for one caller.

// Profiles reads ClusterProfiles: pkg/registry/clusterprofile or, with --inventory=External,
// pkg/apiserver does. The caller must not change them. The error satisfies apierrors.IsNotFound if
// there is none.
type Profiles interface {
	// Cached returns a ClusterProfile from a cache, which may be slightly stale.
	Cached(ctx context.Context, namespace, name string) (*inventoryv1alpha1.ClusterProfile, error)
	// Stored returns a ClusterProfile as the hub stores it. Callers share the read, and may wait for
	// up to sharedread.Interval.
	Stored(ctx context.Context, namespace, name string) (*inventoryv1alpha1.ClusterProfile, error)
}

// Members provides clients for member clusters, or a metav1.Status error that says why there is
// none.
type Members interface {
	// Cached returns the client for the cluster of profile, according to the cached Secret.
	Cached(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*member.Client, error)
	// CachedLeaving returns the mark of a member that is being removed from the hub, according to the
	// cached Secret. It returns nil for any other member.
	CachedLeaving(profile *inventoryv1alpha1.ClusterProfile) *member.Leaving
	// StoredWithLeaving returns the client and the mark, according to the Secret as the hub stores it.
	// Callers share the read, and may wait for up to sharedread.Interval.
	StoredWithLeaving(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*member.Client, *member.Leaving, error)
	// LiveLeaving returns the mark according to a read of the Secret for this caller, without waiting.
	// Its error says that there is no access any more, or that it is unknown.
	LiveLeaving(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*member.Leaving, error)
}

// Grants stores the AuthTokenGrants of the hub: pkg/registry/authtokengrant does. Errors are
// metav1.Status errors.
type Grants interface {
	// Cached returns a grant from a cache, which may be slightly stale. The caller must not change it.
	Cached(ctx context.Context, namespace, name string) (*clusterpassv1alpha1.AuthTokenGrant, error)
	// Live returns a grant as the hub stores it.
	Live(ctx context.Context, namespace, name string) (*clusterpassv1alpha1.AuthTokenGrant, error)
	// Create stores a grant with its status and returns it.
	Create(ctx context.Context, grant *clusterpassv1alpha1.AuthTokenGrant) (*clusterpassv1alpha1.AuthTokenGrant, error)
	// Update stores spec, status and metadata of a grant, and returns it. It returns a Conflict if
	// the grant has changed since it was read.
	Update(ctx context.Context, grant *clusterpassv1alpha1.AuthTokenGrant) (*clusterpassv1alpha1.AuthTokenGrant, error)
	// Delete marks a grant as deleted. It returns a Conflict if the grant has changed since it was
	// read.
	Delete(ctx context.Context, grant *clusterpassv1alpha1.AuthTokenGrant) error
	// Count returns the approximate number of grants in a namespace.
	Count(ctx context.Context, namespace string) (int64, error)
	// CountStored returns the number of stored grants in a namespace. Callers share the read, and may
	// wait for up to sharedread.Interval.
	CountStored(ctx context.Context, namespace string) (int64, error)
}

// Config configures a Minter. Every field except for AllowedNamespaces is required.
type Config struct {
	// HubID distinguishes this hub from others that use the same member clusters.
	HubID string
	// Profiles is the hub's inventory.
	Profiles Profiles
	// Grants stores the grants.
	Grants Grants
	// Members has the clients for the member clusters.
	Members Members
	// Authorizer decides on the hub which users may have which tokens.
	Authorizer authorizer.Authorizer
	// MaxExpiration is the maximum lifetime of a token.
	MaxExpiration time.Duration
	// MaxGrants bounds the grants of one namespace of the hub.
	MaxGrants int64
	// RequestTimeout bounds the total time of the calls to the member in each phase of a request:
	// identifying the member, storing the grant, and ensuring it. All phases, including the call
	// for the token, take at most this long plus grant.TokenCacheTTL, which a request that changes
	// a grant may have to wait. There is a second attempt if the first one fails because of stale
	// access data.
	RequestTimeout time.Duration
	// Clock is the clock.
	Clock clock.Clock
	// AllowedNamespaces are the member namespaces that may be used although they are
	// refused by default: see hub.ReservedNamespaces.
	AllowedNamespaces sets.Set[string]
}

// Minter mints tokens. It is safe for concurrent use.
type Minter struct {
	Config
	verified *utilcache.LRUExpireCache
	refusals *refusals
}

// New returns a Minter for c.
func New(c Config) *Minter {
	return &Minter{Config: c, verified: utilcache.NewLRUExpireCache(verifiedEntries), refusals: newRefusals()}
}

// Request is one request for a token. pkg/registry/authtokenrequest fills all of it.
type Request struct {
	// User is the requester.
	User user.Info
	// Namespace is the namespace of the request.
	Namespace string
	// Spec is the spec of the request. It has defaults, and was validated and admitted.
	Spec v1alpha1.AuthTokenRequestSpec
	// AuditID is the ID of the request in the hub's audit log; it may be empty.
	AuditID string
	// DryRun requests only the status, and no token.
	DryRun bool
	// Owner is the owner of the grant, which is deleted with it; it may be nil. Only requests with
	// the same owner use the grant. They may change the grant without a further review, because the
	// user who changed the owner has caused the change.
	Owner *metav1.OwnerReference
}

// Result is the result of a request.
type Result struct {
	// Status is the answer to the requester.
	Status v1alpha1.AuthTokenRequestStatus
	// Warnings are for the requester.
	Warnings []string
	// AuditAnnotations are for the audit log: they say what was granted. They have no secrets.
	AuditAnnotations map[string]string
}

// Mint answers r. Its errors are metav1.Status errors. They do not reveal whether the
// ClusterProfile exists to a requester without the required permissions. With r.DryRun, it changes
// nothing and calls no member.
func (m *Minter) Mint(ctx context.Context, r Request) (*Result, error) {
	result, err := m.mint(ctx, r)
	countRequest(err, r.DryRun)
	return result, err
}

func (m *Minter) mint(ctx context.Context, r Request) (*Result, error) {
	if err := m.authorize(ctx, r); err != nil {
		return nil, err
	}
	known, err := m.findTarget(ctx, r.Spec.TargetClusterProfile, false)
	if err == nil {
		var result *Result
		if result, err = m.mintFor(ctx, r, known); err == nil || !isAboutAccess(err) {
			return result, err
		}
	}
	// The caches may be stale.
	current, storedErr := m.findTarget(ctx, r.Spec.TargetClusterProfile, true)
	switch {
	case storedErr != nil:
		return nil, storedErr
	case known != nil && current.equals(known):
		return nil, err
	}
	return m.mintFor(ctx, r, current)
}

// mintFor answers r, which has been authorised, with a token for the target.
func (m *Minter) mintFor(ctx context.Context, r Request, to *target) (*Result, error) {
	t := m.newTask(r, to)
	if r.DryRun {
		return t.answer(t.want, nil)
	}
	token, err := t.run(ctx)
	if err != nil {
		return nil, err
	}
	return t.answer(t.grant, token)
}

// target is the cluster that a token is for.
type target struct {
	profile *inventoryv1alpha1.ClusterProfile
	client  *member.Client
}

// joined returns the UID of the member that the ClusterProfile was joined with, where it says so.
func (t *target) joined() types.UID {
	return types.UID(t.profile.Annotations[member.MemberUIDAnnotation])
}

// equals returns whether both targets give a request the same result. The pool returns the same
// client only for the same access.
func (t *target) equals(other *target) bool {
	return t.profile.UID == other.profile.UID && t.joined() == other.joined() && t.client == other.client
}

// findTarget returns the target that a request names. Without stored, it reads only caches. These
// may be stale, so its error is not final. With stored, it reads what the hub stores. Call it so
// only for authorised requests: others must not cause reads of the hub's storage.
func (m *Minter) findTarget(ctx context.Context, of v1alpha1.ClusterProfileReference, stored bool) (*target, error) {
	read := m.Profiles.Cached
	if stored {
		read = m.Profiles.Stored
	}
	profile, err := read(ctx, of.Namespace, of.Name)
	if err != nil {
		return nil, err
	}
	if of.UID != "" && of.UID != profile.UID {
		return nil, apierrors.NewConflict(clusterProfiles, of.Name, fmt.Errorf(
			"the UID in spec.targetClusterProfile is %s and the ClusterProfile's is %s: the cluster has been replaced", of.UID, profile.UID))
	}
	if profile.DeletionTimestamp != nil {
		return nil, apierrors.NewConflict(clusterProfiles, of.Name, errors.New("the ClusterProfile is being deleted"))
	}
	var client *member.Client
	var leaving *member.Leaving
	if stored {
		client, leaving, err = m.Members.StoredWithLeaving(ctx, profile)
	} else if leaving = m.Members.CachedLeaving(profile); leaving == nil {
		client, err = m.Members.Cached(ctx, profile)
	}
	if err != nil {
		return nil, err
	}
	if err := checkNotLeaving(of.Name, leaving); err != nil {
		return nil, err
	}
	return &target{profile: profile, client: client}, nil
}

// checkNotLeaving returns 409 if leaving is the mark of a member that is being removed from the
// hub. A new token for it would have to end at once.
func checkNotLeaving(name string, leaving *member.Leaving) error {
	if leaving == nil {
		return nil
	}
	return grant.NewConflict(clusterProfiles, name, member.CauseLeaving, leaving.String())
}

// isAboutAccess returns whether err is a failure of the member that may come from a kubeconfig or a
// ClusterProfile that was replaced a moment ago. The errors of an open breaker and of a timeout are
// not among them: they must not cause reads of the hub's storage.
func isAboutAccess(err error) bool {
	return slices.ContainsFunc([]metav1.CauseType{
		member.CauseUnauthorized, member.CauseForbidden, member.CauseTLS, member.CauseUnreachable, member.CauseRedirect, member.CauseIdentity,
	}, func(cause metav1.CauseType) bool { return apierrors.HasStatusCause(err, cause) })
}
