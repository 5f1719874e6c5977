// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"
	inventorylisters "sigs.k8s.io/cluster-inventory-api/client/listers/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/ondemand"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/decision"
	listers "clusterpass.dev/pkg/generated/listers/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/words"
)

// selection are the selected ClusterProfiles by name. None of them is being deleted.
type selection map[string]*inventoryv1alpha1.ClusterProfile

func (s selection) add(profile *inventoryv1alpha1.ClusterProfile) {
	if profile.DeletionTimestamp == nil {
		s[profile.Name] = profile
	}
}

// chosen is what a set selects now.
type chosen struct {
	clusters selection
	// missing are the names of spec.clusters.names for which there is no ClusterProfile.
	missing []string
	// leaving are the names of those that are left out because they leave the hub.
	leaving []string
	// refused says why the author of the set may not select, or why the set may not select so many,
	// empty if it may. The clusters are then those that the set has a grant for.
	refused string
	// reason is that of the condition Ready where refused is not empty.
	reason string
}

// requeueAfter returns after how long to sync the set again: after, where zero is never, or earlier
// if its author was refused, because the rights of an author are no object that could be watched.
func (s *chosen) requeueAfter(after time.Duration) time.Duration {
	if s.refused != "" && (after == 0 || after > refusedPeriod) {
		return refusedPeriod
	}
	return after
}

// selected returns what set selects now.
func (c *Controller) selected(ctx context.Context, set *v1alpha1.ClusterCredentialSet) (*chosen, error) {
	refused, err := c.authorRefused(ctx, set)
	if err != nil {
		return nil, err
	}
	selection := &chosen{refused: refused, reason: v1alpha1.CredentialSetReasonAuthorForbidden}
	if refused == "" {
		if selection.clusters, err = c.matching(ctx, set); err != nil {
			return nil, err
		}
		selection.refused, selection.reason = c.limits.reserve(set, len(selection.clusters)), v1alpha1.CredentialSetReasonTooManyClusters
	}
	if selection.refused == "" {
		selection.missing = c.missing(set)
	} else {
		if selection.clusters, err = c.granted(set); err != nil {
			return nil, err
		}
	}
	for name, profile := range selection.clusters {
		if c.Members.CachedLeaving(profile) != nil {
			selection.leaving = append(selection.leaving, name)
			delete(selection.clusters, name)
		}
	}
	slices.Sort(selection.leaving)
	return selection, nil
}

// missing returns which names that set selects are no ClusterProfile's. Those of decisions are not
// the author's.
func (c *Controller) missing(set *v1alpha1.ClusterCredentialSet) []string {
	if set.Spec.Clusters.DecisionKey != "" {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(set.Spec.Clusters.Names), func(name string) bool {
		_, err := c.profiles.ClusterProfiles(credentialset.ProfileNamespace(set)).Get(name)
		return !apierrors.IsNotFound(err)
	})
}

