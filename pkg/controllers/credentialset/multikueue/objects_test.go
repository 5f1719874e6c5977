// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// maxReference is how long the name of a cluster, of its Secret or of its ClusterProfile may be in
// Kueue's v1beta2.
const maxReference = 256

func TestObjects_Names(t *testing.T) {
	set := &v1alpha1.ClusterCredentialSet{}
	set.Namespace, set.Name = strings.Repeat("n", 63), strings.Repeat("s", 63)
	set.Spec.Consumer.MultiKueue = &v1alpha1.MultiKueueConsumer{}
	longest := strings.Repeat("c", 253)
	byProfile, bySecret := newCluster(set, Worker{Name: longest}), newCluster(set, Worker{Name: longest[1:], Secret: longest})
	config, check := newConfig(set, []string{longest}), newCheck(set)
	for _, object := range []*unstructured.Unstructured{byProfile, bySecret, config, check} {
		assert.Empty(t, validation.IsDNS1123Subdomain(object.GetName()), object.GetKind())
	}
	assert.NotEqual(t, byProfile.GetName(), bySecret.GetName())
	for _, refers := range []struct {
		object *unstructured.Unstructured
		path   []string
	}{
		{byProfile, []string{"spec", "clusterSource", "clusterProfileRef", "name"}},
		{bySecret, []string{"spec", "clusterSource", "kubeConfig", "location"}},
	} {
		name, _, _ := unstructured.NestedString(refers.object.Object, refers.path...)
		assert.Equal(t, longest, name)
		assert.LessOrEqual(t, len(name), maxReference)
	}
	parameter, _, _ := unstructured.NestedString(check.Object, "spec", "parameters", "name")
	assert.Equal(t, config.GetName(), parameter)
	assert.Empty(t, validation.IsDNS1123Label(parameter), "an AdmissionCheck refers to its config by a label")
}
