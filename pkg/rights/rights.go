// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rights reviews the rights of users on the hub, and those of a client on its cluster.
package rights

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// Missing returns the verbs that the client's own user lacks on what, in the order of verbs.
func Missing(ctx context.Context, hub kubernetes.Interface, what authorizationv1.ResourceAttributes, verbs ...string) ([]string, error) {
	var missing []string
	for _, verb := range verbs {
		what.Verb = verb
		review, err := hub.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &what},
		}, metav1.CreateOptions{})
		if err != nil {
			return nil, fmt.Errorf("asking what is allowed: %w", err)
		}
		if !review.Status.Allowed {
			missing = append(missing, verb)
		}
	}
	return missing, nil
}

// Of returns whether author has the right what. A nil author has no rights.
func Of(ctx context.Context, hub kubernetes.Interface, author *v1alpha1.Author, what authorizationv1.ResourceAttributes) (bool, error) {
	if author == nil {
		return false, nil
	}
	spec := authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &what, User: author.Username, UID: author.UID, Groups: author.Groups,
	}
	for key, values := range author.Extra {
		if spec.Extra == nil {
			spec.Extra = map[string]authorizationv1.ExtraValue{}
		}
		spec.Extra[key] = values
	}
	review, err := hub.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec},
		metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("asking what %q may do: %w", author.Username, err)
	}
	return review.Status.Allowed, nil
}
