// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

func clusterName(i int) types.NamespacedName {
	return types.NamespacedName{Namespace: "fleet", Name: fmt.Sprintf("cluster-%05d", i)}
}

// scoreSpec returns the spec of a placement that weighs one score of usage and nothing else.
func scoreSpec(name string, number int32) v1alpha1.PlacementSpec {
	return v1alpha1.PlacementSpec{
		NumberOfClusters: ptr.To(number),
		PrioritizerPolicy: v1alpha1.PrioritizerPolicy{
			Mode: v1alpha1.PrioritizerPolicyExact,
			Configurations: []v1alpha1.PrioritizerConfig{{ScoreCoordinate: v1alpha1.ScoreCoordinate{
				Type:  v1alpha1.ScoreCoordinateAddOn,
				AddOn: &v1alpha1.AddOnScore{ResourceName: "usage", ScoreName: name},
			}}},
		},
	}
}
