// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// Images are of every program that runs in a Pod.
func TestImages_Programs(t *testing.T) {
	root := filepath.Join(artifacts(t), "..")
	programs, err := os.ReadDir(filepath.Join(root, "cmd"))
	require.NoError(t, err)
	var want []string
	for _, program := range programs {
		// Users have it on their own machines.
		if program.Name() != "kubectl-clusterpass" {
			want = append(want, program.Name())
		}
	}

	data, err := os.ReadFile(filepath.Join(root, ".ko.yaml"))
	require.NoError(t, err)
	var ko struct {
		Builds []struct{ ID, Main string }
	}
	require.NoError(t, yaml.Unmarshal(data, &ko))
	var built []string
	for _, build := range ko.Builds {
		built = append(built, build.ID)
		assert.Equal(t, "./cmd/"+build.ID, build.Main)
	}
	assert.ElementsMatch(t, want, built)

	dockerfile, err := os.ReadFile(filepath.Join(artifacts(t), "image", "Dockerfile"))
	require.NoError(t, err)
	for _, program := range want {
		for _, line := range []string{
			" ./cmd/" + program,
			"FROM base AS " + program + "\nCOPY --from=build /out/" + program + " /usr/local/bin/" + program +
				"\nENTRYPOINT [\"/usr/local/bin/" + program + "\"]\n",
		} {
			assert.Contains(t, string(dockerfile), line)
		}
	}
}
