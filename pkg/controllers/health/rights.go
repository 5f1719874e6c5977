// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"clusterpass.dev/pkg/member"
)

// rightsEvery is after how many probes the rights on a member are reviewed again.
const rightsEvery = 4

// rights are two that every member gives its hub, by one ClusterRole. A member that gives neither has lost that role or its binding.
var rights = []authorizationv1.ResourceAttributes{
	{Verb: "list", Resource: "serviceaccounts"},
	{Verb: "create", Group: rbacv1.GroupName, Resource: "clusterrolebindings"},
}

// askRights reviews whether the member allows the hub anything. Its health does not show that: every user may read /readyz. If the review
// fails, nothing changes.
func (o *observed) askRights(ctx context.Context, client *member.Client) {
	if o.untilRights--; o.untilRights > 0 && o.rightsLost == "" {
		return
	}
	o.untilRights = rightsEvery
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("nothing within %s", probeTimeout))
	defer cancel()
	reviews := client.Kubernetes().AuthorizationV1().SelfSubjectAccessReviews()
	for i := range rights {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &rights[i]}}
		answer, err := reviews.Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			klog.FromContext(ctx).V(2).Info("The rights on a member are not known", "reason", client.Error(err, "review its rights"))
			return
		}
		if answer.Status.Allowed {
			o.rightsLost = ""
			return
		}
	}
	o.rightsLost = "The member accepts the hub's credential and allows it neither to list its serviceaccounts nor to create clusterrolebindings: " +
		"the ClusterRole clusterpass or its ClusterRoleBinding is lost"
}