// granted returns the clusters that set has a grant for, whatever it selects: no selector is
// applied to what its author may not see. Only the server makes grants; a Secret may be anybody's.
func (c *Controller) granted(set *v1alpha1.ClusterCredentialSet) (selection, error) {
	found := selection{}
	if !credentialset.KeepsCredentials(set) {
		return found, nil
	}
	grants, err := c.grantsOf(set)
	if err != nil {
		return nil, err
	}
	profiles := c.profiles.ClusterProfiles(credentialset.ProfileNamespace(set))
	for _, g := range grants {
		profile, err := profiles.Get(g.Spec.ClusterProfile.Name)
		if err == nil && profile.UID == g.Spec.ClusterProfile.UID && g.DeletionTimestamp == nil {
			found.add(profile)
		} else if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return found, nil
}

// matching returns what the selection of set is about now.
func (c *Controller) matching(ctx context.Context, set *v1alpha1.ClusterCredentialSet) (selection, error) {
	clusters := &set.Spec.Clusters
	bound, err := boundOf(clusters)
	if err != nil {
		return nil, err
	}
	found := selection{}
	profiles := c.profiles.ClusterProfiles(credentialset.ProfileNamespace(set))
	if clusters.LabelSelector != nil && clusters.DecisionKey == "" {
		list, err := profiles.List(labels.Everything())
		for _, profile := range list {
			if bound(profile) {
				found.add(profile)
			}
		}
		return found, err
	}
	names := clusters.Names
	if clusters.DecisionKey != "" {
		if names, err = c.decisions.names(ctx, set); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		profile, err := profiles.Get(name)
		if err == nil && bound(profile) {
			found.add(profile)
		} else if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return found, nil
}

// boundOf returns a function that says whether names or labels allow a ClusterProfile to be
// selected.
func boundOf(clusters *v1alpha1.ClusterSelection) (func(profile *inventoryv1alpha1.ClusterProfile) bool, error) {
	selector := labels.Everything()
	if clusters.LabelSelector != nil {
		var err error
		if selector, err = metav1.LabelSelectorAsSelector(clusters.LabelSelector); err != nil {
			return nil, fmt.Errorf("label selector: %w", err)
		}
	}
	names := sets.New(clusters.Names...)
	return func(profile *inventoryv1alpha1.ClusterProfile) bool {
		return (names.Len() == 0 || names.Has(profile.Name)) && selector.Matches(labels.Set(profile.Labels))
	}, nil
}

// order returns the names of what set selects now, in the order of its names or decisions, else by
// name.
func (c *Controller) order(ctx context.Context, set *v1alpha1.ClusterCredentialSet, selected selection) ([]string, error) {
	names := set.Spec.Clusters.Names
	if set.Spec.Clusters.DecisionKey != "" {
		var err error
		if names, err = c.decisions.names(ctx, set); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 || set.Spec.Consumer.MultiKueue.Order == v1alpha1.MultiKueueOrderName {
		return slices.Sorted(maps.Keys(selected)), nil
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return selected[name] == nil }), nil
}

// selectedOne returns a ClusterProfile if set selects it now, else nil.
func (c *Controller) selectedOne(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet, cluster string,
) (*inventoryv1alpha1.ClusterProfile, error) {
	refused, err := c.authorRefused(ctx, set)
	if err != nil {
		return nil, err
	}
	if refused != "" || !c.limits.isWithin(set) {
		return c.grantedOne(set, cluster)
	}
	profile, err := c.profiles.ClusterProfiles(credentialset.ProfileNamespace(set)).Get(cluster)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // that it is not there is an answer
	}
	if err != nil || profile.DeletionTimestamp != nil || c.Members.CachedLeaving(profile) != nil {
		return nil, err
	}
	bound, err := boundOf(&set.Spec.Clusters)
	if err != nil || !bound(profile) {
		return nil, err
	}
	if set.Spec.Clusters.DecisionKey != "" {
		names, err := c.decisions.names(ctx, set)
		if err != nil || !slices.Contains(names, cluster) {
			return nil, err
		}
	}
	return profile, nil
}

// grantedOne returns a ClusterProfile if set has a grant for it and its member stays, else nil.
func (c *Controller) grantedOne(set *v1alpha1.ClusterCredentialSet, cluster string) (*inventoryv1alpha1.ClusterProfile, error) {
	granted, err := c.granted(set)
	if err != nil || granted[cluster] == nil || c.Members.CachedLeaving(granted[cluster]) != nil {
		return nil, err
	}
	return granted[cluster], nil
}

// decisions are the hub's PlacementDecisions. They are watched once a set needs them: if another
// manager owns that group, the hub may not have them.
type decisions struct {
	informers *ondemand.Informers[inventorylisters.PlacementDecisionLister]
	// placements are those whose decisions the user controller writes; empty if that user is not
	// known.
	placements listers.PlacementLister
	controller string
}

// newDecisions returns a watch that calls changed, and ends with ctx.
func newDecisions(
	ctx context.Context, informer inventoryinformers.PlacementDecisionInformer, placements listers.PlacementLister, controller string,
	changed func(obj any),
) *decisions {
	open := func(context.Context, string) (inventorylisters.PlacementDecisionLister, []cache.SharedIndexInformer, error) {
		return informer.Lister(), []cache.SharedIndexInformer{informer.Informer()}, nil
	}
	notRead := errors.New("the PlacementDecisions are not read yet")
	return &decisions{informers: ondemand.New(ctx, open, loop.Always(changed), notRead), placements: placements, controller: controller}
}

// names returns the names of the ClusterProfiles that the decisions which count for set name, each
// once, in the order of their index.
func (d *decisions) names(ctx context.Context, set *v1alpha1.ClusterCredentialSet) ([]string, error) {
	counting, _, err := d.of(ctx, set)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, cluster := range decision.AllClusters(counting) {
		if cluster.Namespace == credentialset.ProfileNamespace(set) {
			names = append(names, cluster.Name)
		}
	}
	return names, nil
}

// other is a decision that does not count, and why.
type other struct {
	*inventoryv1alpha1.PlacementDecision
	why string
}

// of returns the decisions for set that count, and those that do not.
func (d *decisions) of(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet,
) (counting []*inventoryv1alpha1.PlacementDecision, others []other, err error) {
	lister, err := d.informers.Start(ctx, metav1.NamespaceAll)
	if err != nil {
		return nil, nil, err
	}
	key := labels.Set{inventoryv1alpha1.DecisionKeyLabel: set.Spec.Clusters.DecisionKey}
	list, err := lister.PlacementDecisions(set.Namespace).List(key.AsSelector())
	if err != nil {
		return nil, nil, err
	}
	for _, slice := range list {
		if why := d.doubts(slice, set.Spec.Clusters.DecisionWriters); why != "" {
			others = append(others, other{slice, why})
		} else if slice.DeletionTimestamp == nil {
			counting = append(counting, slice)
		}
	}
	return counting, others, nil
}

// doubts returns why a decision does not count if those of writers do; empty if it counts. The
// Placement of a decision that the controller of Placements has written has to exist: that
// controller keeps the decisions of existing Placements, and no others.
func (d *decisions) doubts(slice *inventoryv1alpha1.PlacementDecision, writers []string) string {
	writer := slice.Annotations[v1alpha1.AnnotationDecisionWriter]
	switch {
	case len(writers) == 0:
		return ""
	case !slices.Contains(writers, writer):
		return fmt.Sprintf("it is written by %q, whom spec.clusters.decisionWriters does not name", words.Clean(writer, maxWriter))
	case writer != d.controller && writer != v1alpha1.ControllerManagerUser:
		return ""
	}
	owner := metav1.GetControllerOfNoCopy(slice)
	if owner == nil || owner.Kind != "Placement" || owner.APIVersion != v1alpha1.SchemeGroupVersion.String() {
		return "it belongs to no Placement"
	}
	placement, err := d.placements.Placements(slice.Namespace).Get(owner.Name)
	switch {
	case err != nil, placement.UID != owner.UID:
		return "its Placement is gone"
	case placement.DeletionTimestamp != nil:
		// Its decisions are not kept any more, whoever may hold it up.
		return "its Placement is being deleted"
	case slice.Labels[inventoryv1alpha1.DecisionKeyLabel] != decision.Key(placement.Name):
		return "it has the key of another Placement"
	}
	return ""
}
