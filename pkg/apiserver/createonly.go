// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"clusterpass.dev/pkg/registry/author"
)

// notStored is the message of the answer to every verb except create.
const notStored = "AuthTokenRequest is not stored: use kubectl create"

// createOnly are the resources and subresources, of all groups, that return a token and are never stored.
var createOnly = sets.New("authtokenrequests", "clusterprofiles/token", "clustercredentialsets/token")

// isCreateOnly returns whether a resource, or its subresource unless that is empty, supports only create.
func isCreateOnly(resource, subresource string) bool {
	if subresource != "" {
		resource += "/" + subresource
	}
	return createOnly.Has(resource)
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
		if !ok || info.Verb == "create" || !isCreateOnly(info.Resource, info.Subresource) {
			handler.ServeHTTP(w, r)
			return
		}
		refusal := apierrors.NewMethodNotSupported(schema.GroupResource{Group: info.APIGroup, Resource: info.Resource}, info.Verb)
		refusal.ErrStatus.Message = notStored
		responsewriters.ErrorNegotiated(refusal, Codecs, schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}, w, r)
	})
}
