// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/yaml"
)

// Priorities are those that are deployed.
func TestAPIService_Priorities(t *testing.T) {
	file, err := os.ReadFile("../../artifacts/deploy/base/apiservices.yaml")
	require.NoError(t, err)
	deployed := map[string]apiregistrationv1.APIServiceSpec{}
	for document := range bytes.SplitSeq(file, []byte("\n---\n")) {
		var service apiregistrationv1.APIService
		require.NoError(t, yaml.Unmarshal(document, &service))
		deployed[service.Name] = service.Spec
	}
	ours := target{}.apiService()
	assert.Equal(t, deployed[ours.Name].GroupPriorityMinimum, ours.Spec.GroupPriorityMinimum)
	assert.Equal(t, deployed[ours.Name].VersionPriority, ours.Spec.VersionPriority)
	for name, spec := range deployed {
		// kube-apiserver gives this number to every group of CustomResourceDefinitions.
		assert.Greater(t, spec.GroupPriorityMinimum, int32(1000), name)
	}
}
