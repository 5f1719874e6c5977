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

	"clusterpass.dev/test/testenv"
)

// Images are of every program that runs in a Pod.
func TestImages_Programs(t *testing.T) {
	root := filepath.Join(artifacts(t), "..")
	var want []string
	for _, program := range testenv.Must[[]os.DirEntry](t)(os.ReadDir(filepath.Join(root, "cmd"))) {
		// Users have it on their own machines.
		if program.Name() != "kubectl-clusterpass" {
			want = append(want, program.Name())
		}
	}

	data := testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(root, ".ko.yaml")))
	var ko struct{ Builds []struct{ ID, Main string } }
	require.NoError(t, yaml.Unmarshal(data, &ko))
	var built []string
	for _, build := range ko.Builds {
		built = append(built, build.ID)
		assert.Equal(t, "./cmd/"+build.ID, build.Main)
	}
	assert.ElementsMatch(t, want, built)

	dockerfile := testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(artifacts(t), "image", "Dockerfile")))
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
