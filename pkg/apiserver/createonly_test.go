// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// OpenAPI has a PATCH with field validation beside each POST of an AuthTokenRequest, and nothing
// else new.
func TestDescribeRefusedPatch(t *testing.T) {
	const (
		group = "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/{namespace}/"
		post  = `"tags": ["multicluster_v1alpha1"],
			"x-kubernetes-action": "post", "x-kubernetes-group-version-kind": {"kind": "AuthTokenRequest"}, "responses": {}`
		patch = `"operationId": "patchNamespacedAuthTokenRequest", "tags": ["multicluster_v1alpha1"],
			"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": {"kind": "AuthTokenRequest"},
			"description": "always refused, as an AuthTokenRequest is not stored: create one",
			"responses": {"405": {"description": "AuthTokenRequest is not stored: use kubectl create"}}`
		name       = `"name": "name", "in": "path", "description": "name of the AuthTokenRequest", "required": true`
		validation = `"name": "fieldValidation", "in": "query",
			"description": "What to do with unknown and duplicate fields: Ignore, Warn or Strict."`
		others = `{"name": "namespace", "in": "path"}`
	)
	for version, test := range map[string]struct {
		document json.Unmarshaler
		describe func(document json.Unmarshaler) (any, error)
		ofString string
	}{
		"2": {&spec.Swagger{}, func(d json.Unmarshaler) (any, error) { return describeRefusedPatch(d.(*spec.Swagger)) },
			`"type": "string", "uniqueItems": true`},
		"3": {&spec3.OpenAPI{}, func(d json.Unmarshaler) (any, error) { return describeRefusedPatchV3(d.(*spec3.OpenAPI)) },
			`"schema": {"type": "string", "uniqueItems": true}`},
	} {
		t.Run("version "+version, func(t *testing.T) {
			requests := `{"parameters": [` + others + `], "post": {"operationId": "createNamespacedAuthTokenRequest", ` + post + `}}`
			profiles := `{"post": {"operationId": "createNamespacedClusterProfile", ` + post + `}}`
			require.NoError(t, json.Unmarshal([]byte(`{"paths": {"`+group+`authtokenrequests": `+requests+`, "`+
				group+`clusterprofiles": `+profiles+`}}`), test.document))
			described, err := test.describe(test.document)
			require.NoError(t, err)
			encoded, err := json.Marshal(described)
			require.NoError(t, err)
			var document struct {
				Paths map[string]json.RawMessage
			}
			require.NoError(t, json.Unmarshal(encoded, &document))
			require.Len(t, document.Paths, 3)
			assert.JSONEq(t, requests, string(document.Paths[group+"authtokenrequests"]))
			assert.JSONEq(t, profiles, string(document.Paths[group+"clusterprofiles"]))
			assert.JSONEq(t, `{"parameters": [{`+name+`, `+test.ofString+`}, `+others+`],
				"patch": {`+patch+`, "parameters": [{`+validation+`, `+test.ofString+`}]}}`,
				string(document.Paths[group+"authtokenrequests/{name}"]))
		})
	}
}
