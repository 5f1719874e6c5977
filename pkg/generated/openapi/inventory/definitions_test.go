// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/hack/openapi-inventory/crd"
)

// roots are the names of the kinds.
var roots = []string{
	util.GetCanonicalTypeName(&inventoryv1alpha1.ClusterProfile{}),
	util.GetCanonicalTypeName(&inventoryv1alpha1.ClusterProfileList{}),
	util.GetCanonicalTypeName(&inventoryv1alpha1.PlacementDecision{}),
	util.GetCanonicalTypeName(&inventoryv1alpha1.PlacementDecisionList{}),
}

// The definitions are those of the CRDs.
func TestDefinitions_CRDs(t *testing.T) {
	crds, err := crd.Load(t.Context())
	require.NoError(t, err)
	schemas := schemasV3(t)
	for _, c := range crds {
		t.Run(c.Spec.Names.Kind, func(t *testing.T) {
			upstream, err := crd.Schema(c)
			require.NoError(t, err)
			served := expand(t, schemas, "io.k8s.sigs.cluster-inventory-api.apis.v1alpha1."+c.Spec.Names.Kind)
			assert.Contains(t, served.Extensions, "x-kubernetes-group-version-kind")
			served.Extensions = nil
			compare(t, upstream, served, c.Spec.Names.Kind)
		})
	}
}

// Every field has a description.
func TestDefinitions_Descriptions(t *testing.T) {
	for name, schemas := range map[string]map[string]*spec.Schema{"v3": schemasV3(t), "v2": schemasV2(t)} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, schemas, metav1.ObjectMeta{}.OpenAPIModelName())
			for name, schema := range schemas {
				assert.NotContains(t, name, "/")
				assert.NotContains(t, name, "~")
				assertDescribed(t, schema, name)
			}
		})
	}
}

// Server-side apply knows the types.
func TestDefinitions_ServerSideApply(t *testing.T) {
	converter, err := managedfields.NewTypeConverter(schemasV3(t), false)
	require.NoError(t, err)

	t.Run("conditions are told apart by type and access providers by name", func(t *testing.T) {
		profile := &inventoryv1alpha1.ClusterProfile{
			TypeMeta: metav1.TypeMeta{APIVersion: inventoryv1alpha1.GroupVersion.String(), Kind: "ClusterProfile"},
			Status: inventoryv1alpha1.ClusterProfileStatus{
				Conditions:      []metav1.Condition{{Type: "ControlPlaneHealthy"}},
				AccessProviders: []inventoryv1alpha1.AccessProvider{{Name: "kubeconfig-secretreader"}},
				Properties:      []inventoryv1alpha1.Property{{Name: "cluster.clusterset.k8s.io"}},
			},
		}
		typed, err := converter.ObjectToTyped(profile)
		require.NoError(t, err)
		set, err := typed.ToFieldSet()
		require.NoError(t, err)
		for _, path := range []string{
			`.status.conditions[type="ControlPlaneHealthy"].reason`,
			`.status.accessProviders[name="kubeconfig-secretreader"].cluster.server`,
			`.status.properties[name="cluster.clusterset.k8s.io"].value`,
		} {
			assert.Contains(t, set.String(), path)
		}
	})

	t.Run("decisions are one value", func(t *testing.T) {
		typed, err := converter.ObjectToTyped(&inventoryv1alpha1.PlacementDecision{
			TypeMeta:  metav1.TypeMeta{APIVersion: inventoryv1alpha1.GroupVersion.String(), Kind: "PlacementDecision"},
			Decisions: []inventoryv1alpha1.ClusterDecision{{}},
		})
		require.NoError(t, err)
		set, err := typed.ToFieldSet()
		require.NoError(t, err)
		assert.Contains(t, set.String(), ".decisions")
		assert.NotContains(t, set.String(), ".decisions[")
	})
}

