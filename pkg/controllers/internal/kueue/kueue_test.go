// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package kueue

import (
	"testing"

	"github.com/stretchr/testify/assert"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestUsable(t *testing.T) {
	for name, test := range map[string]struct {
		installed bool
		// allowed is the one subresource of Workloads that may be written.
		allowed string
		want    string
	}{
		"without Kueue": {false, "status",
			"the hub does not serve kueue.x-k8s.io/v1beta2: Kueue is not installed there, or too old"},
		"without rights":              {true, "", "the controller manager may not get, patch workloads/status; get, patch localqueues"},
		"with rights on one resource": {true, "status", "the controller manager may not get, patch localqueues"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := fake.NewClientset()
			if test.installed {
				hub.Resources = []*metav1.APIResourceList{{GroupVersion: GroupVersion.String()}}
			}
			hub.PrependReactor("create", "selfsubjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
				review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
				what := review.Spec.ResourceAttributes
				assert.Equal(t, GroupVersion.Group, what.Group)
				review.Status.Allowed = what.Resource == Workloads && what.Subresource != "" && what.Subresource == test.allowed
				return true, review, nil
			})
			verbs := []string{"get", "patch"}
			assert.EqualError(t, Usable(t.Context(), hub, verbs, Workloads+"/status", LocalQueues), test.want)
			if test.installed && test.allowed != "" {
				assert.NoError(t, Usable(t.Context(), hub, verbs, Workloads+"/status"))
			}
		})
	}
}
