// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	cliflag "k8s.io/component-base/cli/flag"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/pkg/apiserver"
	"clusterpass.dev/pkg/controllermanager"
)

func TestDeploymentsPassFlagsThatTheirProgramsHave(t *testing.T) {
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

// shippedDeployments returns the Deployments of a kustomization: one for each program.
func shippedDeployments(t *testing.T, folder string) []appsv1.Deployment {
	t.Helper()
	var deployments []appsv1.Deployment
	for document := range bytes.SplitSeq(manifests(t, folder), []byte("\n---\n")) {
		var deployment appsv1.Deployment
		require.NoError(t, yaml.Unmarshal(document, &deployment))
		if deployment.Kind == "Deployment" {
			deployments = append(deployments, deployment)
		}
	}
	require.Len(t, deployments, 2, folder)
	return deployments
}
