// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

const pluginProvider = "plugin"

// execConfig returns a configuration with this test binary as the only plugin.
func execConfig(t *testing.T, mode string, ca []byte, servers ...string) *configv1alpha1.AccessConfiguration {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	config := &configv1alpha1.AccessConfiguration{Providers: []configv1alpha1.AccessProvider{{
		Name: pluginProvider,
		Exec: &configv1alpha1.ExecProvider{
			Command: binary, Args: []string{"configured"},
			Env:                []configv1alpha1.ExecEnvVar{{Name: pluginMode, Value: mode}},
			ProvideClusterInfo: true, Servers: servers, CertificateAuthorityData: ca,
			Bindings: []configv1alpha1.ExecBinding{{Namespaces: []string{"default"}}},
		},
	}}}
	configScheme().Default(config)
	return config
}

// pluginProfile returns a profile whose entry tries to pass arguments and environment to the
// plugin.
func pluginProfile(name string, cluster clientcmdv1.Cluster) *inventoryv1alpha1.ClusterProfile {
	extension := func(name, raw string) clientcmdv1.NamedExtension {
		return clientcmdv1.NamedExtension{Name: name, Extension: runtime.RawExtension{Raw: []byte(raw)}}
	}
	cluster.Extensions = append(cluster.Extensions,
		extension(execExtension, `{"clusterName":"`+name+`"}`),
		extension("clusterprofiles.multicluster.x-k8s.io/exec/additional-args", `["evil-`+name+`"]`),
		extension("clusterprofiles.multicluster.x-k8s.io/exec/additional-envs", `{"LEAK":"evil-`+name+`"}`))
	profile := &inventoryv1alpha1.ClusterProfile{Status: inventoryv1alpha1.ClusterProfileStatus{
		AccessProviders: []inventoryv1alpha1.AccessProvider{{Name: pluginProvider, Cluster: cluster}},
	}}
	profile.Namespace, profile.Name, profile.UID = "default", name, "uid-1"
	return profile
}

// Clusters are never mixed.
func TestExecProvider_Clusters(t *testing.T) {
	one := newMemberServer(t, time.Now().Add(time.Hour), ok)
	two := newMemberServer(t, time.Now().Add(time.Hour), ok)
	pool := newTestPool(t, execConfig(t, "token", slices.Concat(one.ca.pem, two.ca.pem), "https://127.0.0.1:*"), nil, nil)

	for range 3 {
		for name, server := range map[string]*memberServer{"one": one, "two": two} {
			cluster := clientcmdv1.Cluster{Server: server.URL, CertificateAuthorityData: server.ca.pem, TLSServerName: "member.example.com"}
			client := clientOf(t, pool, pluginProfile(name, cluster))
			require.NoError(t, list(t.Context(), client))
			requests := server.seen()
			assert.Equal(t, "Bearer configured||"+server.URL+"|member.example.com", requests[len(requests)-1].Header.Get("Authorization"),
				"arguments, environment, server and server name that the plugin is run with")
			// Another client each time: the configuration is built anew.
			pool.Forget("uid-1")
		}
	}
}

// The provider is pinned to its servers.
func TestExecProvider_Servers(t *testing.T) {
	ca, other := newAuthority(t, "configured"), newAuthority(t, "other")
	both := slices.Concat(ca.pem, ca.pem)
	type entry = clientcmdv1.Cluster
	const server = "https://a.example.com:6443"
	for _, test := range []struct {
		name    string
		cluster entry
		wantCA  []byte
		wantErr string
	}{
		{name: "without a CA in the profile it is the configured ones", cluster: entry{Server: server}, wantCA: both},
		{name: "a CA in the profile narrows it down", cluster: entry{Server: server, CertificateAuthorityData: ca.pem}, wantCA: ca.pem},
		{name: "an allowed proxy", cluster: entry{Server: server, ProxyURL: "http://proxy:3128"}, wantCA: both},
		{name: "a CA that is not configured", wantErr: `the CA "CN=other" is not one`,
			cluster: entry{Server: server, CertificateAuthorityData: slices.Concat(ca.pem, other.pem)}},
		{name: "a CA that is none", cluster: entry{Server: server, CertificateAuthorityData: []byte("x")}, wantErr: "not PEM"},
		{name: "a server of somebody else", cluster: entry{Server: "https://evil.com:6443"},
			wantErr: "is not one that the credential plugin is configured for"},
		{name: "a server without TLS", cluster: entry{Server: "http://a.example.com:6443"}, wantErr: "must be https"},
		{name: "no server", wantErr: "there is no server"},
		{name: "another proxy", cluster: entry{Server: server, ProxyURL: "http://evil.com"}, wantErr: "proxy-url is not one"},
		{name: "insecure TLS", cluster: entry{Server: server, InsecureSkipTLSVerify: true}, wantErr: "insecure-skip-tls-verify"},
		{name: "a CA file", cluster: entry{Server: server, CertificateAuthority: "/etc/passwd"}, wantErr: "certificate-authority"},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := execConfig(t, "fail", both, "https://*.example.com:6443")
			config.Providers[0].Exec.ProxyURLs = []string{"http://proxy:3128"}
			client, err := newTestPool(t, config, nil, nil).For(t.Context(), pluginProfile("one", test.cluster))
			if test.wantErr != "" {
				assert.Contains(t, statusErr(t, err).Message, test.wantErr)
				return
			}
			require.NoError(t, err)
			test.cluster.CertificateAuthorityData = test.wantCA
			assert.Equal(t, test.cluster, client.Cluster())
		})
	}
}

