// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// Taints are checked where they are changed.
func TestStrategy_ValidateTaints(t *testing.T) {
	const good, bad, worse = `[{"key":"gpu","effect":"NoSelect"}]`, `[{"key":"gpu"}]`, "none"
	tainted := func(annotation string) *inventoryv1alpha1.ClusterProfile {
		return &inventoryv1alpha1.ClusterProfile{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "whale", Annotations: map[string]string{v1alpha1.AnnotationTaints: annotation}},
			Spec:       inventoryv1alpha1.ClusterProfileSpec{ClusterManager: inventoryv1alpha1.ClusterManager{Name: "m"}},
		}
	}
	untainted := tainted(good)
	untainted.Annotations = nil
	const refused = "metadata.annotations[clusterpass.dev/taints]"
	for name, tc := range map[string]struct {
		profile, old *inventoryv1alpha1.ClusterProfile
		want         string
	}{
		"a create with taints":                               {tainted(good), nil, ""},
		"a create with bad ones":                             {tainted(bad), nil, refused},
		"an update that adds bad ones":                       {tainted(bad), untainted, refused},
		"an update that adds an empty annotation":            {tainted(""), untainted, refused},
		"an update that replaces bad ones by other bad ones": {tainted(worse), tainted(bad), refused},
		"an update that leaves bad ones alone":               {tainted(bad), tainted(bad), ""},
		"an update that removes bad ones":                    {untainted, tainted(bad), ""},
		"an update that mends them":                          {tainted(good), tainted(bad), ""},
	} {
		t.Run(name, func(t *testing.T) {
			errs := validateCreate(tc.profile)
			if tc.old != nil {
				errs = validateUpdate(tc.profile, tc.old)
			}
			var found []string
			for _, err := range errs {
				found = append(found, err.Field)
			}
			assert.Equal(t, tc.want, strings.Join(found, " "))
		})
	}
}
