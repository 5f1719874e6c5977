// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"

	"clusterpass.dev/pkg/member"
)

// rightsKinds are the kinds that give the hub rights on a member, bindings first: that is the order to take them away in.
var rightsKinds = []schema.GroupVersionKind{
	rbacv1.SchemeGroupVersion.WithKind(kindClusterBinding),
	rbacv1.SchemeGroupVersion.WithKind(kindRoleBinding),
	rbacv1.SchemeGroupVersion.WithKind(kindClusterRole),
	rbacv1.SchemeGroupVersion.WithKind(kindRole),
}

// manifestNames are the names in artifacts/deploy/member, which a member may have been given without join.
var manifestNames = sets.New(mainRole, credentialRole, rulesRole, usageRole)

// prune removes the rights that the hub was given before and that are not among objects, such as those in a namespace
// that is not allowed any more.
func (j *joiner) prune(ctx context.Context, objects []*unstructured.Unstructured) error {
	wanted := sets.New[string]()
	for _, o := range objects {
		wanted.Insert(refOf(o))
	}
	for _, kind := range rightsKinds {
		found, err := j.member.list(ctx, kind, metav1.NamespaceAll, partOfLabel+"="+partOf)
		if err != nil {
			return err
		}
		for i := range found {
			if o := &found[i]; !wanted.Has(refOf(o)) && j.isOurs(o) {
				if err := j.member.remove(ctx, o); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// isOurs returns whether an object, which is clusterpass's, is one of this hub on the member, or of the manifests.
func (j *joiner) isOurs(o *unstructured.Unstructured) bool {
	by := o.GetLabels()[member.LabelJoinedBy]
	return by == j.hubID || by == "" && manifestNames.Has(o.GetName())
}
