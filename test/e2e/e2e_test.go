// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

const exampleRequest = "artifacts/examples/authtokenrequest.yaml"

// example returns the talk's request, for cluster-admin: the one that users find in the source
// tree, for another role and hence another ServiceAccount.
func example(t *testing.T) string {
	t.Helper()
	content := testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(root, exampleRequest)))
	talk := strings.NewReplacer("name: view", "name: cluster-admin", "serviceAccountName: work", "serviceAccountName: talk")
	return talk.Replace(string(content))
}

// requestFor returns a request for a ServiceAccount of its own on a cluster, with more lines for
// its spec.
func requestFor(cluster, account, spec string) string {
	return `apiVersion: multicluster.x-k8s.io/v1alpha1
kind: AuthTokenRequest
metadata: {namespace: default}
spec:
  targetClusterProfile: {name: ` + cluster + `}
  serviceAccountName: ` + account + `
  serviceAccountNamespace: default
` + spec
}

const view = "  clusterRoles: [{name: view}]\n"

// create has the hub answer a request, and returns the file with the kubeconfig in the answer.
func create(t *testing.T, request string) string {
	t.Helper()
	encoded := mustKubectl(t, kubeconfig("hub"), request, "create", "-f", "-", "-o", "jsonpath={.status.kubeconfig}")
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, decoded, 0o600))
	return file
}

// tryCreate asks the hub for what create does, and wants no answer.
func tryCreate(ctx context.Context, request string) error {
	_, err := kubectl(ctx, kubeconfig("hub"), request, "create", "-f", "-", "-o", "name")
	return err
}

func TestAuthTokenRequest(t *testing.T) {
	t.Run("the answer says what it is", func(t *testing.T) {
		var answer v1alpha1.AuthTokenRequest
		out := mustKubectl(t, kubeconfig("hub"), example(t), "create", "-f", "-", "-o", "yaml")
		require.NoError(t, yaml.UnmarshalStrict([]byte(out), &answer))
		assert.Equal(t, "work", answer.Name)
		assert.NotEmpty(t, answer.Status.Token)
		require.NotNil(t, answer.Status.ExpirationTimestamp)
		left := time.Until(answer.Status.ExpirationTimestamp.Time)
		assert.True(t, left > 50*time.Minute && left <= time.Hour, "the token expires in %s", left)
	})

	file := create(t, example(t))
	t.Run("the kubeconfig works on bravelion", func(t *testing.T) {
		who := mustKubectl(t, file, "", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
		assert.Equal(t, "system:serviceaccount:default:talk", who)
		assert.Contains(t, mustKubectl(t, file, "", "get", "namespaces", "-o", "name"), "namespace/kube-system")
		mustKubectl(t, file, "", "delete", "configmap", "e2e", "--ignore-not-found")
		mustKubectl(t, file, "", "create", "configmap", "e2e", "--from-literal=from=hub")
		assert.Equal(t, "hub", on(t, "bravelion", "get", "configmap", "e2e", "-o", "jsonpath={.data.from}"))
		mustKubectl(t, file, "", "delete", "configmap", "e2e")
	})
	t.Run("its token means nothing on smartfish", func(t *testing.T) {
		_, err := kubectl(t.Context(), pointedAt(t, file, "smartfish"), "", "get", "namespaces")
		require.ErrorContains(t, err, "You must be logged in to the server")
	})
}

// pointedAt returns a copy of a kubeconfig file with the address and CA of another cluster.
func pointedAt(t *testing.T, file, cluster string) string {
	t.Helper()
	config := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(file))
	other := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(kubeconfig(cluster)))
	config.Clusters[currentCluster(config)] = other.Clusters[currentCluster(other)]
	moved := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, moved))
	return moved
}

func currentCluster(config *clientcmdapi.Config) string {
	return config.Contexts[config.CurrentContext].Cluster
}

// Rules in the request are all that the token may.
func TestAuthTokenRequest_Rules(t *testing.T) {
	file := create(t, requestFor("smartfish", "e2e-rules", `  roles:
  - namespace: default
    name: maps
    rules: [{apiGroups: [""], resources: [configmaps], verbs: [list]}]
`))
	mustKubectl(t, file, "", "get", "configmaps", "-n", "default")
	for _, beyond := range [][]string{
		{"get", "secrets", "-n", "default"},
		{"get", "configmaps", "-n", "kube-system"},
		{"create", "configmap", "more", "-n", "default"},
	} {
		_, err := kubectl(t.Context(), file, "", beyond...)
		require.ErrorContains(t, err, "is forbidden", strings.Join(beyond, " "))
	}
}

// A killed server comes back with its data.
func TestServer_Killed(t *testing.T) {
	profile := `apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ClusterProfile
metadata: {name: kept, namespace: default}
spec: {clusterManager: {name: e2e}}
`
	uid := []string{"get", "clusterprofile", "kept", "-n", "default", "-o", "jsonpath={.metadata.uid}"}
	mustKubectl(t, kubeconfig("hub"), profile, "apply", "-f", "-")
	before := on(t, "hub", uid...)
	require.NotEmpty(t, before)

	require.NoError(t, process(t, "clusterpass-apiserver").Kill())
	fleetUp(t)
	testenv.Eventually(t, func(ctx context.Context) error { return tryCreate(ctx, requestFor("bravelion", "e2e", view)) })
	assert.Equal(t, before, on(t, "hub", uid...))
	on(t, "hub", "delete", "clusterprofile", "kept", "-n", "default")
}

// expectSmartfishDown wants a request for smartfish to fail in time and to say why, while bravelion
// works.
func expectSmartfishDown(t *testing.T, within time.Duration) {
	t.Helper()
	begin := time.Now()
	failed := make(chan error, 1)
	go func() { failed <- tryCreate(t.Context(), requestFor("smartfish", "e2e", view)) }()
	assert.NoError(t, tryCreate(t.Context(), requestFor("bravelion", "e2e", view)))
	err := <-failed
	took := time.Since(begin)
	require.ErrorContains(t, err, "smartfish")
	assert.Regexp(t, `Error from server \((Timeout|GatewayTimeout|ServiceUnavailable)\)`, err.Error())
	assert.Less(t, took, within)
	t.Logf("after %s: %v", took.Round(time.Millisecond), err)
}

// A member that is down is named, and the other goes on.
func TestMember_Down(t *testing.T) {
	// Room for kubectl and a busy machine beside what the server may take, its
	// --member-request-timeout of 10 s.
	const within = 20 * time.Second
	mint := func(ctx context.Context) error { return tryCreate(ctx, requestFor("smartfish", "e2e", view)) }
	require.NoError(t, mint(t.Context()))

	t.Run("when it hangs", func(t *testing.T) {
		member := process(t, "smartfish-kube-apiserver")
		require.NoError(t, member.Signal(syscall.SIGSTOP))
		// Whatever happens: nobody else can wake it.
		defer func() { assert.NoError(t, member.Signal(syscall.SIGCONT)) }()
		expectSmartfishDown(t, within)
	})
	testenv.Eventually(t, mint)
	t.Run("when it is gone", func(t *testing.T) {
		require.NoError(t, process(t, "smartfish-kube-apiserver").Kill())
		expectSmartfishDown(t, within)
	})
	fleetUp(t)
	testenv.Eventually(t, mint)
}
