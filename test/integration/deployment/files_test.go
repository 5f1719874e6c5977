// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	client := testenv.Must[apiextensions.Interface](t)(apiextensions.NewForConfig(hub.RESTConfig()))
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
		testenv.EventuallyIn(t.Context(), t, followTimeout, func(ctx context.Context) error {
			crd, err := crds.Get(ctx, name, metav1.GetOptions{})
			if err == nil && !apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established) {
				err = fmt.Errorf("CRD %s is not established", name)
			}
			return err
		})
	}
}

// kubectl runs kubectl as the cluster's admin and returns what it prints, warnings included.
func kubectl(t *testing.T, cluster *testenv.Cluster, args ...string) string {
	t.Helper()
	out, warnings, err := testenv.KubectlOf(t.Context(), "kubectl", cluster.Kubeconfig(), "", args...)
	require.NoError(t, err)
	return out + warnings
}

// shipped returns the objects of some kinds of a kustomization, or of the files in a folder without
// one.
func shipped[T any](t *testing.T, folder string, kinds ...string) []T {
	t.Helper()
	var all []T
	for document := range strings.SplitSeq(manifests(t, folder), "\n---\n") {
		var meta metav1.TypeMeta
		require.NoError(t, yaml.Unmarshal([]byte(document), &meta))
		if slices.Contains(kinds, meta.Kind) {
			var object T
			require.NoError(t, yaml.Unmarshal([]byte(document), &object))
			all = append(all, object)
		}
	}
	require.NotEmpty(t, all, folder)
	return all
}

func manifests(t *testing.T, folder string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(folder, "kustomization.yaml")); err == nil {
		return testenv.MustKubectl(t, "", "", "kustomize", folder)
	}
	var all []string
	for _, file := range testenv.Must[[]string](t)(filepath.Glob(filepath.Join(folder, "*.yaml"))) {
		all = append(all, string(testenv.Must[[]byte](t)(os.ReadFile(file))))
	}
	return strings.Join(all, "\n---\n")
}

// replaceIn replaces the one place where a file says before.
func replaceIn(t *testing.T, file, before, after string) {
	t.Helper()
	text := string(testenv.Must[[]byte](t)(os.ReadFile(file)))
	require.Equal(t, 1, strings.Count(text, before), file)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(text, before, after, 1)), 0o600))
}