// compare requires what upstream says about each field of served, but for descriptions that
// upstream lacks and for the schema of metadata, about which a CRD says nothing.
func compare(t *testing.T, upstream, served *spec.Schema, path string) {
	t.Helper()
	if path == "ClusterProfile.metadata" || path == "PlacementDecision.metadata" {
		return
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(upstream.Properties)), slices.Collect(maps.Keys(served.Properties)), path)
	for name := range upstream.Properties {
		u, s := upstream.Properties[name], served.Properties[name]
		compare(t, &u, &s, path+"."+name)
	}
	if upstream.Items != nil {
		require.NotNil(t, served.Items, path)
		compare(t, upstream.Items.Schema, served.Items.Schema, path+"[]")
	}
	u, s := *upstream, *served
	u.Properties, s.Properties = nil, nil
	u.Items, s.Items = nil, nil
	if u.Description == "" {
		s.Description = ""
	}
	assert.JSONEq(t, asJSON(t, &u), asJSON(t, &s), path)
}

func assertDescribed(t *testing.T, schema *spec.Schema, path string) {
	t.Helper()
	for name, property := range schema.Properties {
		assert.NotEmpty(t, property.Description, "%s.%s has no description", path, name)
		assertDescribed(t, &property, path+"."+name)
	}
	if schema.Items != nil {
		assertDescribed(t, schema.Items.Schema, path+"[]")
	}
}

// expand returns the schema by that name with the references within, but for those to metadata, replaced.
func expand(t *testing.T, schemas map[string]*spec.Schema, name string) *spec.Schema {
	t.Helper()
	require.Contains(t, schemas, name)
	return inlined(t, schemas, *schemas[name])
}

func inlined(t *testing.T, schemas map[string]*spec.Schema, schema spec.Schema) *spec.Schema {
	t.Helper()
	ref := schema.Ref.String()
	if len(schema.AllOf) == 1 {
		ref = schema.AllOf[0].Ref.String()
	}
	if ref != "" && !strings.Contains(ref, ".meta.v1.") {
		target := expand(t, schemas, strings.TrimPrefix(ref, "#/components/schemas/"))
		if schema.Description != "" {
			target.Description = schema.Description
		}
		return target
	}
	if schema.Items != nil {
		schema.Items = &spec.SchemaOrArray{Schema: inlined(t, schemas, *schema.Items.Schema)}
	}
	schema.Properties = maps.Clone(schema.Properties)
	for name := range schema.Properties {
		schema.Properties[name] = *inlined(t, schemas, schema.Properties[name])
	}
	return &schema
}

func schemasV3(t *testing.T) map[string]*spec.Schema {
	t.Helper()
	config := &common.OpenAPIV3Config{
		GetDefinitions:    GetOpenAPIDefinitions,
		GetDefinitionName: WithFriendlyNames(namer(t).GetDefinitionName),
	}
	schemas, err := builder3.BuildOpenAPIDefinitionsForResources(config, roots...)
	require.NoError(t, err)
	return schemas
}

func schemasV2(t *testing.T) map[string]*spec.Schema {
	t.Helper()
	config := &common.Config{
		GetDefinitions:    GetOpenAPIDefinitions,
		GetDefinitionName: WithFriendlyNames(namer(t).GetDefinitionName),
	}
	swagger, err := builder.BuildOpenAPIDefinitionsForResources(config, roots...)
	require.NoError(t, err)
	schemas := map[string]*spec.Schema{}
	for name, schema := range swagger.Definitions {
		schemas[name] = &schema
	}
	return schemas
}

func namer(t *testing.T) *apiopenapi.DefinitionNamer {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, inventoryv1alpha1.AddToScheme(scheme))
	return apiopenapi.NewDefinitionNamer(scheme)
}

func asJSON(t *testing.T, schema *spec.Schema) string {
	t.Helper()
	data, err := json.Marshal(schema)
	require.NoError(t, err)
	return string(data)
}
