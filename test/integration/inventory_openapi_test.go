// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"clusterpass.dev/test/testenv"
)

// described are the kinds that explain themselves, by group-version.
var described = map[string][]string{
	"multicluster.x-k8s.io/v1alpha2": {"ClusterProfile", "PlacementDecision"},
	"multicluster.x-k8s.io/v1alpha1": {"ClusterProfile", "PlacementDecision", "AuthTokenRequest"},
	"clusterpass.dev/v1alpha1":       {"AuthTokenRequest", "AuthTokenGrant"},
}

// The hub's OpenAPI v2 stays whole.
func TestOpenAPI_V2(t *testing.T) {
	// The aggregator merges our document into the hub's in the background.
	testenv.Eventually(t, func(context.Context) error {
		var document spec.Swagger
		status, _, body := get(t, "/openapi/v2", "application/json")
		if status != http.StatusOK {
			return fmt.Errorf("%d %s", status, body)
		}
		if err := document.UnmarshalJSON(body); err != nil {
			return err
		}
		kinds := sets.New[string]()
		for _, definition := range document.Definitions {
			kinds.Insert(kindsOf(&definition)...)
		}
		var missing []error
		for gv, of := range described {
			for _, kind := range of {
				if !kinds.Has(gv + " " + kind) {
					missing = append(missing, fmt.Errorf("%s of %s is missing", kind, gv))
				}
			}
		}
		for _, core := range []string{"/v1 Pod", "apps/v1 Deployment"} {
			if !kinds.Has(core) {
				missing = append(missing, fmt.Errorf("%s is missing", core))
			}
		}
		for _, path := range []string{
			"/api/v1/namespaces/{namespace}/pods",
			"/apis/multicluster.x-k8s.io/v1alpha1/namespaces/{namespace}/clusterprofiles/{name}/token",
			"/apis/multicluster.x-k8s.io/v1alpha2/namespaces/{namespace}/clusterprofiles/{name}/token",
			// kubectl reads there that the server validates fields.
			"/apis/multicluster.x-k8s.io/v1alpha1/namespaces/{namespace}/authtokenrequests/{name}",
			"/apis/clusterpass.dev/v1alpha1/namespaces/{namespace}/authtokenrequests/{name}",
		} {
			if _, ok := document.Paths.Paths[path]; !ok {
				missing = append(missing, fmt.Errorf("path %s is missing", path))
			}
		}
		return errors.Join(missing...)
	})
}

// kindsOf returns what the schema says it is the schema of, as "group/version kind".
func kindsOf(schema *spec.Schema) []string {
	list, _ := schema.Extensions["x-kubernetes-group-version-kind"].([]any)
	var kinds []string
	for _, entry := range list {
		gvk, _ := entry.(map[string]any)
		kinds = append(kinds, fmt.Sprintf("%s/%s %s", gvk["group"], gvk["version"], gvk["kind"]))
	}
	return kinds
}

// The hub's OpenAPI v3 stays whole.
func TestOpenAPI_V3(t *testing.T) {
	var index struct {
		Paths map[string]any `json:"paths"`
	}
	getJSON(t, "/openapi/v3", "application/json", &index)
	for _, path := range []string{"api/v1", "apis/apps/v1"} {
		assert.NotNil(t, index.Paths[path], path)
	}
	for gv, kinds := range described {
		assert.NotNil(t, index.Paths["apis/"+gv], gv)
		document := openAPIV3(t, gv)
		for _, kind := range kinds {
			assert.NotNil(t, schemaOf(document, gv, kind), "%s has no %s", gv, kind)
		}
	}
}

func openAPIV3(t *testing.T, gv string) *spec3.OpenAPI {
	t.Helper()
	document := &spec3.OpenAPI{}
	getJSON(t, "/openapi/v3/apis/"+gv, "application/json", document)
	return document
}

// schemaOf returns the schema of a kind, nil if the document has none.
func schemaOf(document *spec3.OpenAPI, gv, kind string) *spec.Schema {
	for _, schema := range document.Components.Schemas {
		if slices.Contains(kindsOf(schema), gv+" "+kind) {
			return schema
		}
	}
	return nil
}

