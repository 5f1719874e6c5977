// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	clusterpassfake "clusterpass.dev/pkg/generated/clientset/versioned/fake"
)

// execute runs the command line and returns what it prints.
func execute(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	cmd := NewCommand(streams)
	cmd.SetArgs(args)
	cmd.SilenceErrors = true
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errOut.String(), err
}

// succeed runs a command that does not fail, and returns its output.
func succeed(t *testing.T, args ...string) string {
	t.Helper()
	out, _, err := execute(t, args...)
	require.NoError(t, err)
	return out
}

// Revoke never takes more than was said.
func TestRevoke_Arguments(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"nothing":                        {nil, "which grants?"},
		"all namespaces alone":           {[]string{"-A"}, "which grants?"},
		"names and a filter":             {[]string{"one", "--requester=alice"}, "not both"},
		"names and all":                  {[]string{"one", "--all-in-namespace"}, "not both"},
		"names in all namespaces":        {[]string{"one", "-A"}, "--all-namespaces can't be used with names"},
		"all of all namespaces":          {[]string{"--all-in-namespace", "-A"}, "can't be used with other flags"},
		"an empty filter is no filter":   {[]string{"--requester="}, "which grants?"},
		"all of a namespace of somebody": {[]string{"--all-in-namespace", "--requester=alice"}, "can't be used with other flags"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := execute(t, append([]string{"revoke"}, test.args...)...)
			require.ErrorContains(t, err, test.want)
		})
	}
}

// TestRevoke_Output has the hub answer each read of a grant by the next of what it is by then;
// afterwards the grant is gone.
func TestRevoke_Output(t *testing.T) {
	grant := &clusterpassv1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "one", UID: "grant-1"}}
	abandoned := grant.DeepCopy()
	abandoned.Annotations = map[string]string{clusterpassv1alpha1.AnnotationAbandonMember: "true"}
	const ended, letGo = "their tokens have ended\n", "were abandoned: their tokens may work until they expire\n"
	for name, test := range map[string]struct {
		found *clusterpassv1alpha1.AuthTokenGrant
		later []*clusterpassv1alpha1.AuthTokenGrant
		want  string
	}{
		"of a member that answers":          {grant, nil, ended},
		"of one that was given up before":   {abandoned, nil, letGo},
		"of one that is given up meanwhile": {grant, []*clusterpassv1alpha1.AuthTokenGrant{grant, abandoned}, letGo},
	} {
		t.Run(name, func(t *testing.T) {
			client := clusterpassfake.NewClientset()
			client.PrependReactor("get", "authtokengrants", func(clienttesting.Action) (bool, runtime.Object, error) {
				if len(test.later) == 0 {
					return true, nil, apierrors.NewNotFound(clusterpassv1alpha1.Resource("authtokengrants"), "one")
				}
				next := test.later[0]
				test.later = test.later[1:]
				return true, next, nil
			})
			streams, _, out, _ := genericiooptions.NewTestIOStreams()
			o := &revokeOptions{grantFilter: grantFilter{plugin: plugin{streams: streams}}, timeout: time.Minute}
			require.NoError(t, o.untilGone(t.Context(), client, []clusterpassv1alpha1.AuthTokenGrant{*test.found}))
			assert.True(t, strings.HasSuffix(out.String(), test.want), out.String())
		})
	}
}

func TestExplain_Arguments(t *testing.T) {
	_, _, err := execute(t, "explain", "cluster")
	require.ErrorContains(t, err, `unknown command "cluster"`)
}

func TestJoin_Arguments(t *testing.T) {
	_, _, err := execute(t, "join", "bravelion")
	require.ErrorContains(t, err, "[member-context member-kubeconfig] is required")
	_, _, err = execute(t, "join")
	require.ErrorContains(t, err, "accepts 1 arg(s)")
}

// A namespace before a name has a flag of its own.
func TestCommands_NamespaceBeforeName(t *testing.T) {
	for _, command := range []string{"token", "get-token", "kubeconfig", "join", "unjoin", "revoke", "renew-author", "explain placement"} {
		t.Run(command, func(t *testing.T) {
			_, _, err := execute(t, append(strings.Fields(command), "team-a/bravelion")...)
			require.ErrorContains(t, err, `"team-a/bravelion" is not a name`)
			assert.ErrorContains(t, err, "kubectl clusterpass "+command+" bravelion --namespace=team-a")
		})
	}
}

func TestVersion(t *testing.T) {
	assert.NotEmpty(t, succeed(t, "version"))
}

