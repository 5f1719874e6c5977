// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/decision"
)

// selection are the selected ClusterProfiles by name. None of them is being deleted.
type selection map[string]*inventoryv1alpha1.ClusterProfile

func (s selection) add(profile *inventoryv1alpha1.ClusterProfile) {
	if profile.DeletionTimestamp == nil {
		s[profile.Name] = profile
	}
}

// selected returns what set selects now. Members that are being taken out of the hub are not among it: their names are returned, too.
func (c *Controller) selected(set *v1alpha1.ClusterCredentialSet) (found selection, leaving []string, err error) {
	if found, err = c.matching(set); err != nil {
		return nil, nil, err
	}
	for name, profile := range found {
		if c.Members.CachedLeaving(profile) != nil {
			leaving = append(leaving, name)
			delete(found, name)
		}
	}
	slices.Sort(leaving)
	return found, leaving, nil
}

// matching returns what the selection of set is about now.
func (c *Controller) matching(set *v1alpha1.ClusterCredentialSet) (selection, error) {
	clusters := &set.Spec.Clusters
	found := selection{}
	profiles := c.profiles.ClusterProfiles(credentialset.ProfileNamespace(set))
	if clusters.LabelSelector != nil {
		selector, err := metav1.LabelSelectorAsSelector(clusters.LabelSelector)
		if err != nil {
			return nil, fmt.Errorf("label selector: %w", err)
		}
		list, err := profiles.List(selector)
		for _, profile := range list {
			found.add(profile)
		}
		return found, err
	}
	names := clusters.Names
	if clusters.DecisionKey != "" {
		var err error
		if names, err = c.decisions.names(set); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		profile, err := profiles.Get(name)
		if err == nil {
			found.add(profile)
		} else if !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return found, nil
}

// order returns the names of what set selects now, in the order of its names or decisions; what has none is by name.
func (c *Controller) order(set *v1alpha1.ClusterCredentialSet, selected selection) ([]string, error) {
	names := set.Spec.Clusters.Names
	if set.Spec.Clusters.DecisionKey != "" {
		var err error
		if names, err = c.decisions.names(set); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 || set.Spec.Consumer.MultiKueue.Order == v1alpha1.MultiKueueOrderName {
		return slices.Sorted(maps.Keys(selected)), nil
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return selected[name] == nil }), nil
}

// selectedOne returns one of what set selects now, nil where that is not among it.
func (c *Controller) selectedOne(set *v1alpha1.ClusterCredentialSet, cluster string) (*inventoryv1alpha1.ClusterProfile, error) {
	profile, err := c.profiles.ClusterProfiles(credentialset.ProfileNamespace(set)).Get(cluster)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // that it is not there is an answer
	}
	if err != nil || c.Members.CachedLeaving(profile) != nil {
		return nil, err
	}
	if set.Spec.Clusters.LabelSelector == nil {
		found, err := c.matching(set)
		return found[cluster], err
	}
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Clusters.LabelSelector)
	if err != nil || !selector.Matches(labels.Set(profile.Labels)) || profile.DeletionTimestamp != nil {
		return nil, err
	}
	return profile, nil
}

// decisions are the hub's PlacementDecisions. They are watched once somebody asks: where another manager owns that
// group, it may not have them.
type decisions struct {
	informer inventoryinformers.PlacementDecisionInformer
	once     sync.Once
	start    func() error
	failed   error
}

func (d *decisions) run(ctx context.Context, changed func(obj any)) {
	d.start = func() error {
		_, err := d.informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: changed, UpdateFunc: func(_, obj any) { changed(obj) }, DeleteFunc: changed,
		})
		if err != nil {
			return fmt.Errorf("watching PlacementDecisions: %w", err)
		}
		go d.informer.Informer().RunWithContext(ctx)
		return nil
	}
}

// names returns the names of the ClusterProfiles that the decisions for set name, each once, in the order of their index.
func (d *decisions) names(set *v1alpha1.ClusterCredentialSet) ([]string, error) {
	d.once.Do(func() { d.failed = d.start() })
	if d.failed != nil {
		return nil, d.failed
	}
	if !d.informer.Informer().HasSynced() {
		return nil, errors.New("the PlacementDecisions are not read yet")
	}
	key := labels.Set{inventoryv1alpha1.DecisionKeyLabel: set.Spec.Clusters.DecisionKey}
	list, err := d.informer.Lister().PlacementDecisions(set.Namespace).List(key.AsSelector())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, cluster := range decision.AllClusters(list) {
		if cluster.Namespace == credentialset.ProfileNamespace(set) {
			names = append(names, cluster.Name)
		}
	}
	return names, nil
}
