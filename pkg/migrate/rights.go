// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// right is something that whoever migrates has to be allowed.
type right authorizationv1.ResourceAttributes

// String returns the right as a person would say it.
func (r right) String() string {
	resource := r.Resource
	if r.Subresource != "" {
		resource += "/" + r.Subresource
	}
	if r.Group != "" {
		resource += "." + r.Group
	}
	said := r.Verb + " " + resource
	if r.Name != "" {
		said += fmt.Sprintf(" %q", r.Name)
	}
	if r.Namespace != "" {
		said += " in namespace " + r.Namespace
	}
	return said
}

// rights returns what any migration takes, from its first step to its last.
func (m *Migration) rights() []right {
	const crds, apiServices = "customresourcedefinitions", "apiservices"
	service := m.options.Service
	all := []right{
		{Verb: "get", Resource: "namespaces", Name: metav1.NamespaceSystem},
		{Verb: "get", Resource: "services", Namespace: service.Namespace, Name: service.Name},
		{Verb: "get", Group: "apps", Resource: "deployments", Namespace: service.Namespace, Name: service.Name},
		{Verb: "list", Group: apiextensionsv1.GroupName, Resource: crds},
	}
	for _, verb := range []string{"get", "create", "update", "delete"} {
		all = append(all, right{Verb: verb, Group: apiregistrationv1.GroupName, Resource: apiServices, Name: inventoryService})
	}
	all = append(all, right{Verb: "get", Group: apiregistrationv1.GroupName, Resource: apiServices, Name: ourService})
	for _, k := range kinds {
		all = append(all, right{Verb: "delete", Group: apiextensionsv1.GroupName, Resource: crds, Name: k.crd()})
		for _, verb := range []string{"list", "get", "create"} {
			all = append(all, right{Verb: verb, Group: inventory.Group, Resource: k.resource})
		}
		if k.hasStatus {
			all = append(all, right{Verb: "update", Group: inventory.Group, Resource: k.resource, Subresource: statusSection})
		}
	}
	return all
}

// missing returns those of the rights that the hub denies to whoever asks.
func (h *Hub) missing(ctx context.Context, rights []right) ([]right, error) {
	var missing []right
	for _, r := range rights {
		attributes := authorizationv1.ResourceAttributes(r)
		attributes.Version = "*"
		review, err := h.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes},
		}, metav1.CreateOptions{})
		if err != nil {
			return nil, fmt.Errorf("asking the hub for the right to %s: %w", r, err)
		}
		if !review.Status.Allowed {
			missing = append(missing, r)
		}
	}
	return missing, nil
}
