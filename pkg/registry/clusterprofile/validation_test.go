// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/registrytest"
)

// Errors name the field.
// Which objects are refused is in the cases that are shared with the CRD; here is how it is said.
func TestStrategy_ValidateErrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*inventoryv1alpha1.ClusterProfile)
		want   string
	}{
		{
			"another manager",
			func(p *inventoryv1alpha1.ClusterProfile) { p.Spec.ClusterManager.Name = "karmada" },
			`spec.clusterManager: Invalid value: "karmada": ClusterManager is immutable`,
		},
		{
			"a label that names another manager",
			func(p *inventoryv1alpha1.ClusterProfile) {
				p.Labels = map[string]string{"x-k8s.io/cluster-manager": "karmada"}
			},
			`metadata.labels[x-k8s.io/cluster-manager]: Invalid value: "karmada": ` +
				`must equal spec.clusterManager.name, which is "ocm", or be absent`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			updated := profile()
			tc.change(updated)
			assert.Equal(t, []string{tc.want}, registrytest.Messages(validateUpdate(updated, profile())))
		})
	}
}

// Errors name the field.
func TestStatusStrategy_ValidateErrors(t *testing.T) {
	status := &inventoryv1alpha1.ClusterProfileStatus{
		Conditions: []metav1.Condition{{Type: "A b", Status: "Maybe", ObservedGeneration: -1}},
		Properties: []inventoryv1alpha1.Property{{Name: "a", Value: "b"}, {Name: "a"}},
		CredentialProviders: []inventoryv1alpha1.AccessProvider{
			{Name: "p", Cluster: clientcmdv1.Cluster{Server: "https://a", Extensions: []clientcmdv1.NamedExtension{
				{Name: "x", Extension: runtime.RawExtension{Raw: []byte(` "secret"`)}}, {},
			}}},
		},
		AccessProviders: []inventoryv1alpha1.AccessProvider{
			{},
			{Name: "p", Cluster: clientcmdv1.Cluster{ProxyURL: "http://proxy"}},
			{Name: strings.Repeat("p", 3)},
		},
	}
	assert.Equal(t, []string{
		`status.conditions[0].type: Invalid value: "A b": must match ` +
			`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$`,
		`status.conditions[0].reason: Required value`,
		`status.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"`,
		`status.conditions[0].lastTransitionTime: Required value`,
		`status.conditions[0].observedGeneration: Invalid value: -1: must not be negative`,
		`status.properties[1].name: Duplicate value: "a"`,
		`status.properties[1].value: Required value`,
		`status.credentialProviders[0].cluster.extensions[0].extension: Invalid value: must be an object`,
		`status.credentialProviders[0].cluster.extensions[1].name: Required value`,
		`status.credentialProviders[0].cluster.extensions[1].extension: Required value`,
		`status.accessProviders[0].name: Required value`,
		`status.accessProviders[1].cluster.server: Required value`,
	}, registrytest.Messages(validateStatus(status, field.NewPath("status"))))
}

// Taints are checked where they are changed.
func TestStrategy_ValidateTaints(t *testing.T) {
	const good, bad, worse = `[{"key":"gpu","effect":"NoSelect"}]`, `[{"key":"gpu"}]`, "none"
	tainted := func(annotation string) *inventoryv1alpha1.ClusterProfile {
		p := profile()
		p.Annotations = map[string]string{v1alpha1.AnnotationTaints: annotation}
		return p
	}
	untainted := profile()
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
