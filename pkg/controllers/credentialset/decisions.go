// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"
	inventorylisters "sigs.k8s.io/cluster-inventory-api/client/listers/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/ondemand"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/decision"
	"clusterpass.dev/pkg/words"
)

// notServedFor is for how long it is remembered that the hub has no PlacementDecisions: each set,
// and each of its credentials, needs to know.
const notServedFor = time.Second

// newDecisions returns informers of the hub's PlacementDecisions, which end with ctx. They start
// once a set needs them, and the hub serves them: if another manager owns that group, it may not.
func newDecisions(
	ctx context.Context, hub discovery.DiscoveryInterface, informer inventoryinformers.PlacementDecisionInformer,
	handler cache.ResourceEventHandler,
) *ondemand.Informers[inventorylisters.PlacementDecisionLister] {
	var absentUntil atomic.Pointer[time.Time]
	open := func(ctx context.Context, _ string) (inventorylisters.PlacementDecisionLister, []cache.SharedIndexInformer, error) {
		if until := absentUntil.Load(); until != nil && time.Now().Before(*until) {
			return nil, nil, decision.ErrNotServed
		}
		if err := decision.Served(ctx, hub); err != nil {
			if errors.Is(err, decision.ErrNotServed) {
				absentUntil.Store(ptr.To(time.Now().Add(notServedFor)))
			}
			return nil, nil, err
		}
		return informer.Lister(), []cache.SharedIndexInformer{informer.Informer()}, nil
	}
	return ondemand.New(ctx, open, handler, errors.New("the PlacementDecisions are not read yet"))
}

// decisions are the PlacementDecisions with the decision-key of a set.
type decisions struct {
	// names are the ClusterProfiles that those which count for the set name, each once, in the order
	// of their index.
	names []string
	// ignored says by name why others do not count.
	ignored map[string]string
	// tied is what there is to say of those that share their index, empty if none do.
	tied string
}

// decided returns the decisions for set. The error is decision.ErrNotServed if the hub has none.
func (c *Controller) decided(ctx context.Context, set *v1alpha1.ClusterCredentialSet) (decisions, error) {
	lister, err := c.decisions.Start(ctx, metav1.NamespaceAll)
	if err != nil {
		return decisions{}, err
	}
	key := labels.Set{inventoryv1alpha1.DecisionKeyLabel: set.Spec.Clusters.DecisionKey}
	list, err := lister.PlacementDecisions(set.Namespace).List(key.AsSelector())
	if err != nil {
		return decisions{}, err
	}
	var counting []*inventoryv1alpha1.PlacementDecision
	decided := decisions{ignored: map[string]string{}}
	for _, slice := range list {
		if why := c.doubts(slice, set.Spec.Clusters.DecisionWriters); why != "" {
			decided.ignored[slice.Name] = why
		} else if slice.DeletionTimestamp == nil {
			counting = append(counting, slice)
		}
	}
	for _, cluster := range decision.AllClusters(counting) {
		if cluster.Namespace == credentialset.ProfileNamespace(set) {
			decided.names = append(decided.names, cluster.Name)
		}
	}
	decided.tied = decision.WarnTied(counting)
	return decided, nil
}

// doubts returns why a decision does not count if those of writers do; empty if it counts. The
// Placement of a decision that the controller of Placements has written has to exist: that
// controller keeps the decisions of existing Placements, and no others.
func (c *Controller) doubts(slice *inventoryv1alpha1.PlacementDecision, writers []string) string {
	writer := slice.Annotations[v1alpha1.AnnotationDecisionWriter]
	switch {
	case len(writers) == 0:
		return ""
	case !slices.Contains(writers, writer):
		return fmt.Sprintf("it is written by %q, whom spec.clusters.decisionWriters does not name", words.Clean(writer, maxWriter))
	case writer != c.User && writer != v1alpha1.ControllerManagerUser:
		return ""
	}
	owner := decision.OwnerOf(slice)
	if owner == nil {
		return "it belongs to no Placement"
	}
	placement, err := c.placements.Placements(slice.Namespace).Get(owner.Name)
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
