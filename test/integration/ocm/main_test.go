// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ocm tests clusterpass on hubs of Open Cluster Management: with OCM's own controllers,
// which make the ClusterProfiles and keep their status, in both modes of --inventory. The tests
// play OCM's agents on the members.
package ocm

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/cli"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/test/testenv"
)

const (
	// bravelion is a ManagedCluster with a member behind it, smartfish one whose agent has gone
	// silent.
	bravelion, smartfish = "bravelion", "smartfish"
	// team and partner are the namespaces that the set of all clusters is bound in.
	team, partner = "team-ocm", "partner"
	// user may do in team and partner what artifacts/examples/rbac/bravelion-viewer.yaml says, and
	// nothing else.
	user, group = "jane", "bravelion-viewers"

	probePeriod = 2 * time.Second
)

// fleet is a hub with OCM's controllers and both programs of clusterpass, and with a member.
type fleet struct {
	// mode is that of --inventory.
	mode        string
	hub, member *testenv.Cluster
	// kubeconfig has a context for the hub, which is the current one, and for the member, as the admin
	// of both. asUser is one for user on the hub.
	kubeconfig, asUser string
	agent              *agent
}

// startFleet runs one in a mode until the test ends. Once hub and member run, args may return more
// arguments for both programs of clusterpass.
func startFleet(t *testing.T, mode string, args ...func(f *fleet) []string) *fleet {
	t.Helper()
	testenv.RequireOCM(t)
	f := &fleet{
		mode: mode, hub: testenv.Start(t, testenv.Options{Name: "hub", Audit: true}),
		member: testenv.Start(t, testenv.Options{Name: bravelion}),
	}
	f.writeKubeconfigs(t)
	var both []string
	for _, more := range args {
		both = append(both, more(f)...)
	}
	server := testenv.ServerConfig{Args: append([]string{"--inventory=" + mode}, both...)}
	if mode == hub.InventoryExternal {
		server.GroupVersions = []schema.GroupVersion{clusterpassv1alpha1.SchemeGroupVersion}
		f.prepareExternal(t)
		testenv.StartOCM(t, f.hub, testenv.OCMConfig{ProfileCRD: true})
		testenv.StartServer(t, f.hub, server)
	} else {
		testenv.StartServer(t, f.hub, server)
		testenv.StartOCM(t, f.hub, testenv.OCMConfig{})
	}
	testenv.StartControllerManager(t, f.hub, testenv.ControllerManagerConfig{Args: append([]string{
		"--v=2", "--member-probe-period=" + probePeriod.String(), "--cluster-profile-write-interval=1s",
	}, both...)})
	f.register(t)
	return f
}

func (f *fleet) writeKubeconfigs(t *testing.T) {
	t.Helper()
	rules := clientcmd.ClientConfigLoadingRules{Precedence: []string{f.hub.Kubeconfig(), f.member.Kubeconfig()}}
	config, err := rules.Load()
	require.NoError(t, err)
	config.CurrentContext = f.hub.Name()
	f.kubeconfig = filepath.Join(t.TempDir(), "admin.yaml")
	require.NoError(t, clientcmd.WriteToFile(*config, f.kubeconfig))
	f.asUser = f.kubeconfigOf(t, user, group)
}

// kubeconfigOf returns a file with which a user is known by a client certificate.
func (f *fleet) kubeconfigOf(t *testing.T, user string, groups ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), user+".yaml")
	data := testenv.Must[[]byte](t)(f.hub.ClientCertKubeconfig(user, groups...))
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

// profiles returns a client of the hub's ClusterProfiles, in v1alpha1.
func (f *fleet) profiles(t *testing.T, namespace string) inventoryclient.ClusterProfileInterface {
	t.Helper()
	return f.hub.Inventory(t).ApisV1alpha1().ClusterProfiles(namespace)
}

// apply has kubectl apply manifests to the hub as its admin.
func (f *fleet) apply(t *testing.T, manifests string) {
	t.Helper()
	testenv.MustKubectl(t, f.kubeconfig, manifests, "apply", "--server-side", "-f", "-")
}

// applyExample applies a file of artifacts/examples as if it had been written for a namespace.
func (f *fleet) applyExample(t *testing.T, namespace string, path ...string) {
	t.Helper()
	f.apply(t, f.example(t, namespace, path...))
}

func (f *fleet) example(t *testing.T, namespace string, path ...string) string {
	t.Helper()
	path = append([]string{testenv.Root(t), "artifacts", "examples"}, path...)
	data := testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(path...)))
	require.Contains(t, string(data), "namespace: default}")
	return strings.ReplaceAll(string(data), "namespace: default}", "namespace: "+namespace+"}")
}

// clusterpass runs `kubectl clusterpass` as the admin of hub and member, and returns what it
// prints.
func (f *fleet) clusterpass(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := cli.NewCommand(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &out, ErrOut: &out})
	cmd.SetArgs(append([]string{"--kubeconfig=" + f.kubeconfig, "--cache-dir=" + filepath.Join(filepath.Dir(f.kubeconfig), "cache")}, args...))
	cmd.SetContext(ctx)
	cmd.SilenceErrors = true
	err := cmd.Execute()
	return out.String(), err
}
