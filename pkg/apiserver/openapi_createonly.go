// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"
	"strings"

	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// kubectl relies on field validation by the server only if OpenAPI has a PATCH operation of the
// kind with the parameter fieldValidation. Otherwise it lists the CustomResourceDefinitions, which
// ordinary users may not, and fails. Therefore AuthTokenRequest has such an operation, and
// refuseUnstored answers it.
const (
	fieldValidation            = "fieldValidation"
	fieldValidationDescription = "What to do with unknown and duplicate fields: Ignore, Warn or Strict."
	patchDescription           = "always refused, as an AuthTokenRequest is not stored: create one"

	extensionAction = "x-kubernetes-action"
	extensionKind   = "x-kubernetes-group-version-kind"
)

// requestsPaths returns the paths of AuthTokenRequests in all groups, served or not.
func requestsPaths() []string {
	var paths []string
	for _, gv := range groupVersions {
		paths = append(paths, "/apis/"+gv.String()+"/namespaces/{namespace}/authtokenrequests")
	}
	return paths
}

// patchID returns the ID of the PATCH operation that belongs to the POST operation with postID.
func patchID(postID string) string { return "patch" + strings.TrimPrefix(postID, "create") }

// describeRefusedPatch adds the PATCH operation to an OpenAPI v2 document.
func describeRefusedPatch(document *spec.Swagger) (*spec.Swagger, error) {
	for _, path := range requestsPaths() {
		item, ok := document.Paths.Paths[path]
		if !ok {
			continue
		}
		patch := spec.Operation{
			VendorExtensible: spec.VendorExtensible{Extensions: spec.Extensions{
				extensionAction: "patch", extensionKind: item.Post.Extensions[extensionKind],
			}},
			OperationProps: spec.OperationProps{
				ID:          patchID(item.Post.ID),
				Description: patchDescription,
				Tags:        item.Post.Tags,
				Parameters:  []spec.Parameter{stringParameter(fieldValidation, "query", fieldValidationDescription)},
				Responses: &spec.Responses{ResponsesProps: spec.ResponsesProps{StatusCodeResponses: map[int]spec.Response{
					http.StatusMethodNotAllowed: {ResponseProps: spec.ResponseProps{Description: notStored}},
				}}},
			},
		}
		name := stringParameter("name", "path", "name of the AuthTokenRequest")
		name.Required = true
		named := spec.PathItem{PathItemProps: spec.PathItemProps{Patch: &patch, Parameters: []spec.Parameter{name}}}
		named.Parameters = append(named.Parameters, item.Parameters...)
		document.Paths.Paths[path+"/{name}"] = named
	}
	return document, nil
}

func stringParameter(name, in, description string) spec.Parameter {
	return spec.Parameter{
		SimpleSchema:      spec.SimpleSchema{Type: "string"},
		CommonValidations: spec.CommonValidations{UniqueItems: true},
		ParamProps:        spec.ParamProps{Name: name, In: in, Description: description},
	}
}

// describeRefusedPatchV3 is describeRefusedPatch for OpenAPI v3.
func describeRefusedPatchV3(document *spec3.OpenAPI) (*spec3.OpenAPI, error) {
	for _, path := range requestsPaths() {
		item, ok := document.Paths.Paths[path]
		if !ok {
			continue
		}
		patch := spec3.Operation{
			VendorExtensible: spec.VendorExtensible{Extensions: spec.Extensions{
				extensionAction: "patch", extensionKind: item.Post.Extensions[extensionKind],
			}},
			OperationProps: spec3.OperationProps{
				OperationId: patchID(item.Post.OperationId),
				Description: patchDescription,
				Tags:        item.Post.Tags,
				Parameters:  []*spec3.Parameter{stringParameterV3(fieldValidation, "query", fieldValidationDescription)},
				Responses: &spec3.Responses{ResponsesProps: spec3.ResponsesProps{StatusCodeResponses: map[int]*spec3.Response{
					http.StatusMethodNotAllowed: {ResponseProps: spec3.ResponseProps{Description: notStored}},
				}}},
			},
		}
		name := stringParameterV3("name", "path", "name of the AuthTokenRequest")
		name.Required = true
		document.Paths.Paths[path+"/{name}"] = &spec3.Path{PathProps: spec3.PathProps{
			Patch: &patch, Parameters: append([]*spec3.Parameter{name}, item.Parameters...),
		}}
	}
	return document, nil
}

func stringParameterV3(name, in, description string) *spec3.Parameter {
	return &spec3.Parameter{ParameterProps: spec3.ParameterProps{
		Name: name, In: in, Description: description, Schema: spec.StringProperty(),
	}}
}