// TestExecProvider_Extension looks at what the plugin of a profile is given as the cluster's
// config.
func TestExecProvider_Extension(t *testing.T) {
	ca := newAuthority(t, "configured")
	given := func(t *testing.T, pass bool, name string) (any, error) {
		t.Helper()
		config := execConfig(t, "fail", ca.pem, "https://a.example.com:6443")
		config.Providers[0].Exec.PassExtension = pass
		p := newExecProvider(pluginProvider, config.Providers[0].Exec)
		profile := pluginProfile(name, clientcmdv1.Cluster{Server: "https://a.example.com:6443"})
		found, err := p.find(profile, &profile.Status.AccessProviders[0], nil)
		if err != nil {
			return nil, err
		}
		access, err := found.open()
		require.NoError(t, err)
		return access.config.ExecProvider.Config, nil
	}
	t.Run("who edits a status does not choose whose credential the plugin hands out", func(t *testing.T) {
		config, err := given(t, false, "member-default-other")
		require.NoError(t, err)
		assert.Nil(t, config)
	})
	t.Run("unless the operator has the extension passed", func(t *testing.T) {
		config, err := given(t, true, "one")
		require.NoError(t, err)
		assert.NotNil(t, config)
	})
	t.Run("up to its bound", func(t *testing.T) {
		_, err := given(t, true, strings.Repeat("x", maxExtension))
		require.ErrorContains(t, err, "has more than 16384 bytes")
	})
}

// TestExecProvider_Openings changes access data again and again: client-go keeps what it makes of
// each.
func TestExecProvider_Openings(t *testing.T) {
	ca := newAuthority(t, "configured")
	p := newExecProvider(pluginProvider, execConfig(t, "fail", ca.pem, "https://a.example.com:6443").Providers[0].Exec)
	open := func(profile, serverName string) error {
		of := pluginProfile(profile, clientcmdv1.Cluster{Server: "https://a.example.com:6443", TLSServerName: serverName})
		found, err := p.find(of, &of.Status.AccessProviders[0], nil)
		require.NoError(t, err)
		_, err = found.open()
		return err
	}
	for i := range openBurst {
		require.NoError(t, open("one", fmt.Sprintf("%d.example.com", i)))
	}
	require.ErrorContains(t, open("one", "more.example.com"), "its access data change too often")
	require.NoError(t, open("one", "0.example.com"), "what was opened before costs nothing")
	require.NoError(t, open("two", "two.example.com"), "another ClusterProfile has a limit of its own")
}

