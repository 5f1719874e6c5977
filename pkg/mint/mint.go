// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/member"
)

const (
	// verifiedTTL is how long what a mint needs on a member is taken for granted
	// after it was last seen there.
	verifiedTTL = 5 * time.Minute
	// verifiedEntries bounds how many grants are remembered as verified, at
	// about 200 bytes each; one that is forgotten costs a few calls to its member.
	verifiedEntries = 50_000
)

// Profiles looks ClusterProfiles up. The caller does not change what it gets. That there is none is an
// error for which apierrors.IsNotFound holds.
type Profiles interface {
	// Cached returns a ClusterProfile as it was a moment ago.
	Cached(ctx context.Context, namespace, name string) (*inventoryv1alpha1.ClusterProfile, error)
	// Stored returns a ClusterProfile as it is stored. The read is shared, and may wait for up to live.Interval.
	Stored(ctx context.Context, namespace, name string) (*inventoryv1alpha1.ClusterProfile, error)
}

// Members hands out clients for member clusters, or a metav1.Status error that says why there is none.
type Members interface {
	// Cached returns the client for the cluster of profile, by a Secret as it was a moment ago.
	Cached(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*member.Client, error)
	// StoredWithLeaving is Cached and CachedLeaving by the Secret as it is stored. The read is shared, and may wait for up to
	// live.Interval.
	StoredWithLeaving(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*member.Client, *member.Leaving, error)
	// CachedLeaving returns nil, but for a profile whose member is being taken out of the hub, as its Secret was a moment ago.
	CachedLeaving(profile *inventoryv1alpha1.ClusterProfile) *member.Leaving
	// LiveLeaving is CachedLeaving by the Secret as it is stored, at once, by a read of its own. Its error says that there is no access any more, or that it is not known.
	LiveLeaving(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*member.Leaving, error)
}

// Grants keeps the AuthTokenGrants of the hub. Errors are metav1.Status errors.
type Grants interface {
	// Cached returns a grant as it was a moment ago; the caller does not change it.
	Cached(ctx context.Context, namespace, name string) (*clusterpassv1alpha1.AuthTokenGrant, error)
	// Live returns a grant as it is stored.
	Live(ctx context.Context, namespace, name string) (*clusterpassv1alpha1.AuthTokenGrant, error)
	// Create stores a grant with its status and returns it.
	Create(ctx context.Context, grant *clusterpassv1alpha1.AuthTokenGrant) (*clusterpassv1alpha1.AuthTokenGrant, error)
	// Update stores spec, status and metadata of a grant that has not changed since it was read, and returns it.
	Update(ctx context.Context, grant *clusterpassv1alpha1.AuthTokenGrant) (*clusterpassv1alpha1.AuthTokenGrant, error)
	// Delete marks a grant as deleted. That it has changed since it was read is a Conflict.
	Delete(ctx context.Context, grant *clusterpassv1alpha1.AuthTokenGrant) error
	// Count returns about how many grants a namespace has.
	Count(ctx context.Context, namespace string) (int64, error)
	// CountStored returns how many grants of a namespace are stored. The read is shared, and may wait for up to live.Interval.
	CountStored(ctx context.Context, namespace string) (int64, error)
}

// Config is what a Minter works with. Every field is required, but for AllowedNamespaces.
type Config struct {
	// HubID tells this hub from others that use the same member clusters.
	HubID string
	// Profiles is the hub's inventory.
	Profiles Profiles
	// Grants is where what was granted is recorded.
	Grants Grants
	// Members reaches the member clusters.
	Members Members
	// Authorizer decides on the hub who may have what.
	Authorizer authorizer.Authorizer
	// MaxExpiration is the longest lifetime granted to a token.
	MaxExpiration time.Duration
	// MaxGrants bounds the grants of one namespace of the hub.
	MaxGrants int64
	// RequestTimeout bounds the calls to the member of each phase of a request: identifying the member, storing the grant, ensuring it. All
	// together, and the call for the token, take no longer than it and grant.TokenCacheTTL, which a request that changes a grant may wait for.
	// Where the first try fails by access data that were behind, there is a second.
	RequestTimeout time.Duration
	// Clock is the source of the time.
	Clock clock.Clock
	// AllowedNamespaces are the member namespaces that may be used although they are
	// refused by default: see ReservedNamespaces.
	AllowedNamespaces sets.Set[string]
}

