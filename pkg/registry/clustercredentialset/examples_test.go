// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

func TestStrategy_Examples(t *testing.T) {
	examples, err := filepath.Glob("../../../artifacts/examples/clustercredentialset*.yaml")
	require.NoError(t, err)
	more, err := filepath.Glob("../../../artifacts/examples/multikueue/clustercredentialset*.yaml")
	require.NoError(t, err)
	examples = append(append(examples, more...), "../../../artifacts/examples/multikueue/clusterprofile/clustercredentialset.yaml")
	require.Len(t, examples, 5)
	for _, example := range examples {
		t.Run(filepath.Base(example), func(t *testing.T) {
			data, err := os.ReadFile(example)
			require.NoError(t, err)
			set := &v1alpha1.ClusterCredentialSet{}
			require.NoError(t, yaml.UnmarshalStrict(data, set))
			v1alpha1.SetDefaults_ClusterCredentialSet(set)
			assert.Empty(t, newStrategy(nil, anyRights{}, Options{}).Validate(t.Context(), set))
		})
	}
}
