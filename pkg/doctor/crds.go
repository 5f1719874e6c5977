// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"slices"
	"strings"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

// checkCRDs looks for CustomResourceDefinitions in the group-version that an APIService owns as a whole, or, where
// the hub serves it without clusterpass, for the one of ClusterProfile.
func checkCRDs(_ context.Context, e *examination) findings {
	var f findings
	switch {
	case e.hub.crds.err != nil:
		f.unknown("CustomResourceDefinitions", e.hub.crds.err)
	case e.mode() == InventoryExternal:
		e.expectProfilesCRD(&f)
	default:
		e.expectNoCRDs(&f)
	}
	return f
}

func (e *examination) expectNoCRDs(f *findings) {
	ours := multiclusterv1alpha1.SchemeGroupVersion
	names := e.hub.crds.value
	if len(names) == 0 {
		f.ok("", "none in %s, which clusterpass serves as a whole", ours)
		return
	}
	for _, name := range names {
		f.fail("CustomResourceDefinition "+name,
			"Export its objects and remove it, or leave the group to it, as docs/migration.md says (From the CRD to Served): kubectl delete crd "+name,
			"it serves %s, which clusterpass serves as a whole: clusterpass is not ready beside it", ours)
	}
}

func (e *examination) expectProfilesCRD(f *findings) {
	ours := multiclusterv1alpha1.SchemeGroupVersion
	if !slices.Contains(e.hub.crds.value, profilesCRD) {
		f.fail("CustomResourceDefinition "+profilesCRD,
			"Install it from sigs.k8s.io/cluster-inventory-api, or let clusterpass serve the group: kubectl apply -f config/crd/bases/multicluster.x-k8s.io_clusterprofiles.yaml",
			"it is missing, or does not serve %s: clusterpass runs with --inventory=%s and reads ClusterProfiles from it", ours, InventoryExternal)
		return
	}
	served, ok := e.hub.apiServices.value[clusterpassService]
	if e.Inventory == InventoryUnknown && ok && !isAvailable(served) {
		f.warn("CustomResourceDefinitions "+strings.Join(e.hub.crds.value, ", "),
			"If clusterpass is to serve the group, remove them as docs/migration.md says (From the CRD to Served), else check that it runs with --inventory=External: kubectl -n "+
				SystemNamespace+" get deployment "+serverName+" -o yaml",
			"the hub serves %s from them, and clusterpass is not available: without --inventory=%s it is not ready beside them", ours, InventoryExternal)
		return
	}
	f.ok("CustomResourceDefinition "+profilesCRD, "the hub serves ClusterProfiles from it (--inventory=%s)", InventoryExternal)
}
