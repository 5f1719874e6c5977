// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/decision"
)

// profilesByName are ClusterProfiles by name. None of them is being deleted.
type profilesByName map[string]*inventoryv1alpha1.ClusterProfile

// selection is what a set selects now.
type selection struct {
	clusters profilesByName
	// missing are the names of spec.clusters.names for which there is no ClusterProfile.
	missing []string
	// decisions are the PlacementDecisions with the set's decision-key, if it selects by them.
	decisions decisions
	// leaving are the names of those that are left out because they leave the hub.
	leaving []string
	// refused says why the author of the set may not select, or why the set may not select so many,
	// empty if it may. The clusters are then those that the set has a grant for.
	refused string
	// reason is that of the condition Ready where refused is not empty.
	reason string
}

// selectClusters returns what set selects now.
func (c *Controller) selectClusters(ctx context.Context, set *v1alpha1.ClusterCredentialSet) (*selection, error) {
	refused, err := c.authorRefused(ctx, set)
	if err != nil {
		return nil, err
	}
	selected := &selection{refused: refused, reason: v1alpha1.CredentialSetReasonAuthorForbidden}
	if refused == "" {
		selected.clusters, err = c.matching(ctx, set)
		switch {
		case errors.Is(err, decision.ErrNotServed):
			selected.refused, selected.reason = err.Error(), v1alpha1.CredentialSetReasonDecisionsNotServed
		case err != nil:
			return nil, err
		default:
			selected.refused, selected.reason = c.limits.reserve(set, len(selected.clusters)), v1alpha1.CredentialSetReasonTooManyClusters
		}
	}
	switch {
	case selected.refused != "":
		selected.clusters, err = c.granted(set)
	case set.Spec.Clusters.DecisionKey != "":
		selected.decisions, err = c.decided(ctx, set)
	default:
		selected.missing = slices.DeleteFunc(slices.Clone(set.Spec.Clusters.Names), func(name string) bool {
			profile, err := c.profile(set, name)
			return profile != nil || err != nil
		})
	}
	if err != nil {
		return nil, err
	}
	for name, profile := range selected.clusters {
		if c.Members.CachedLeaving(profile) != nil {
			selected.leaving = append(selected.leaving, name)
			delete(selected.clusters, name)
		}
	}
	slices.Sort(selected.leaving)
	return selected, nil
}

// selectCluster returns a ClusterProfile if set selects it now, else nil.
func (c *Controller) selectCluster(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet, cluster string,
) (*inventoryv1alpha1.ClusterProfile, error) {
	refused, err := c.authorRefused(ctx, set)
	if err != nil {
		return nil, err
	}
	profile, err := c.profile(set, cluster)
	if err != nil || profile == nil || c.Members.CachedLeaving(profile) != nil {
		return nil, err
	}
	if refused != "" || !c.limits.isWithin(set) {
		granted, err := c.granted(set)
		return granted[cluster], err
	}
	bound, err := boundOf(&set.Spec.Clusters)
	if err != nil || !bound(profile) {
		return nil, err
	}
	if set.Spec.Clusters.DecisionKey != "" {
		decided, err := c.decided(ctx, set)
		if errors.Is(err, decision.ErrNotServed) {
			granted, err := c.granted(set)
			return granted[cluster], err
		}
		if err != nil || !slices.Contains(decided.names, cluster) {
			return nil, err
		}
	}
	return profile, nil
}

// profile returns a ClusterProfile by its name in the namespace that set selects from, nil if there
// is none.
func (c *Controller) profile(set *v1alpha1.ClusterCredentialSet, name string) (*inventoryv1alpha1.ClusterProfile, error) {
	profile, err := c.profiles.ClusterProfiles(credentialset.ProfileNamespace(set)).Get(name)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // that it is not there is an answer
	}
	return profile, err
}

