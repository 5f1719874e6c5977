// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
)

func TestCheckMemberIDs(t *testing.T) {
	for name, test := range map[string]struct {
		// profiles are written as namespace, name and id: a/lion=1.
		profiles []string
		want     verdict
	}{
		"each has its own":      {[]string{"a/lion=1", "a/fish=2"}, verdict{verdict: OK, message: "no two ClusterProfiles"}},
		"none has one":          {[]string{"a/lion=", "a/fish="}, verdict{verdict: OK}},
		"two namespaces of one": {[]string{"a/lion=1", "b/lion=1"}, verdict{verdict: OK}},
		"two of one namespace": {
			[]string{"a/lion=1", "b/whale=1", "a/fish=1"},
			verdict{Warn, "same label inventory-member-id, 1", "kubectl -n a label clusterprofile fish --overwrite"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExamination(&Clients{})
			for _, profile := range test.profiles {
				name, id, _ := strings.Cut(profile, "=")
				namespace, name, _ := strings.Cut(name, "/")
				e.hub.profiles.value.items = append(e.hub.profiles.value.items, &inventoryv1alpha1.ClusterProfile{
					ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1alpha2.LabelInventoryMemberID: id}},
				})
			}
			test.want.expect(t, examine(t, checkMemberIDs, e))
		})
	}
}
