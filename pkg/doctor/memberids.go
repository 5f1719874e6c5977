// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"maps"
	"slices"

	multiclusterv1alpha2 "clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/words"
)

// checkMemberIDs looks for ClusterProfiles of one namespace that have the same label
// inventory-member-id. In different namespaces they are the views of one cluster that its manager
// made.
func checkMemberIDs(_ context.Context, e *examination, f *findings) {
	type member struct{ namespace, id string }
	names := map[member][]string{}
	known := e.knownProfiles(f)
	for _, profile := range known {
		if id := profile.Labels[multiclusterv1alpha2.LabelInventoryMemberID]; id != "" {
			of := member{profile.Namespace, id}
			names[of] = append(names[of], profile.Name)
		}
	}
	byNamespace := func(a, b member) int { return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.id, b.id)) }
	for _, of := range slices.SortedFunc(maps.Keys(names), byNamespace) {
		if len(names[of]) > 1 {
			slices.Sort(names[of])
			f.warn("ClusterProfiles "+words.Some(names[of], ", ", maxLeft)+" of namespace "+of.namespace,
				"If they are for one cluster, remove all but one. If not, give each a value of its own: kubectl -n "+of.namespace+
					" label clusterprofile "+names[of][0]+" --overwrite "+multiclusterv1alpha2.LabelInventoryMemberID+"=ID",
				"they have the same label inventory-member-id, %s: consumers take them for one cluster", of.id)
		}
	}
	if len(*f) == 0 {
		f.ok("", "no two ClusterProfiles of a namespace have the same label inventory-member-id")
	}
}
