// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/test/testenv"
)

// artifacts returns the path of the folder artifacts.
func artifacts(t *testing.T) string {
	t.Helper()
	return filepath.Join(testenv.Root(t), "artifacts")
}

// optionalComponents are those that no overlay has.
var optionalComponents = []string{"service-monitor", "external-inventory"}

// deployFiles returns a copy of the folder artifacts, complete with a certificate and with an
// overlay for each optional component, deploy/with-COMPONENT.
func deployFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(artifacts(t))))

	generate := filepath.Join(dir, "deploy", "components", "self-signed", "gen-certs.sh")
	out, err := exec.CommandContext(t.Context(), "bash", generate).CombinedOutput()
	require.NoError(t, err, "%s", out)

	for _, component := range optionalComponents {
		overlay := filepath.Join(dir, "deploy", "with-"+component)
		require.NoError(t, os.Mkdir(overlay, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(overlay, "kustomization.yaml"),
			[]byte("resources: [../overlays/cert-manager]\ncomponents: [../components/"+component+"]\n"), 0o600))
	}
	return dir
}

// createForeignKinds lets the hub accept the kinds of cert-manager and of the Prometheus operator
// unseen.
func createForeignKinds(t *testing.T, hub *testenv.Cluster) {
	t.Helper()
	client, err := apiextensions.NewForConfig(hub.RESTConfig())
	require.NoError(t, err)
	crds := client.ApiextensionsV1().CustomResourceDefinitions()
	for _, kind := range []struct{ group, kind, plural string }{
		{"cert-manager.io", "Certificate", "certificates"},
		{"cert-manager.io", "Issuer", "issuers"},
		{"monitoring.coreos.com", "ServiceMonitor", "servicemonitors"},
	} {
		name := kind.plural + "." + kind.group
		testenv.Create(t, crds, &apiextensionsv1.CustomResourceDefinition{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: apiextensionsv1.CustomResourceDefinitionSpec{
				Group: kind.group,
				Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: kind.kind, Plural: kind.plural},
				Scope: apiextensionsv1.NamespaceScoped,
				Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
					Name: "v1", Served: true, Storage: true,
					Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
						Type: "object", XPreserveUnknownFields: ptr.To(true),
					}},
				}},
			},
		})
		require.NoError(t, wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, followTimeout, true, func(ctx context.Context) (bool, error) {
			crd, err := crds.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			for _, condition := range crd.Status.Conditions {
				if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
					return true, nil
				}
			}
			return false, nil
		}))
	}
}

// kubectl runs kubectl as the cluster's admin and returns what it prints, warnings included.
func kubectl(t *testing.T, cluster *testenv.Cluster, args ...string) string {
	t.Helper()
	out, warnings, err := testenv.KubectlOf(t.Context(), "kubectl", cluster.Kubeconfig(), "", args...)
	require.NoError(t, err)
	return out + warnings
}

// shippedRoles returns the Roles and ClusterRoles of a kustomization, or of the files in a folder
// without one.
func shippedRoles(t *testing.T, folder string) []rbacv1.ClusterRole {
	t.Helper()
	var roles []rbacv1.ClusterRole
	for document := range bytes.SplitSeq(manifests(t, folder), []byte("\n---\n")) {
		var role rbacv1.ClusterRole
		require.NoError(t, yaml.Unmarshal(document, &role))
		if role.Kind == "Role" || role.Kind == "ClusterRole" {
			roles = append(roles, role)
		}
	}
	require.NotEmpty(t, roles, folder)
	return roles
}

func manifests(t *testing.T, folder string) []byte {
	t.Helper()
	path, err := testenv.ToolPath("kubectl")
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(folder, "kustomization.yaml")); err == nil {
		out, err := exec.CommandContext(t.Context(), path, "kustomize", folder).Output()
		require.NoError(t, err)
		return out
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	require.NoError(t, err)
	var all [][]byte
	for _, file := range files {
		data := testenv.Must[[]byte](t)(os.ReadFile(file))
		all = append(all, data)
	}
	return bytes.Join(all, []byte("\n---\n"))
}

// replaceIn replaces the one place where a file says before.
func replaceIn(t *testing.T, file, before, after string) {
	t.Helper()
	data := testenv.Must[[]byte](t)(os.ReadFile(file))
	require.Equal(t, 1, strings.Count(string(data), before), file)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(data), before, after, 1)), 0o600))
}
