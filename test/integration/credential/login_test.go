// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/pkg/credential"
	"clusterpass.dev/test/testenv"
)

// account makes a ServiceAccount on the hub and returns a function that returns another token of it
// each time.
func account(t *testing.T, name string, entitled bool) func() string {
	t.Helper()
	hub := shared.Hub.Kube(t)
	accounts := hub.CoreV1().ServiceAccounts("default")
	testenv.Create(t, accounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if entitled {
		testenv.Bind(t, hub, "", name, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: name}, consumer)
	}
	return func() string {
		request, err := accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		require.NoError(t, err)
		return request.Status.Token
	}
}

// relay passes connections on to the hub until it is closed, and returns its URL.
func relay(t *testing.T) (address string, closeRelay func()) {
	t.Helper()
	hub := testenv.Must[*url.URL](t)(url.Parse(shared.Hub.Server()))
	listener := testenv.Must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", hub.Host)
			if err != nil {
				client.Close()
				continue
			}
			go func() { defer server.Close(); _, _ = io.Copy(server, client) }()
			go func() { defer client.Close(); _, _ = io.Copy(client, server) }()
		}
	}()
	return "https://" + listener.Addr().String(), func() { listener.Close() }
}

// TestKubectl_LoginByEnvironment logs in to the hub with an exec plugin that goes by a variable, as
// people do who are several users.
func TestKubectl_LoginByEnvironment(t *testing.T) {
	const alice, bob, carol = "login-alice", "login-bob", "login-carol"
	newToken := map[string]func() string{alice: account(t, alice, true), bob: account(t, bob, true), carol: account(t, carol, false)}
	h := newHome(t, consumer)
	address, closeRelay := relay(t)
	config := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(h.kubeconfig))
	current := config.Contexts[config.CurrentContext]
	config.Clusters[current.Cluster].Server = address
	config.AuthInfos[current.AuthInfo] = &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
		APIVersion: v1, Command: "/bin/sh", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		Args: []string{"-c", `echo '{"apiVersion":"` + v1 + `","kind":"ExecCredential","status":{"token":"'$HUB_TOKEN'"}}'`},
	}}
	require.NoError(t, clientcmd.WriteToFile(*config, h.kubeconfig))
	as := func(token string) home {
		user := h
		user.env = append(append([]string{}, h.env...), "HUB_TOKEN="+token)
		return user
	}
	run := func(token string, args ...string) (string, error) {
		output, err := as(token).command(t, shared.kubectl, args...).CombinedOutput()
		return string(output), err
	}
	username := func(name string) string { return "system:serviceaccount:default:" + name }
	first := newToken[alice]()
	as(first).output(t, shared.kubectl, "clusterpass", "kubeconfig", "bravelion", "--merge", "--service-account=login-shared")

	members := []string{"--context=bravelion", "get", "namespaces", "-o", "name"}
	before := mints(t, username(alice))
	second := newToken[alice]()
	for _, token := range []string{first, second, first, second} {
		as(token).output(t, shared.kubectl, members...)
	}
	assert.Equal(t, before, mints(t, username(alice)), "the same person uses the cached token with another token of the hub")
	output, err := run(newToken[carol](), members...)
	assert.Error(t, err, "carol has used what alice was given")
	assert.Contains(t, output, username(carol))
	assert.Contains(t, output, "forbidden")
	as(newToken[bob]()).output(t, shared.kubectl, members...)
	assert.Equal(t, 1, mints(t, username(bob)), "bob is given a token of his own")

	closeRelay()
	as(second).output(t, shared.kubectl, members...)
	output, err = run(newToken[bob](), members...)
	assert.Error(t, err, "another login while the hub is down")
	assert.Contains(t, output, "is new or has changed")
	assert.Contains(t, output, "no cached token")
	logins := testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(h.dir, ".cache", "clusterpass", "tokens", "logins")))
	assert.NotContains(t, string(logins), second, "a token of the hub is kept")
}

// TestKubectl_LoginByCertificate changes the client certificate in a kubeconfig.
func TestKubectl_LoginByCertificate(t *testing.T) {
	h := newHome(t, consumer)
	h.output(t, shared.kubectl, "clusterpass", "kubeconfig", "smartfish", "--merge")
	members := []string{"--context=smartfish", "get", "namespaces", "-o", "name"}
	login := func(user string) {
		t.Helper()
		other := testenv.Must[*clientcmdapi.Config](t)(clientcmd.Load(testenv.Must[[]byte](t)(shared.Hub.ClientCertKubeconfig(user))))
		config := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(h.kubeconfig))
		config.AuthInfos[config.Contexts["hub"].AuthInfo] = other.AuthInfos[other.Contexts[other.CurrentContext].AuthInfo]
		require.NoError(t, clientcmd.WriteToFile(*config, h.kubeconfig))
	}
	before := mints(t, consumer)
	login(consumer) // another certificate of the same user
	h.output(t, shared.kubectl, members...)
	assert.Equal(t, before, mints(t, consumer), "the same person uses the cached token with another certificate")
	login(stranger)
	output, err := h.command(t, shared.kubectl, members...).CombinedOutput()
	assert.Error(t, err, "a stranger has used what the consumer was given")
	assert.Contains(t, string(output), stranger)
}

// TestPlugin_RequireTicket runs every command that asks for a token under the policy of the
// examples.
func TestPlugin_RequireTicket(t *testing.T) {
	policy := filepath.Join(testenv.Root(t), "artifacts", "examples", "policies", "require-ticket.yaml")
	h := newHome(t, consumer)
	admin := func(args ...string) {
		h.output(t, shared.kubectl, append([]string{"--kubeconfig=" + shared.Hub.Kubeconfig()}, args...)...)
	}
	admin("apply", "-f", policy)
	defer func() {
		admin("delete", "-f", policy)
		testenv.Eventually(t, func(context.Context) error {
			output, err := h.command(t, shared.kubectl, "clusterpass", "token", "bravelion").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, output)
			}
			return nil
		})
	}()
	testenv.Eventually(t, func(context.Context) error {
		output, err := h.command(t, shared.kubectl, "clusterpass", "token", "bravelion").CombinedOutput()
		if err == nil {
			return errors.New("the policy is not enforced")
		}
		require.Contains(t, string(output), `authtokenrequests.clusterpass.dev "bravelion" is forbidden`)
		require.Contains(t, string(output), "number of a ticket")
		return nil
	})
	const ticket = "--annotation=example.com/ticket=OPS-1234"
	for _, command := range []string{"get-token", "kubeconfig"} {
		output, err := h.command(t, shared.kubectl, "clusterpass", command, "bravelion").CombinedOutput()
		assert.Error(t, err, "%s without a ticket: %s", command, output)
		h.output(t, shared.kubectl, "clusterpass", command, "bravelion", ticket)
	}
	h.output(t, shared.kubectl, "clusterpass", "token", "bravelion", ticket)
	h.output(t, shared.kubectl, "clusterpass", "kubeconfig", "bravelion", "--merge", ticket)
	require.NoError(t, os.RemoveAll(filepath.Join(h.dir, ".cache")))
	h.output(t, shared.kubectl, "--context=bravelion", "get", "namespaces")

	cluster := clusterOf(t, provide(t, shared.Bravelion, "ticket"), credential.ProviderName)
	stdout, stderr, err := runPlugin(t, h, cluster)
	assert.Error(t, err, "without a ticket")
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "number of a ticket")
	_, stderr, err = runPlugin(t, h, cluster, ticket)
	assert.NoError(t, err, stderr)
}
