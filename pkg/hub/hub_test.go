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
	type version = apiextensionsv1.CustomResourceDefinitionVersion
	const ours = "multicluster.x-k8s.io"
	stopped := version{Name: "v1alpha1"}
	for name, test := range map[string]struct {
		plural, group string
		versions      []version
		want          bool
	}{
		"any resource in v1alpha1":                    {"serviceexports", ours, []version{{Name: "v1alpha1", Served: true}}, true},
		"any resource in v1alpha2":                    {"serviceexports", ours, []version{{Name: "v1alpha2", Served: true}}, true},
		"another resource that stopped serving it":    {"serviceexports", ours, []version{stopped, {Name: "v1beta1", Served: true}}, false},
		"ClusterProfiles that stopped serving it":     {"clusterprofiles", ours, []version{stopped, {Name: "v1alpha2", Served: true}}, true},
		"PlacementDecisions in another version alone": {"placementdecisions", ours, []version{{Name: "v1beta7", Served: true}}, true},
		"ClusterProfiles in no version":               {"clusterprofiles", ours, []version{stopped, {Name: "v1alpha2"}}, false},
		"another group":                               {"clusterprofiles", "example.com", []version{{Name: "v1alpha1", Served: true}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			crd := &apiextensionsv1.CustomResourceDefinition{Spec: apiextensionsv1.CustomResourceDefinitionSpec{
				Group: test.group, Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: test.plural}, Versions: test.versions,
			}}
			assert.Equal(t, test.want, Clashes(crd))
		})
	}
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
			deployment.Spec.Template.Spec.Containers = []corev1.Container{
				{Command: []string{"server"}, Args: args}, {Name: "other", Args: []string{"--secure-port=1", "--inventory-of=other"}},
			}
			assert.Equal(t, test.want, Flag(deployment, "--inventory"))
		})
	}
}

func TestFlag_Sidecar(t *testing.T) {
	deployment := &appsv1.Deployment{}
	deployment.Spec.Template.Spec.Containers = []corev1.Container{{Args: []string{"--hub-id=ours"}}, {Args: []string{"--hub-id=another"}}}
	assert.Equal(t, "ours", Flag(deployment, "--hub-id"))
}
