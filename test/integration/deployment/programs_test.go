// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	cliflag "k8s.io/component-base/cli/flag"

	"clusterpass.dev/pkg/apiserver"
	"clusterpass.dev/pkg/controllermanager"
	"clusterpass.dev/test/docs"
	"clusterpass.dev/test/testenv"
)

// Deployments pass flags that their programs have.
func TestDeployments_Flags(t *testing.T) {
	programs := map[string]cliflag.NamedFlagSets{
		"clusterpass-apiserver":          apiserver.NewOptions().Flags(),
		"clusterpass-controller-manager": controllermanager.NewOptions().Flags(),
	}
	files := deployFiles(t)
	for _, overlay := range []string{"cert-manager", "self-signed", "embedded-etcd-self-signed"} {
		for _, deployment := range shippedDeployments(t, filepath.Join(files, "deploy", "overlays", overlay)) {
			sections, known := programs[deployment.Name]
			require.True(t, known, deployment.Name)
			flags := pflag.NewFlagSet(deployment.Name, pflag.ContinueOnError)
			for _, section := range sections.FlagSets {
				flags.AddFlagSet(section)
			}
			for _, container := range deployment.Spec.Template.Spec.Containers {
				assert.NoError(t, flags.Parse(container.Args), "%s in %s", deployment.Name, overlay)
				assert.Empty(t, flags.Args(), "%s in %s", deployment.Name, overlay)
			}
		}
	}
}

// TestDeployments_Images names them as the README does, which takes kubectl alone.
func TestDeployments_Images(t *testing.T) {
	const overlay = "artifacts/deploy/overlays/embedded-etcd-self-signed"
	var edit []string
	first := func(line string) bool { return strings.HasPrefix(line, "$ cat >> "+overlay+"/kustomization.yaml") }
	for _, block := range testenv.Must[[]docs.Block](t)(docs.Read(filepath.Join(artifacts(t), ".."), "docs/install.md")) {
		if i := slices.IndexFunc(block.Lines, first); i >= 0 {
			for _, line := range block.Lines[i:] {
				edit = append(edit, line[len("$ "):])
			}
		}
	}
	require.NotEmpty(t, edit)

	dir := t.TempDir()
	require.NoError(t, os.Rename(deployFiles(t), filepath.Join(dir, "artifacts")))
	bash := exec.CommandContext(t.Context(), "bash", "-ec", strings.Join(edit, "\n"))
	bash.Dir = dir
	out, err := bash.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, deployment := range shippedDeployments(t, filepath.Join(dir, overlay)) {
		assert.Equal(t, "REGISTRY/"+deployment.Name+":TAG", deployment.Spec.Template.Spec.Containers[0].Image)
	}
}

// shippedDeployments returns the Deployments of a kustomization: one for each program.
func shippedDeployments(t *testing.T, folder string) []appsv1.Deployment {
	t.Helper()
	deployments := shipped[appsv1.Deployment](t, folder, "Deployment")
	require.Len(t, deployments, 2, folder)
	return deployments
}
