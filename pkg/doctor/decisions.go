// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/decision"
	"clusterpass.dev/pkg/hub"
)

// maxTied bounds how many decisions with slices that share their index are reported.
const maxTied = 20

// checkDecisions looks for PlacementDecisions, which Placements and some ClusterCredentialSets
// need, and for those that share their decision-index.
func checkDecisions(ctx context.Context, e *examination, f *findings) {
	err := decision.Served(ctx, e.Kubernetes.Discovery())
	if errors.Is(err, decision.ErrNotServed) {
		e.explainNotServed(ctx, f)
		return
	}
	if f.unknown("PlacementDecisions", err) {
		return
	}
	type key struct{ namespace, value string }
	slicesOf := map[key][]*inventoryv1alpha1.PlacementDecision{}
	only, err := e.inNamespaces(func(namespace string) error {
		list := e.Profiles.ApisV1alpha1().PlacementDecisions(namespace).List
		return each(ctx, list, func(slice *inventoryv1alpha1.PlacementDecision) {
			of := key{slice.Namespace, slice.Labels[inventoryv1alpha1.DecisionKeyLabel]}
			slice.Decisions, slice.ManagedFields = nil, nil // there may be many, and only their index counts
			slicesOf[of] = append(slicesOf[of], slice)
		})
	})
	if f.unknown("PlacementDecisions", err) {
		return
	}
	f.onlyIn(only, "PlacementDecisions")
	tied := 0
	byNamespace := func(a, b key) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.value, b.value))
	}
	for _, of := range slices.SortedFunc(maps.Keys(slicesOf), byNamespace) {
		if warning := decision.WarnTied(slicesOf[of]); warning != "" && of.value != "" {
			if tied++; tied <= maxTied {
				f.warn("PlacementDecisions of "+of.namespace+" with decision-key "+of.value,
					"If their order matters, have their scheduler give each an index of its own (KEP-5313)", "%s", warning)
			}
		}
	}
	if tied > maxTied {
		f.skip("", "%d more decisions with slices that share their decision-index are not listed", tied-maxTied)
	}
	if tied == 0 {
		f.ok("", "the hub serves PlacementDecisions, and those of one decision have different indexes")
	}
}

// explainNotServed reports that the hub has no PlacementDecisions: it is no failure if nothing
// needs them.
func (e *examination) explainNotServed(ctx context.Context, f *findings) {
	if e.mode() != hub.InventoryExternal {
		f.fail("PlacementDecisions", "First see what the check apiservices found: kubectl get --raw /readyz?verbose",
			"the hub does not serve them")
		return
	}
	needed := 0
	_, err := e.inNamespaces(func(namespace string) error {
		client := e.Clusterpass.ClusterpassV1alpha1()
		return errors.Join(
			each(ctx, client.Placements(namespace).List, func(*clusterpassv1alpha1.Placement) { needed++ }),
			each(ctx, client.ClusterCredentialSets(namespace).List, func(set *clusterpassv1alpha1.ClusterCredentialSet) {
				if set.Spec.Clusters.DecisionKey != "" {
					needed++
				}
			}))
	})
	about := "CustomResourceDefinition placementdecisions." + inventoryv1alpha1.Group
	mend := "Install it from sigs.k8s.io/cluster-inventory-api: " +
		"kubectl apply -f config/crd/bases/multicluster.x-k8s.io_placementdecisions.yaml"
	switch {
	case f.unknown("Placements and ClusterCredentialSets", err):
	case needed > 0:
		f.fail(about, mend, "it is missing, or serves no version that clusterpass knows: "+
			"%d Placements, and ClusterCredentialSets that select by decisions, wait for it", needed)
	default:
		f.ok(about, "it is missing, and nothing needs it: there is no Placement, and no ClusterCredentialSet that selects by decisions")
	}
}
