// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package author notes who asks for what is done later, in that user's name.
package author

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// Of returns the user of a request, since now. Without one nobody is the author, and nothing is done in anybody's name.
func Of(ctx context.Context) *v1alpha1.Author {
	user, ok := genericapirequest.UserFrom(ctx)
	if !ok {
		return nil
	}
	now := metav1.Now().Rfc3339Copy()
	author := &v1alpha1.Author{Requester: v1alpha1.Requester{
		Username: user.GetName(), UID: user.GetUID(), Groups: slices.Clone(user.GetGroups()),
	}, Since: &now}
	for key, values := range user.GetExtra() {
		if author.Extra == nil {
			author.Extra = map[string][]string{}
		}
		author.Extra[key] = slices.Clone(values)
	}
	return author
}
