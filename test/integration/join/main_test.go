// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package join tests `kubectl clusterpass join` and what undoes it: on a hub and members that have
// nothing of clusterpass but the server and the controller manager as they are deployed.
package join

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpass.dev/pkg/cli"
	"clusterpass.dev/test/testenv"
)

const (
	poll = 50 * time.Millisecond
	// tendedBy is the cluster manager whose profiles the controller manager tends. Those that tests
	// join are of another unless they say so: what is compared before and after is changed by the
	// tests alone.
	tendedBy = "tended"
)

// longTimeout gives a command the time that tests wait for a condition.
var longTimeout = "--timeout=" + testenv.WaitTimeout.String()

// shared is a hub with two clusters that are not joined.
var shared struct {
	testenv.Fleet
	// kubeconfig has a context for each cluster, as its admin. The hub's is the current one.
	kubeconfig string
}

func TestMain(m *testing.M) {
	shared.Main(m, testenv.FleetConfig{
		Members: 2, Unjoined: true, Server: &testenv.ServerConfig{},
		Manager: &testenv.ControllerManagerConfig{Args: []string{
			"--member-sweep-period=2s", "--cluster-manager-name=" + tendedBy, "--member-probe-period=1s", "--cluster-profile-write-interval=1s",
		}},
		Prepare: func(context.Context) error { return writeKubeconfig() },
	})
}

func writeKubeconfig() error {
	rules := clientcmd.ClientConfigLoadingRules{Precedence: []string{
		shared.Hub.Kubeconfig(), shared.Bravelion.Kubeconfig(), shared.Smartfish.Kubeconfig(),
	}}
	config, err := rules.Load()
	if err != nil {
		return err
	}
	config.CurrentContext = shared.Hub.Name()
	shared.kubeconfig = filepath.Join(shared.Dir, "kubeconfig")
	return clientcmd.WriteToFile(*config, shared.kubeconfig)
}

// clusterpass runs `kubectl clusterpass` and returns what it prints.
func clusterpass(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	err := clusterpassTo(ctx, &out, args...)
	return out.String(), err
}

// clusterpassTo is clusterpass that prints to out.
func clusterpassTo(ctx context.Context, out io.Writer, args ...string) error {
	cmd := cli.NewCommand(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: out, ErrOut: out})
	cmd.SetArgs(append([]string{"--kubeconfig=" + shared.kubeconfig, "--cache-dir=" + filepath.Join(shared.Dir, "cache")}, args...))
	cmd.SetContext(ctx)
	cmd.SilenceErrors = true
	return cmd.Execute()
}

// mustClusterpass is clusterpass where it has to go well.
func mustClusterpass(t *testing.T, args ...string) string {
	t.Helper()
	out, err := clusterpass(t.Context(), args...)
	require.NoError(t, err, out)
	return out
}

// joined joins a member by the name of its cluster, with more arguments, until the test ends.
func joined(t *testing.T, name string, args ...string) string {
	t.Helper()
	unjoin := []string{"unjoin", name, "--member-context=" + name}
	if i := slices.Index(args, "--cluster-manager="+tendedBy); i >= 0 {
		unjoin = append(unjoin, args[i])
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.WaitTimeout)
		defer cancel()
		out, err := clusterpass(ctx, unjoin...)
		require.NoError(t, err, out)
		cluster := map[string]*testenv.Cluster{"bravelion": shared.Bravelion, "smartfish": shared.Smartfish}[name]
		waitNamespaceGone(t, cluster, "clusterpass-system")
	})
	return mustClusterpass(t, append([]string{"join", name, "--member-context=" + name, "--wait=false"}, args...)...)
}
