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

// notStored is what every verb but create is answered with.
const notStored = "AuthTokenRequest is not stored: use kubectl create"

// createOnly are the resources and subresources, of all groups, that are answered with a token and never stored.
var createOnly = sets.New("authtokenrequests", "clusterprofiles/token", "clustercredentialsets/token")

// isCreateOnly reports whether a resource, or its subresource where that is not empty, can only be created.
func isCreateOnly(resource, subresource string) bool {
	if subresource != "" {
		resource += "/" + subresource
	}
	return createOnly.Has(resource)
}

// buildHandlerChain is the generic one, with boundBodies and refuseUnstored after authorization: only a client
// that holds the verb learns that the verb does not exist, and nobody else has a body read. The storage of these resources must not
// implement the verbs itself: discovery would list them, and the hub's controllers would use them.
func buildHandlerChain(handler http.Handler, config *genericapiserver.Config) http.Handler {
	return genericapiserver.DefaultBuildHandlerChain(refuseUnstored(boundBodies(author.WithPatch(handler))), config)
}

// refuseUnstored answers 405 to every verb but create on a resource that is never stored. A 404 would
// have kubectl apply, edit and replace go on to create, and so to mint a token that nobody sees.
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
