// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// Kueue asks for its tokens by the credential plugin.
func TestMultiKueue_CredentialPlugin(t *testing.T) {
	testenv.RequireKueue(t)
	f := &fleet{hub: testenv.Start(t, testenv.Options{Name: "hub"})}
	testenv.StartServer(t, f.hub, testenv.ServerConfig{})
	testenv.StartControllerManager(t, f.hub, testenv.ControllerManagerConfig{})
	testenv.Create(t, f.hub.Kube(t).CoreV1().Namespaces(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testenv.KueueNamespace}})
	f.members = append(f.members, f.startMember(t, testenv.KueueNamespace, memberName))
	f.tellPlugin(t, f.members[0])
	kubectl(t, f.members[0].Cluster, "apply", "--server-side", "-f", example(t, "clusterprofile/worker-role.yaml"))
	kubectl(t, f.hub, "apply", "--server-side", "-f", example(t, "clusterprofile/hub-rbac.yaml"))
	dir := t.TempDir()
	f.hubKueue = testenv.StartKueue(t, f.hub,
		testenv.KueueConfig{Role: testenv.KueueManager, Dir: dir, Edit: withPlugin(t, filepath.Join(dir, "kubeconfig.yaml"))})
	kubectl(t, f.hub, "apply", "--server-side", "-f", example(t, "hub-queues.yaml"))
	kubectl(t, f.hub, "create", "clusterrolebinding", "clusterpass-multikueue", "--clusterrole=clusterpass:multikueue",
		"--serviceaccount=clusterpass-system:clusterpass-controller-manager")

	kubectl(t, f.hub, "apply", "--server-side", "-f", example(t, "clusterprofile/clustercredentialset.yaml"))
	kubectl(t, f.hub, "wait", "--for=condition=MultiKueueReady",
		"clustercredentialset/"+setName, "-n", testenv.KueueNamespace, "--timeout=90s")
	testenv.Eventually(t, f.complete(t, f.submit(t)))

	credentials, refused := f.members[0].requestsOf(t, "system:serviceaccount:default:kueue")
	assert.NotEmpty(t, credentials)
	assert.Empty(t, refused)
	assert.Empty(t, f.secrets(t).Items, "the set keeps no credentials")
	f.testGrantOfKueue(t)
}

// testGrantOfKueue looks at what is recorded of the token: it is Kueue's own.
func (f *fleet) testGrantOfKueue(t *testing.T) {
	t.Helper()
	client := f.hub.Clusterpass(t)
	grants := testenv.List(t, client.ClusterpassV1alpha1().AuthTokenGrants(testenv.KueueNamespace), metav1.ListOptions{})
	require.Len(t, grants.Items, 1)
	assert.Equal(t, "system:serviceaccount:kueue-system:kueue-controller-manager", grants.Items[0].Spec.Requester.Username)
	sets := client.ClusterpassV1alpha1().ClusterCredentialSets(testenv.KueueNamespace)
	set := testenv.Get(t, sets, setName)
	require.NotEmpty(t, set.Status.Conditions)
	assert.Equal(t, v1alpha1.CredentialSetReasonNoneKept, set.Status.Conditions[0].Reason)
	require.NoError(t, sets.Delete(t.Context(), setName, metav1.DeleteOptions{}))
	testenv.Eventually(t, f.knows(t))
}

// tellPlugin adds to the member's ClusterProfile what join --consumer-service-account writes.
func (f *fleet) tellPlugin(t *testing.T, m *member) {
	t.Helper()
	profiles := f.hub.Inventory(t).ApisV1alpha1().ClusterProfiles(testenv.KueueNamespace)
	request := fmt.Appendf(nil, `{"targetClusterProfile":{"namespace":%q,"name":%q},"serviceAccountNamespace":"default",`+
		`"serviceAccountName":"kueue","clusterRoles":[{"name":"multikueue"}]}`, testenv.KueueNamespace, m.Name())
	providers := append(testenv.Get(t, profiles, m.Name()).Status.AccessProviders, inventoryv1alpha1.AccessProvider{
		Name: "clusterpass",
		Cluster: clientcmdv1.Cluster{
			Server: m.Server(), CertificateAuthorityData: m.CA(),
			Extensions: []clientcmdv1.NamedExtension{{Name: "client.authentication.k8s.io/exec", Extension: runtime.RawExtension{Raw: request}}},
		},
	})
	patch := testenv.Must[[]byte](t)(json.Marshal(map[string]any{"status": map[string]any{"accessProviders": providers}}))
	testenv.Patch(t, profiles, m.Name(), string(patch), "status")
}

// withPlugin returns what adds the example's part to Kueue's configuration, with a plugin that is
// there, and is Kueue to the hub.
func withPlugin(t *testing.T, kubeconfig string) func(configuration map[string]any) {
	t.Helper()
	plugin := filepath.Join(t.TempDir(), "clusterpass-credential-plugin")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", plugin, "./cmd/clusterpass-credential-plugin")
	build.Dir = testenv.Root(t)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	data := testenv.Must[[]byte](t)(os.ReadFile(example(t, "clusterprofile/configuration.yaml")))
	part := map[string]any{}
	require.NoError(t, yaml.Unmarshal(data, &part))
	providers, _, err := unstructured.NestedSlice(part, "multiKueue", "clusterProfile", "accessProviders")
	require.NoError(t, err)
	command, ok := providers[0].(map[string]any)["execConfig"].(map[string]any)
	require.True(t, ok)
	command["command"] = plugin
	command["args"] = []any{"--kubeconfig=" + kubeconfig, "--cache-dir=" + filepath.Join(t.TempDir(), "tokens")}
	require.NoError(t, unstructured.SetNestedSlice(part, providers, "multiKueue", "clusterProfile", "accessProviders"))
	return func(configuration map[string]any) {
		for section, settings := range part {
			maps.Copy(configuration[section].(map[string]any), settings.(map[string]any))
		}
	}
}