// Minter mints tokens. It is safe for concurrent use.
type Minter struct {
	Config
	verified *utilcache.LRUExpireCache
	refusals *refusals
}

// New returns a Minter that works with c.
func New(c Config) *Minter {
	return &Minter{Config: c, verified: utilcache.NewLRUExpireCache(verifiedEntries), refusals: newRefusals()}
}

// Request is one request for a token.
type Request struct {
	// User is who asks.
	User user.Info
	// Namespace is the namespace of the request.
	Namespace string
	// Spec is what is asked for: defaulted, validated and admitted.
	Spec v1alpha1.AuthTokenRequestSpec
	// AuditID is the id of the request in the hub's audit log; it may be empty.
	AuditID string
	// DryRun asks what would be done, and for no token.
	DryRun bool
	// Owner, where given, is what the grant belongs to, and goes with. Its grant is nobody else's, and is changed to
	// what it asks for: who may change the owner has changed that.
	Owner *metav1.OwnerReference
}

// Result is what a request came to.
type Result struct {
	// Status is the answer to the requester.
	Status v1alpha1.AuthTokenRequestStatus
	// Warnings are for the requester, too.
	Warnings []string
	// AuditAnnotations tell the audit log what was granted. There is no secret in them.
	AuditAnnotations map[string]string
}

// Mint answers r. Its errors are metav1.Status errors; none of them tells a
// requester who is not entitled whether the ClusterProfile exists. With r.DryRun
// nothing is changed anywhere and no member is called.
func (m *Minter) Mint(ctx context.Context, r Request) (*Result, error) {
	result, err := m.mint(ctx, r)
	countRequest(err, r.DryRun)
	return result, err
}

func (m *Minter) mint(ctx context.Context, r Request) (*Result, error) {
	if err := m.authorize(ctx, r); err != nil {
		return nil, err
	}
	known, err := m.cached(ctx, r.Spec.TargetClusterProfile)
	if err == nil {
		var result *Result
		if result, err = m.mintFor(ctx, r, known); err == nil || !isAboutAccess(err) {
			return result, err
		}
	}
	// The caches may have been behind.
	current, storedErr := m.stored(ctx, r.Spec.TargetClusterProfile)
	switch {
	case storedErr != nil:
		return nil, storedErr
	case known != nil && *current == *known:
		return nil, err
	}
	return m.mintFor(ctx, r, current)
}

// mintFor answers r, which is entitled to what it asks for, with a token for the target.
func (m *Minter) mintFor(ctx context.Context, r Request, to *target) (*Result, error) {
	t := m.newTask(r, to)
	expiration, warnings := m.clamp(r.Spec.ExpirationSeconds)
	if r.DryRun {
		return &Result{Status: dryRunStatus(t.want, t.client.Cluster(), m.Clock.Now()), Warnings: warnings}, nil
	}
	g, token, err := t.run(ctx, expiration)
	if err != nil {
		return nil, err
	}
	status, err := answer(g, t.client, token)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	warnings = append(warnings, t.warnings...)
	if granted := token.lifetime(); granted < time.Duration(expiration)*time.Second-time.Minute {
		warnings = append(warnings, fmt.Sprintf("expiration shortened to %d seconds by the cluster itself", int64(granted.Seconds())))
	}
	return &Result{
		Status:           status,
		Warnings:         warnings,
		AuditAnnotations: auditAnnotations(g, token),
	}, nil
}

// extendedSeconds is a lifetime that kube-apiserver takes for that of a Pod that does not renew its token, and issues a
// token of a year for (WarnOnlyBoundTokenExpirationPeriod).
const extendedSeconds = 3607

// clamp returns the lifetime to ask for, in seconds, and a warning where it is not the one asked.
func (m *Minter) clamp(asked *int64) (seconds int64, warnings []string) {
	seconds = v1alpha1.DefaultExpirationSeconds
	if asked != nil {
		seconds = *asked
	}
	if seconds == extendedSeconds {
		seconds--
	}
	longest := int64(m.MaxExpiration / time.Second)
	if seconds <= longest {
		return seconds, nil
	}
	return longest, []string{fmt.Sprintf("requested expiration of %d seconds shortened to %d seconds, the maximum of this server", seconds, longest)}
}