func TestExecProvider_Bindings(t *testing.T) {
	ca := newAuthority(t, "configured")
	profile := func(namespace, name string) configv1alpha1.ProfileReference {
		return configv1alpha1.ProfileReference{Namespace: namespace, Name: name}
	}
	const a, b = "https://a.fleet", "https://b.fleet"
	several := []configv1alpha1.ExecBinding{
		{Servers: []string{a}, Profiles: []configv1alpha1.ProfileReference{profile("default", "a"), profile("default", "twice")}},
		{Servers: []string{b}, Profiles: []configv1alpha1.ProfileReference{profile("default", "b"), profile("default", "twice")}},
		{Servers: []string{"https://*.fleet"}, Namespaces: []string{"fleet"}},
	}
	all, one := []configv1alpha1.ExecBinding{{Namespaces: []string{"default"}}}, []string{a}
	for name, test := range map[string]struct {
		bindings        []configv1alpha1.ExecBinding
		servers         []string
		namespace, name string
		server          string
		serverName      string
		// wantErr is in the refusal; empty: there is none, and several says whether the profile has a
		// choice.
		wantErr string
		several bool
	}{
		"its own server":                         {bindings: several, name: "a", server: a},
		"its own server, written in another way": {bindings: several, name: "a", server: "https://A.fleet:443/"},
		"the server of another profile": {bindings: several, name: "a", server: b,
			wantErr: `no server https://b.fleet: see bindings of access provider "plugin" in --access-config`},
		"a server that nobody is bound to": {bindings: several, name: "a", server: "https://c.fleet",
			wantErr: "no server https://c.fleet"},
		"a profile in two bindings":                      {bindings: several, name: "twice", server: b, several: true},
		"a profile that is not bound":                    {bindings: several, name: "c", server: a, wantErr: "no server https://a.fleet"},
		"a profile of a bound name in another namespace": {bindings: several, namespace: "team", name: "a", server: a, wantErr: "no server"},
		"a profile in a bound namespace":                 {bindings: several, namespace: "fleet", name: "x", server: b, several: true},
		"another server name on its own server":          {bindings: several, name: "a", server: a, serverName: "b.fleet", several: true},
		"the server's name as server name":               {bindings: several, name: "a", server: a, serverName: "a.fleet"},
		"one server without bindings":                    {servers: one, namespace: "any", name: "any", server: a},
		"another server name on that": {servers: one, name: "a", server: a, serverName: "b.fleet",
			wantErr: "a tls-server-name may lead to another cluster"},
		"a server beyond those of the provider": {bindings: several, namespace: "fleet", name: "x", server: "https://b.elsewhere",
			wantErr: "is not one that the credential plugin is configured for"},
		"a binding of all servers of the provider":         {bindings: all, name: "a", server: b, several: true},
		"a binding of all servers, where there is but one": {bindings: all, servers: one, name: "a", server: a},
	} {
		t.Run(name, func(t *testing.T) {
			servers := test.servers
			if servers == nil {
				servers = []string{"https://*.fleet"}
			}
			config := execConfig(t, "fail", ca.pem, servers...)
			config.Providers[0].Exec.Bindings = test.bindings
			of := pluginProfile(test.name, clientcmdv1.Cluster{Server: test.server, TLSServerName: test.serverName})
			if test.namespace != "" {
				of.Namespace = test.namespace
			}
			client, err := newTestPool(t, config, nil, nil).For(t.Context(), of)
			if test.wantErr != "" {
				assert.Contains(t, statusBecause(t, err, CauseNoAccess).Message, test.wantErr)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.several, client.uid.required)
		})
	}
}

// A plugin that fails is said to be the plugin.
func TestExecProvider_PluginFails(t *testing.T) {
	server := newMemberServer(t, time.Now().Add(time.Hour), ok)
	pool := newTestPool(t, execConfig(t, "fail", server.ca.pem, server.URL), nil, nil)
	client := clientOf(t, pool, pluginProfile("one", clientcmdv1.Cluster{Server: server.URL}))

	status := statusBecause(t, client.Error(list(t.Context(), client), "list"), CausePlugin)
	assert.EqualValues(t, http.StatusServiceUnavailable, status.Code)
	assert.Contains(t, status.Message, `the credential plugin of access provider "plugin" failed`)
	assert.Contains(t, status.Message, "exit code 3")
	assert.Empty(t, server.seen())
}

// A plugin that hangs holds nobody.
func TestExecProvider_PluginHangs(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	server := newMemberServer(t, time.Now().Add(time.Hour), ok)
	config := execConfig(t, "hang", server.ca.pem, server.URL)
	config.Providers[0].Exec.Env = append(config.Providers[0].Exec.Env, configv1alpha1.ExecEnvVar{Name: "CLUSTERPASS_TEST_PIPE", Value: pipe})
	client := clientOf(t, newTestPool(t, config, nil, nil), pluginProfile("one", clientcmdv1.Cluster{Server: server.URL}))

	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("clusterpass waited for 100ms"))
	defer cancel()
	status := statusErr(t, client.Error(list(ctx, client), "list"))
	assert.EqualValues(t, http.StatusGatewayTimeout, status.Code)
	assert.Contains(t, status.Message, "clusterpass waited for 100ms")

	// Opening the other end lets the plugin end, whenever it gets there.
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	require.NoError(t, err)
	writer.Close()
	require.Eventually(t, func() bool { return len(client.gate.slots) == 0 }, 30*time.Second, 10*time.Millisecond, "its slot is given back")
}

// A plugin is asked again after its credential was refused.
func TestExecProvider_CredentialRefused(t *testing.T) {
	var refusals atomic.Int32
	server := newMemberServer(t, time.Now().Add(time.Hour), func(w http.ResponseWriter, r *http.Request) {
		if refusals.Add(-1) >= 0 {
			unauthorized(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.NotEmpty(t, body, "the request is sent again in full")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"n"}}`)
	})
	pool := newTestPool(t, execConfig(t, "token", server.ca.pem, server.URL), nil, nil)
	client := clientOf(t, pool, pluginProfile("again", clientcmdv1.Cluster{Server: server.URL}))
	create := func() error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
		_, err := client.Kubernetes().CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
		return client.Error(err, "create")
	}

	refusals.Store(1)
	require.NoError(t, create())
	assert.Len(t, server.seen(), 2)
	refusals.Store(100)
	assert.Equal(t, CauseUnauthorized, statusErr(t, create()).Details.Causes[0].Type)
	assert.Len(t, server.seen(), 4, "and no more than once")
}
