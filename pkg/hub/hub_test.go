// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"testing"

	"github.com/stretchr/testify/assert"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

func TestClashes(t *testing.T) {
	crd := func(group, version string, served bool) *apiextensionsv1.CustomResourceDefinition {
		return &apiextensionsv1.CustomResourceDefinition{Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group, Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: version, Served: served}},
		}}
	}
	assert.True(t, Clashes(crd("multicluster.x-k8s.io", "v1alpha1", true)))
	assert.False(t, Clashes(crd("multicluster.x-k8s.io", "v1alpha1", false)), "it is there and not served")
	assert.False(t, Clashes(crd("multicluster.x-k8s.io", "v1beta1", true)), "it is another version")
	assert.False(t, Clashes(crd("example.com", "v1alpha1", true)), "it is another group")
}