// Every field is described.
func TestOpenAPI_Descriptions(t *testing.T) {
	for gv, kinds := range described {
		document := openAPIV3(t, gv)
		for _, kind := range kinds {
			t.Run(gv+" "+kind, func(t *testing.T) {
				w := &fieldWalk{document: document}
				w.walk(strings.ToLower(kind), schemaOf(document, gv, kind), nil)
				require.GreaterOrEqual(t, len(w.fields), 10, "the walk saw only %v", w.fields)
				assert.Empty(t, w.undescribed, "without a description")
				t.Logf("%d fields", len(w.fields))
			})
		}
	}
}

// fieldWalk goes through all fields below a schema, through references.
type fieldWalk struct {
	document *spec3.OpenAPI
	// fields are the paths of all fields, objects those of fields with fields of their own.
	fields, objects, undescribed []string
}

// walk looks at schema, found at path. Inside says which references lead here, so that recursion
// ends.
func (w *fieldWalk) walk(path string, schema *spec.Schema, inside []string) {
	schema, inside = w.resolve(schema, inside)
	if schema == nil {
		return
	}
	if schema.Items != nil {
		w.walk(path, schema.Items.Schema, inside)
	}
	if schema.AdditionalProperties != nil {
		w.walk(path, schema.AdditionalProperties.Schema, inside)
	}
	if len(schema.Properties) > 0 {
		w.objects = append(w.objects, path)
	}
	for name := range schema.Properties {
		property, field := schema.Properties[name], path+"."+name
		w.fields = append(w.fields, field)
		target, _ := w.resolve(&property, nil)
		if property.Description == "" && (target == nil || target.Description == "") {
			w.undescribed = append(w.undescribed, field)
		}
		w.walk(field, &property, inside)
	}
}

// resolve follows a reference, which OpenAPI v3 wraps in allOf. It returns nil for one that was
// followed before.
func (w *fieldWalk) resolve(schema *spec.Schema, inside []string) (target *spec.Schema, within []string) {
	if schema == nil {
		return nil, inside
	}
	if len(schema.AllOf) == 1 {
		schema = &schema.AllOf[0]
	}
	ref := schema.Ref.String()
	if ref == "" {
		return schema, inside
	}
	if slices.Contains(inside, ref) {
		return nil, inside
	}
	return w.document.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")], append(slices.Clip(inside), ref)
}

// Kubectl explains every field.
func TestOpenAPI_KubectlExplain(t *testing.T) {
	hub := shared.Hub.Kubeconfig()
	for gv, kinds := range described {
		document := openAPIV3(t, gv)
		for _, kind := range kinds {
			t.Run(gv+" "+kind, func(t *testing.T) {
				w := &fieldWalk{document: document}
				w.walk(strings.ToLower(kind)+"s", schemaOf(document, gv, kind), nil)
				for _, object := range w.objects {
					if strings.Contains(object, ".metadata") {
						continue // the same for every kind of Kubernetes
					}
					out := testenv.Must[string](t)(testenv.Kubectl(t.Context(), hub, "", "explain", "--api-version="+gv, object))
					assert.NotContains(t, out, "<no description>", object)
					assert.Contains(t, out, "FIELDS:", object)
				}
			})
		}
	}
	tests := map[string][]string{
		"clusterprofile.status.accessProviders": {"<[]AccessProvider>", "the ways to reach the cluster",
			"cluster <Cluster>", "name <string> -required-"},
		"clusterprofile.status.accessProviders.cluster": {"certificate-authority-data", "tls-server-name"},
		"authtokenrequest.spec":                         {"clusterRoles <[]ClusterRole>", "expirationSeconds <integer>", "at least 600"},
		"clusterprofile --recursive":                    {"accessProviders", "lastTransitionTime", "lastObservedTime"},
	}
	for args, words := range tests {
		t.Run(args, func(t *testing.T) {
			out := testenv.Must[string](t)(testenv.Kubectl(t.Context(), hub, "", append([]string{"explain"}, strings.Fields(args)...)...))
			out = strings.Join(strings.Fields(out), " ") // whatever lines it is wrapped to
			for _, word := range words {
				assert.Contains(t, out, word)
			}
		})
	}
}
