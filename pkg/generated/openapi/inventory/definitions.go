// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inventory holds the OpenAPI definitions of upstream's ClusterProfile and PlacementDecision,
// in the shape that openapi-gen gives those of our own types. hack/openapi-inventory writes the
// definitions; this file is by hand.
package inventory

import (
	_ "embed" // The definitions.
	"encoding/json"
	"strings"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/schemamutation"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"clusterpass.dev/pkg/generated/openapi"
)

//go:embed zz_generated.definitions.json
var document []byte

// GetOpenAPIDefinitions returns the definitions of our own types, and of the metadata that all types
// have, and one for each of upstream's Go types. That is by its import path and name, which is how
// the builders of OpenAPI documents look for a type without a model name of its own.
func GetOpenAPIDefinitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	var schemas map[string]*spec.Schema
	utilruntime.Must(json.Unmarshal(document, &schemas))
	definitions := openapi.GetOpenAPIDefinitions(ref)
	for name, schema := range schemas {
		definitions[name] = resolve(schema, ref)
	}
	return definitions
}

// GetDefinitionName returns what a document calls the definition of a type, and its extensions.
type GetDefinitionName func(name string) (string, spec.Extensions)

// WithFriendlyNames returns next for types that are named by an import path, as upstream's are. A document
// can't use that name, because of its slashes, and the namer of k8s.io/apiserver knows the kind of such a type
// by its friendly name only: io.k8s.sigs.cluster-inventory-api.apis.v1alpha1.ClusterProfile.
func WithFriendlyNames(next GetDefinitionName) GetDefinitionName {
	return func(name string) (string, spec.Extensions) {
		return next(FriendlyName(name))
	}
}

// resolve turns the bare names in schema into references and lists them as dependencies.
func resolve(schema *spec.Schema, ref common.ReferenceCallback) common.OpenAPIDefinition {
	definition := common.OpenAPIDefinition{}
	walker := schemamutation.Walker{
		SchemaCallback: schemamutation.SchemaCallBackNoop,
		RefCallback: func(r *spec.Ref) *spec.Ref {
			name := r.String()
			if name == "" {
				return r
			}
			definition.Dependencies = append(definition.Dependencies, name)
			resolved := ref(FriendlyName(name))
			return &resolved
		},
	}
	definition.Schema = *walker.WalkSchema(schema)
	return definition
}

// FriendlyName returns the name of a definition without slashes, which those of upstream's types have.
func FriendlyName(name string) string {
	if !strings.Contains(name, "/") {
		return name
	}
	return util.ToRESTFriendlyName(name)
}
