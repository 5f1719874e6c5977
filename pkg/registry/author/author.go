// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package author notes who asks for what is done later, in that user's name.
package author

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// Field is the path of the author in an object. No field manager owns it, because the server sets
// it.
var Field = fieldpath.MakePathOrDie("spec", "author")

// Of returns the user of a request, since now. Without one nobody is the author, and nothing is
// done in anybody's name.
func Of(ctx context.Context) *v1alpha1.Author {
	user, ok := genericapirequest.UserFrom(ctx)
	if !ok {
		return nil
	}
	author := v1alpha1.Author{
		Requester: v1alpha1.Requester{Username: user.GetName(), UID: user.GetUID(), Groups: user.GetGroups()},
		Extra:     user.GetExtra(),
		Since:     ptr.To(metav1.Now().Rfc3339Copy()),
	}
	return author.DeepCopy()
}

// Name returns the username of an author for a table.
func Name(author *v1alpha1.Author) string {
	if author == nil {
		return "<none>"
	}
	return author.Username
}

type partial struct{}

// WithPatch returns a handler that tells CheckWhole which requests send a part of an object.
func WithPatch(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		mediaType = strings.ToLower(strings.TrimSpace(mediaType))
		// Server-side apply sends the whole spec: its schema says that it is atomic.
		isApply := mediaType == string(types.ApplyYAMLPatchType) || mediaType == string(types.ApplyCBORPatchType)
		if r.Method == http.MethodPatch && !isApply {
			r = r.WithContext(context.WithValue(r.Context(), partial{}, true))
		}
		handler.ServeHTTP(w, r)
	})
}

// CheckWhole returns what is wrong with a change of a spec whose author was another user: a patch
// would put what that user has written, and the sender has not seen, in the name of the sender. how
// says what the sender may do instead.
func CheckWhole(ctx context.Context, next, was *v1alpha1.Author, how string) field.ErrorList {
	if ctx.Value(partial{}) == nil || next != nil && was != nil && next.Username == was.Username {
		return nil
	}
	by := "nobody known"
	if was != nil {
		by = fmt.Sprintf("user %q", was.Username)
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec"), fmt.Sprintf(
		"its author is %s, and a patch would put the fields that it leaves unchanged in your name, unseen. "+
			"Send the whole spec: kubectl replace, or kubectl apply --server-side%s", by, how))}
}
