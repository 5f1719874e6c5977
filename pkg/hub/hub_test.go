// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
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

func TestFlag(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"FLAG=VALUE":                       {[]string{"--inventory=External"}, "External"},
		"FLAG and VALUE":                   {[]string{"--inventory", "External"}, "External"},
		"both in one argument":             {[]string{"--inventory External"}, "External"},
		"the last of several":              {[]string{"--inventory=External", "--inventory", "Served"}, "Served"},
		"a longer value":                   {[]string{"--inventory=Externally"}, "Externally"},
		"a flag that begins with its name": {[]string{"--inventory-file=a"}, ""},
		"none":                             {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			deployment := &appsv1.Deployment{}
			args := append(append([]string{"--secure-port=8443"}, test.args...), "--v=2")
			deployment.Spec.Template.Spec.Containers = []corev1.Container{{Command: []string{"server"}, Args: args}, {Name: "other", Args: []string{"--secure-port=1", "--inventory-of=other"}}}
			assert.Equal(t, test.want, Flag(deployment, "--inventory"))
		})
	}
}

func TestFlag_Sidecar(t *testing.T) {
	deployment := &appsv1.Deployment{}
	deployment.Spec.Template.Spec.Containers = []corev1.Container{{Args: []string{"--hub-id=ours"}}, {Args: []string{"--hub-id=another"}}}
	assert.Equal(t, "ours", Flag(deployment, "--hub-id"))
}