// What a kubeconfig has in files becomes inline.
func TestMemberFlags_Load(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	require.NoError(t, os.WriteFile(ca, []byte("PEM"), 0o600))
	file := filepath.Join(dir, "config")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:  map[string]*clientcmdapi.Cluster{"m": {Server: "https://m", CertificateAuthority: ca}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {Token: "of the user"}},
		Contexts:  map[string]*clientcmdapi.Context{"m": {Cluster: "m", AuthInfo: "u"}, "broken": {Cluster: "none"}},
	}, file))
	hub := genericclioptions.NewConfigFlags(false)

	m, err := (&memberFlags{kubeconfig: file, context: "m", server: "https://from-the-hub"}).load(hub)
	require.NoError(t, err)
	assert.Equal(t, "https://from-the-hub", m.Endpoint.Server)
	assert.Equal(t, "PEM", string(m.Endpoint.CertificateAuthorityData))
	assert.Equal(t, "https://m", m.Config.Host, "the user goes on using the address of the context")

	m, err = (&memberFlags{}).load(hub)
	require.NoError(t, err)
	assert.Nil(t, m)

	for context, want := range map[string]string{
		"other": `no context "other"`, "broken": `no cluster "none"`, "": "has no current context; choose one with --member-context",
	} {
		_, err = (&memberFlags{kubeconfig: file, context: context}).load(hub)
		require.ErrorContains(t, err, want)
	}
	config, err := clientcmd.LoadFromFile(file)
	require.NoError(t, err)
	config.CurrentContext = "m"
	require.NoError(t, clientcmd.WriteToFile(*config, file))
	m, err = (&memberFlags{kubeconfig: file}).load(hub)
	require.NoError(t, err)
	assert.Equal(t, "https://m", m.Endpoint.Server, "a kubeconfig alone is its current context")

	for field, change := range map[string]func(*clientcmdapi.Cluster){
		"server":    func(c *clientcmdapi.Cluster) { c.Server = "https://u:s3cret%zz@m" },
		"proxy-url": func(c *clientcmdapi.Cluster) { c.ProxyURL = "http://u:s3cret%zz@proxy" },
	} {
		broken := config.DeepCopy()
		change(broken.Clusters["m"])
		require.NoError(t, clientcmd.WriteToFile(*broken, file))
		_, err = (&memberFlags{kubeconfig: file}).load(hub)
		require.ErrorContains(t, err, "its "+field+" is not a URL")
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

// TestCommands_NoHub is for users who have set nothing up yet, or are in another shell.
func TestCommands_NoHub(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	// A cluster that nobody answers for.
	away := "https://" + listener.Addr().String()
	dir := t.TempDir()
	hub := clientcmdapi.Config{
		Clusters:  map[string]*clientcmdapi.Cluster{"hub": {Server: away}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"alice": {Token: "s3cret"}},
		Contexts:  map[string]*clientcmdapi.Context{"hub": {Cluster: "hub", AuthInfo: "alice"}},
	}
	noneCurrent, empty, unreachable := filepath.Join(dir, "none-current"), filepath.Join(dir, "empty"), filepath.Join(dir, "unreachable")
	require.NoError(t, clientcmd.WriteToFile(hub, noneCurrent))
	hub.CurrentContext = "hub"
	require.NoError(t, clientcmd.WriteToFile(hub, unreachable))
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	t.Setenv("HOME", dir)
	t.Setenv("KUBERNETES_MASTER", "")

	commands := []string{
		"doctor", "doctor --uninstall", "token bravelion", "get-token bravelion", "kubeconfig bravelion", "grants", "revoke one",
		"join bravelion --member-context=hub", "unjoin bravelion", "migrate --dry-run", "explain placement gpu", "renew-author gpu",
	}
	for name, test := range map[string]struct {
		env, flags string
		want       []string
	}{
		"no kubeconfig":             {filepath.Join(dir, "nowhere"), "", []string{"no hub: the kubeconfig is missing or empty", "nowhere"}},
		"an empty one":              {empty, "", []string{"no hub: the kubeconfig is missing or empty", "empty"}},
		"no context is current":     {noneCurrent, "", []string{"no hub: the kubeconfig", "has no current context"}},
		"a flag that leads nowhere": {unreachable, " --kubeconfig=" + filepath.Join(dir, "nowhere"), []string{"no kubeconfig: ", "no such file"}},
		"a hub that is away":        {unreachable, "", []string{"does not answer", away}},
	} {
		for _, command := range commands {
			t.Run(name+"/"+command, func(t *testing.T) {
				t.Setenv("KUBECONFIG", test.env)
				out, _, err := execute(t, strings.Fields(command+test.flags)...)
				require.Error(t, err)
				told := out + err.Error()
				first, _, _ := strings.Cut(told, "\n")
				for _, words := range test.want {
					assert.Contains(t, first, words)
				}
				assert.Contains(t, told, nameTheHub)
				assert.NotContains(t, told, "localhost")
				assert.NotContains(t, told, "s3cret")
			})
		}
	}
}

// TestCommands_HubOnDefaultAddress is for whoever means localhost:8080.
func TestCommands_HubOnDefaultAddress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"hub": {Server: "http://localhost:8080"}},
		Contexts:       map[string]*clientcmdapi.Context{"hub": {Cluster: "hub"}},
		CurrentContext: "hub",
	}, file))
	for name, test := range map[string]struct {
		env   string
		flags []string
	}{
		"by its kubeconfig": {file, nil},
		"by a flag":         {filepath.Join(t.TempDir(), "none"), []string{"--server=http://localhost:8080"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", test.env)
			_, _, err := execute(t, append([]string{"grants", "--request-timeout=1s"}, test.flags...)...)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "no hub")
		})
	}
}
