// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kube-openapi/pkg/openapiconv"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"clusterpass.dev/pkg/registry/author"
)

// notStored is the message of the answer to every verb except create.
const notStored = "AuthTokenRequest is not stored: use kubectl create"

// createOnly are the resources and subresources, of all groups, that return a token and are never
// stored.
var createOnly = sets.New("authtokenrequests", "clusterprofiles/token", "clustercredentialsets/token")

// withSubresource returns the name of a resource, or of its subresource unless that is empty.
func withSubresource(resource, subresource string) string {
	return strings.TrimSuffix(resource+"/"+subresource, "/")
}

// buildHandlerChain is the generic chain, with boundBodies and refuseUnstored after authorization.
// So only clients that hold the verb learn that it is not supported, and only authorized clients
// make the server read a body. The storage of these resources must not implement the other verbs:
// discovery would list them, and the hub's controllers would use them.
func buildHandlerChain(handler http.Handler, config *genericapiserver.Config) http.Handler {
	return genericapiserver.DefaultBuildHandlerChain(refuseUnstored(boundBodies(author.WithPatch(handler))), config)
}

// refuseUnstored answers 405 to every verb except create on a resource that is never stored. After
// a 404, kubectl apply, edit and replace would continue with a create, and so mint a token that
// nobody sees.
func refuseUnstored(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(r.Context())
		if !ok || info.Verb == "create" || !createOnly.Has(withSubresource(info.Resource, info.Subresource)) {
			handler.ServeHTTP(w, r)
			return
		}
		refusal := apierrors.NewMethodNotSupported(schema.GroupResource{Group: info.APIGroup, Resource: info.Resource}, info.Verb)
		refusal.ErrStatus.Message = notStored
		responsewriters.ErrorNegotiated(refusal, Codecs, schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}, w, r)
	})
}

// requestsPaths returns the paths of AuthTokenRequests in all groups, served or not.
func requestsPaths() []string {
	var paths []string
	for _, gv := range groupVersions {
		paths = append(paths, "/apis/"+gv.String()+"/namespaces/{namespace}/authtokenrequests")
	}
	return paths
}

// refusedPatch returns the path of one AuthTokenRequest, with the PATCH operation that belongs to
// a POST operation with this ID, these tags and these extensions.
//
// kubectl relies on field validation by the server only if OpenAPI has a PATCH operation of the
// kind with the parameter fieldValidation. Otherwise it lists the CustomResourceDefinitions, which
// ordinary users may not, and fails. Therefore AuthTokenRequest has such an operation, and
// refuseUnstored answers it.
func refusedPatch(postID string, tags []string, extensions spec.Extensions) spec.PathItem {
	const kind = "x-kubernetes-group-version-kind"
	name := stringParameter("name", "path", "name of the AuthTokenRequest")
	name.Required = true
	patch := &spec.Operation{
		VendorExtensible: spec.VendorExtensible{Extensions: spec.Extensions{"x-kubernetes-action": "patch", kind: extensions[kind]}},
		OperationProps: spec.OperationProps{
			ID:          "patch" + strings.TrimPrefix(postID, "create"),
			Description: "always refused, as an AuthTokenRequest is not stored: create one",
			Tags:        tags,
			Parameters: []spec.Parameter{
				stringParameter("fieldValidation", "query", "What to do with unknown and duplicate fields: Ignore, Warn or Strict."),
			},
			Responses: &spec.Responses{ResponsesProps: spec.ResponsesProps{StatusCodeResponses: map[int]spec.Response{
				http.StatusMethodNotAllowed: {ResponseProps: spec.ResponseProps{Description: notStored}},
			}}},
		},
	}
	return spec.PathItem{PathItemProps: spec.PathItemProps{Patch: patch, Parameters: []spec.Parameter{name}}}
}

func stringParameter(name, in, description string) spec.Parameter {
	return spec.Parameter{
		SimpleSchema:      spec.SimpleSchema{Type: "string"},
		CommonValidations: spec.CommonValidations{UniqueItems: true},
		ParamProps:        spec.ParamProps{Name: name, In: in, Description: description},
	}
}

// describeRefusedPatch adds the PATCH operation to an OpenAPI v2 document.
func describeRefusedPatch(document *spec.Swagger) (*spec.Swagger, error) {
	for _, path := range requestsPaths() {
		if item, ok := document.Paths.Paths[path]; ok {
			named := refusedPatch(item.Post.ID, item.Post.Tags, item.Post.Extensions)
			named.Parameters = append(named.Parameters, item.Parameters...)
			document.Paths.Paths[path+"/{name}"] = named
		}
	}
	return document, nil
}

// describeRefusedPatchV3 is describeRefusedPatch for OpenAPI v3.
func describeRefusedPatchV3(document *spec3.OpenAPI) (*spec3.OpenAPI, error) {
	for _, path := range requestsPaths() {
		if item, ok := document.Paths.Paths[path]; ok {
			named := openapiconv.ConvertPathItem(refusedPatch(item.Post.OperationId, item.Post.Tags, item.Post.Extensions))
			named.Parameters = append(named.Parameters, item.Parameters...)
			document.Paths.Paths[path+"/{name}"] = named
		}
	}
	return document, nil
}