// granted returns the clusters that set has a grant for, whatever it selects: no selector is
// applied to what its author may not see. Only the server makes grants; a Secret may be anybody's.
func (c *Controller) granted(set *v1alpha1.ClusterCredentialSet) (profilesByName, error) {
	found := profilesByName{}
	if !credentialset.KeepsCredentials(set) {
		return found, nil
	}
	grants, err := c.grantsOf(set)
	if err != nil {
		return nil, err
	}
	for _, g := range grants {
		profile, err := c.profile(set, g.Spec.ClusterProfile.Name)
		if err != nil {
			return nil, err
		}
		if profile != nil && profile.DeletionTimestamp == nil && profile.UID == g.Spec.ClusterProfile.UID && g.DeletionTimestamp == nil {
			found[profile.Name] = profile
		}
	}
	return found, nil
}

// matching returns the clusters that the spec of set selects. Only a set that selects by labels
// alone looks at all clusters of the namespace, which may be many more than it selects.
func (c *Controller) matching(ctx context.Context, set *v1alpha1.ClusterCredentialSet) (profilesByName, error) {
	clusters := &set.Spec.Clusters
	bound, err := boundOf(clusters)
	if err != nil {
		return nil, err
	}
	found := profilesByName{}
	if clusters.LabelSelector != nil && clusters.DecisionKey == "" {
		all, err := c.profiles.ClusterProfiles(credentialset.ProfileNamespace(set)).List(labels.Everything())
		for _, profile := range all {
			if bound(profile) {
				found[profile.Name] = profile
			}
		}
		return found, err
	}
	names := clusters.Names
	if clusters.DecisionKey != "" {
		decided, err := c.decided(ctx, set)
		if err != nil {
			return nil, err
		}
		names = decided.names
	}
	for _, name := range names {
		profile, err := c.profile(set, name)
		if err != nil {
			return nil, err
		}
		if profile != nil && bound(profile) {
			found[name] = profile
		}
	}
	return found, nil
}

// boundOf returns a function that says whether names or labels allow a ClusterProfile to be
// selected. They allow none that is being deleted.
func boundOf(clusters *v1alpha1.ClusterSelection) (func(profile *inventoryv1alpha1.ClusterProfile) bool, error) {
	selector, err := metav1.LabelSelectorAsSelector(cmp.Or(clusters.LabelSelector, &metav1.LabelSelector{}))
	if err != nil {
		return nil, fmt.Errorf("label selector: %w", err)
	}
	names := sets.New(clusters.Names...)
	return func(profile *inventoryv1alpha1.ClusterProfile) bool {
		return profile.DeletionTimestamp == nil && (names.Len() == 0 || names.Has(profile.Name)) && selector.Matches(labels.Set(profile.Labels))
	}, nil
}

// limiter bounds how many credentials all sets of one namespace select together. Each credential
// takes memory in the controller, even if it cannot be issued.
type limiter struct {
	// max is the limit. Zero means no limit.
	max int

	mu sync.Mutex
	// counts has the number of credentials of each set within the limit, by namespace and by UID of
	// the set.
	counts map[string]map[types.UID]int
}

// reserve counts the clusters that set selects. It returns why the set exceeds the limit, or "" if
// it does not. A set that exceeds the limit is not counted, and keeps the clusters that it has
// grants for. A set that keeps no credentials is not counted either.
func (l *limiter) reserve(set *v1alpha1.ClusterCredentialSet, clusters int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !credentialset.KeepsCredentials(set) {
		clusters = 0
	}
	of := l.counts[set.Namespace]
	if of == nil {
		of = map[types.UID]int{}
		l.counts[set.Namespace] = of
	}
	delete(of, set.UID)
	others := 0
	for _, n := range of {
		others += n
	}
	if l.max > 0 && clusters > 0 && others+clusters > l.max {
		return fmt.Sprintf("it selects %d clusters and the other sets of the namespace %d, "+
			"of at most %d together (--max-credentials-per-namespace of clusterpass-controller-manager)", clusters, others, l.max)
	}
	of[set.UID] = clusters
	return ""
}

// isWithin returns whether set has been counted and is within the limit. After a start, it returns
// false until the set has been counted.
func (l *limiter) isWithin(set *v1alpha1.ClusterCredentialSet) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, within := l.counts[set.Namespace][set.UID]
	return within
}

// drop removes a deleted set.
func (l *limiter) drop(set *v1alpha1.ClusterCredentialSet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.counts[set.Namespace], set.UID); len(l.counts[set.Namespace]) == 0 {
		delete(l.counts, set.Namespace)
	}
}
