// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/credential"
)

const secretToken = "header.claims.signature"

// fakeHub is a hub that knows everybody as alice and gives a token to all.
type fakeHub struct {
	*httptest.Server
	asked []v1alpha1.AuthTokenRequest
	// dir is a home for one test, with the kubeconfig for the hub.
	dir, kubeconfig string
	// authorities are those of every member.
	authorities []byte
}

func newFakeHub(t *testing.T) *fakeHub {
	t.Helper()
	h := &fakeHub{dir: t.TempDir(), authorities: []byte("authority")}
	h.kubeconfig = filepath.Join(h.dir, "config")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusCreated, &authenticationv1.SelfSubjectReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "SelfSubjectReview"},
			Status:   authenticationv1.SelfSubjectReviewStatus{UserInfo: authenticationv1.UserInfo{Username: "Alice@example.com"}},
		})
	})
	mux.HandleFunc("POST /apis/clusterpass.dev/v1alpha1/namespaces/{namespace}/authtokenrequests", h.mint)
	mux.HandleFunc("GET /apis/clusterpass.dev/v1alpha1/namespaces/{namespace}/authtokengrants", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusForbidden, &metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: http.StatusForbidden,
			Reason: metav1.StatusReasonForbidden, Message: `authtokengrants.clusterpass.dev is forbidden: User "alice" cannot list resource`,
		})
	})
	h.Server = httptest.NewTLSServer(mux)
	t.Cleanup(h.Close)
	h.writeKubeconfig(t, h.kubeconfig, "hub")
	t.Setenv("KUBECONFIG", h.kubeconfig)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(h.dir, "cache"))
	return h
}

// mint gives a token.
func (h *fakeHub) mint(w http.ResponseWriter, r *http.Request) {
	var request v1alpha1.AuthTokenRequest
	_ = json.NewDecoder(r.Body).Decode(&request)
	request.Namespace = r.PathValue("namespace")
	h.asked = append(h.asked, request)
	expiration, refresh := metav1.NewTime(time.Now().Add(time.Hour)), metav1.NewTime(time.Now().Add(48*time.Minute))
	request.Status = v1alpha1.AuthTokenRequestStatus{
		Token: secretToken, ExpirationTimestamp: &expiration, RefreshAfter: &refresh, GrantName: "grant",
		Cluster: &v1alpha1.Cluster{
			Server:                   "https://" + request.Spec.TargetClusterProfile.Name + ".example.com:6443",
			CertificateAuthorityData: h.authorities, TLSServerName: "kubernetes", ProxyURL: "http://proxy.example.com",
		},
	}
	answer(w, http.StatusCreated, &request)
}

func answer(w http.ResponseWriter, code int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(object)
}

// writeKubeconfig writes one for the hub with a context of that name.
func (h *fakeHub) writeKubeconfig(t *testing.T, path, context string) {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters[context] = &clientcmdapi.Cluster{
		Server:                   h.URL,
		CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}),
	}
	config.AuthInfos[context] = &clientcmdapi.AuthInfo{Token: "alice-on-the-hub"}
	config.Contexts[context] = &clientcmdapi.Context{Cluster: context, AuthInfo: context, Namespace: "fleet"}
	config.CurrentContext = context
	require.NoError(t, clientcmd.WriteToFile(*config, path))
}

// rewrite changes a kubeconfig file.
func rewrite(t *testing.T, path string, change func(*clientcmdapi.Config)) {
	t.Helper()
	config := merged(t, path)
	change(config)
	require.NoError(t, clientcmd.WriteToFile(*config, path))
}

// pluginUser returns a user of a kubeconfig who gets tokens by a command of ours.
func pluginUser(args ...string) *clientcmdapi.AuthInfo {
	return &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
		Command: "/bin/kubectl-clusterpass", Args: args,
		APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
	}}
}

// merged returns the kubeconfig file at path.
func merged(t *testing.T, path string) *clientcmdapi.Config {
	t.Helper()
	config, err := clientcmd.LoadFromFile(path)
	require.NoError(t, err)
	return config
}

// A context has all that it needs, and no secret.
func TestKubeconfig(t *testing.T) {
	hub := newFakeHub(t)
	out := succeed(t, "kubeconfig", "bravelion")
	assert.NotContains(t, out, secretToken)
	assert.NotContains(t, out, "alice-on-the-hub")

	config, err := clientcmd.Load([]byte(out))
	require.NoError(t, err)
	assert.Equal(t, "bravelion", config.CurrentContext)
	context := config.Contexts["bravelion"]
	require.NotNil(t, context)
	assert.Equal(t, "clusterpass:fleet/bravelion@hub", context.Cluster)
	cluster := config.Clusters[context.Cluster]
	cluster.Extensions = nil
	assert.Equal(t, &clientcmdapi.Cluster{
		Server: "https://bravelion.example.com:6443", CertificateAuthorityData: []byte("authority"),
		TLSServerName: "kubernetes", ProxyURL: "http://proxy.example.com",
	}, cluster)
	plugin := config.AuthInfos[context.AuthInfo].Exec
	require.NotNil(t, plugin)
	assert.True(t, filepath.IsAbs(plugin.Command))
	assert.Equal(t, "client.authentication.k8s.io/v1", plugin.APIVersion)
	assert.Equal(t, clientcmdapi.NeverExecInteractiveMode, plugin.InteractiveMode)
	assert.True(t, plugin.ProvideClusterInfo, "the token could be sent to another server")
	require.Len(t, hub.asked, 1)
	account := hub.asked[0].Spec.ServiceAccountName
	assert.Equal(t, []string{
		"get-token", "bravelion", "--namespace=fleet", "--hub-kubeconfig=" + hub.kubeconfig, "--hub-context=hub",
		"--service-account=" + account, "--service-account-namespace=default", "--cluster-role=view",
	}, plugin.Args)

	t.Run("and its arguments make the same request", func(t *testing.T) {
		t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "elsewhere"))
		require.NoError(t, os.RemoveAll(filepath.Join(hub.dir, "cache")))
		assert.Contains(t, succeed(t, plugin.Args...), secretToken)
		require.Len(t, hub.asked, 2)
		assert.Equal(t, hub.asked[0].Spec, hub.asked[1].Spec)
	})
}

// Merging keeps what is there.
func TestKubeconfig_Merge(t *testing.T) {
	hub := newFakeHub(t)
	rewrite(t, hub.kubeconfig, func(c *clientcmdapi.Config) {
		c.Contexts["mine"] = &clientcmdapi.Context{Cluster: "mine", AuthInfo: "mine", Namespace: "work"}
		c.AuthInfos["mine"] = &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
			Command: "login", APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.IfAvailableExecInteractiveMode,
		}}
		c.Clusters["mine"] = &clientcmdapi.Cluster{Server: "https://mine.example.com"}
	})
	before := merged(t, hub.kubeconfig)

	assert.Contains(t, succeed(t, "kubeconfig", "bravelion", "smartfish", "--merge"), `context "smartfish"`)
	after := merged(t, hub.kubeconfig)
	assert.Equal(t, "hub", after.CurrentContext)
	assert.Len(t, after.Contexts, 4)
	for _, name := range []string{"bravelion", "smartfish"} {
		require.Contains(t, after.Contexts, name)
		delete(after.Clusters, after.Contexts[name].Cluster)
		delete(after.AuthInfos, after.Contexts[name].AuthInfo)
		delete(after.Contexts, name)
	}
	assert.Equal(t, before, after)
	info, err := os.Stat(hub.kubeconfig)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// Merging again brings a context up to date.
func TestKubeconfig_MergeAgain(t *testing.T) {
	hub := newFakeHub(t)
	succeed(t, "kubeconfig", "bravelion", "--merge")
	rewrite(t, hub.kubeconfig, func(c *clientcmdapi.Config) {
		c.Contexts["bravelion"].Namespace = "work"
		c.Clusters[c.Contexts["bravelion"].Cluster].Server = "https://before.example.com"
	})

	succeed(t, "kubeconfig", "bravelion", "--merge", "--cluster-role=edit", "--service-account=robot", "--max-age=10m")
	config := merged(t, hub.kubeconfig)
	context := config.Contexts["bravelion"]
	assert.Equal(t, "work", context.Namespace, "the user's choice")
	assert.Equal(t, "https://bravelion.example.com:6443", config.Clusters[context.Cluster].Server)
	assert.Subset(t, config.AuthInfos[context.AuthInfo].Exec.Args,
		[]string{"--cluster-role=edit", "--service-account=robot", "--max-age=10m0s"})
}

func TestKubeconfig_MergeIntoSeveralFiles(t *testing.T) {
	hub := newFakeHub(t)
	firstFile, secondFile := filepath.Join(hub.dir, "first"), hub.kubeconfig
	require.NoError(t, clientcmd.WriteToFile(*clientcmdapi.NewConfig(), firstFile))
	t.Setenv("KUBECONFIG", strings.Join([]string{firstFile, secondFile}, string(filepath.ListSeparator)))
	untouched, err := os.ReadFile(secondFile)
	require.NoError(t, err)

	succeed(t, "kubeconfig", "bravelion", "--merge")
	config := merged(t, firstFile)
	require.Contains(t, config.Contexts, "bravelion")
	assert.Contains(t, config.AuthInfos[config.Contexts["bravelion"].AuthInfo].Exec.Args, "--hub-kubeconfig="+secondFile)
	now, err := os.ReadFile(secondFile)
	require.NoError(t, err)
	assert.Equal(t, string(untouched), string(now))

	t.Run("a hub in two files is pinned to both", func(t *testing.T) {
		config := merged(t, secondFile)
		users := clientcmdapi.NewConfig()
		users.AuthInfos["hub"] = config.AuthInfos["hub"]
		delete(config.AuthInfos, "hub")
		require.NoError(t, clientcmd.WriteToFile(*config, secondFile))
		thirdFile := filepath.Join(hub.dir, "third")
		require.NoError(t, clientcmd.WriteToFile(*users, thirdFile))
		t.Setenv("KUBECONFIG", strings.Join([]string{secondFile, thirdFile}, string(filepath.ListSeparator)))
		printed, err := clientcmd.Load([]byte(succeed(t, "kubeconfig", "smartfish")))
		require.NoError(t, err)
		args := printed.AuthInfos[printed.Contexts["smartfish"].AuthInfo].Exec.Args
		assert.Contains(t, args, "--hub-kubeconfig="+secondFile+string(filepath.ListSeparator)+thirdFile)
		t.Setenv("KUBECONFIG", firstFile)
		assert.Contains(t, succeed(t, args...), secretToken)
	})
}

// Contexts that are not ours are left alone.
func TestKubeconfig_MergeForeignContext(t *testing.T) {
	for name, change := range map[string]func(*clientcmdapi.Config){
		"a context that leads elsewhere": func(c *clientcmdapi.Config) {
			c.Contexts["bravelion"] = &clientcmdapi.Context{Cluster: "hub", AuthInfo: "hub"}
		},
		"a context without a user": func(c *clientcmdapi.Config) { c.Contexts["bravelion"] = &clientcmdapi.Context{Cluster: "hub"} },
		"a cluster of that name of another hub": func(c *clientcmdapi.Config) {
			c.Contexts["bravelion"] = &clientcmdapi.Context{Cluster: "other", AuthInfo: "other"}
			c.AuthInfos["other"] = pluginUser("get-token", "bravelion", "--namespace=fleet", "--hub-kubeconfig=/other", "--hub-context=hub")
		},
		"a user that leads elsewhere": func(c *clientcmdapi.Config) {
			c.AuthInfos["clusterpass:fleet/bravelion@hub"] = &clientcmdapi.AuthInfo{Token: "mine"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newFakeHub(t)
			rewrite(t, hub.kubeconfig, change)
			before, err := os.ReadFile(hub.kubeconfig)
			require.NoError(t, err)

			_, _, err = execute(t, "kubeconfig", "smartfish", "bravelion", "--merge")
			require.ErrorContains(t, err, "your kubeconfig has another")
			assert.ErrorContains(t, err, "bravelion")
			after, err := os.ReadFile(hub.kubeconfig)
			require.NoError(t, err)
			assert.Equal(t, string(before), string(after))
			assert.Empty(t, hub.asked, "tokens were asked for in vain")
		})
	}
}

func TestKubeconfig_UnpinnableFlags(t *testing.T) {
	for _, flag := range []string{"--token=alice", "--as=bob", "--user=hub", "--server=https://other.example.com"} {
		t.Run(flag, func(t *testing.T) {
			hub := newFakeHub(t)
			_, _, err := execute(t, "kubeconfig", "bravelion", flag)
			name, _, _ := strings.Cut(flag, "=")
			require.ErrorContains(t, err, "contexts of members can't take "+name)
			assert.Empty(t, hub.asked)
		})
	}
}

// A member's context is not taken for the hub.
func TestKubeconfig_ContextOfAMember(t *testing.T) {
	hub := newFakeHub(t)
	rewrite(t, hub.kubeconfig, func(c *clientcmdapi.Config) {
		c.AuthInfos["bravelion"] = pluginUser("get-token", "bravelion", "--hub-kubeconfig="+hub.kubeconfig)
		c.Contexts["bravelion"] = &clientcmdapi.Context{Cluster: "hub", AuthInfo: "bravelion"}
		c.CurrentContext = "bravelion"
	})
	for _, command := range [][]string{{"grants"}, {"revoke", "a"}} {
		_, _, err := execute(t, command...)
		require.ErrorIs(t, err, errNotHub, command)
	}
	for _, command := range []string{"token", "get-token", "kubeconfig"} {
		_, _, err := execute(t, command, "smartfish")
		require.ErrorIs(t, err, errNotHub, command)
		succeed(t, command, "smartfish", "--context=hub")
	}
}

func TestRequest_Defaults(t *testing.T) {
	view := []v1alpha1.ClusterRole{{Name: "view"}}
	for name, test := range map[string]struct {
		args              []string
		namespace, target string
		clusterRoles      []v1alpha1.ClusterRole
		roles             []v1alpha1.Role
	}{
		"view, for a ServiceAccount that is named for the user": {nil, "fleet", "fleet", view, nil},
		"no ClusterRole where a Role is named": {[]string{"--role=work/reader"}, "fleet", "fleet", nil,
			[]v1alpha1.Role{{Namespace: "work", Name: "reader"}}},
		"the namespace of the flag": {[]string{"-n", "other", "--request-namespace=team"}, "team", "other", view, nil},
	} {
		for _, command := range []string{"token", "get-token", "kubeconfig"} {
			t.Run(command+": "+name, func(t *testing.T) {
				hub := newFakeHub(t)
				succeed(t, append([]string{command, "bravelion"}, test.args...)...)
				require.Len(t, hub.asked, 1)
				spec := hub.asked[0].Spec
				assert.Equal(t, test.namespace, hub.asked[0].Namespace)
				assert.Equal(t, v1alpha1.ClusterProfileReference{Namespace: test.target, Name: "bravelion"}, spec.TargetClusterProfile)
				assert.Equal(t, test.clusterRoles, spec.ClusterRoles)
				assert.Equal(t, test.roles, spec.Roles)
				assert.Equal(t, "default", spec.ServiceAccountNamespace)
				assert.Regexp(t, `^clusterpass-alice-example-com-[0-9a-f]{8}$`, spec.ServiceAccountName)
			})
		}
	}
}

func TestGetToken(t *testing.T) {
	hub := newFakeHub(t)
	info := func(server string) string {
		return `{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","spec":{"cluster":{"server":"` + server + `"}}}`
	}
	t.Setenv(credential.ExecInfoEnv, info("https://thief.example.com"))
	out, _, err := execute(t, "get-token", "bravelion")
	require.ErrorContains(t, err, "no token of cluster fleet/bravelion is handed out")
	assert.Empty(t, out)

	t.Setenv(credential.ExecInfoEnv, "")
	for range 3 {
		out = succeed(t, "get-token", "bravelion")
	}
	assert.Contains(t, out, `"apiVersion":"client.authentication.k8s.io/v1"`)
	assert.Contains(t, out, `"token":"`+secretToken+`"`)
	assert.Len(t, hub.asked, 2, "the token is kept")
}

func TestKubeconfig_MergeIntoALockedFile(t *testing.T) {
	hub := newFakeHub(t)
	lock := hub.kubeconfig + ".lock"
	require.NoError(t, os.WriteFile(lock, nil, 0o600))
	long := time.Now().Add(-3 * time.Hour)
	require.NoError(t, os.Chtimes(lock, long, long))
	_, _, err := execute(t, "kubeconfig", "bravelion", "--merge")
	require.ErrorContains(t, err, lock)
	assert.ErrorContains(t, err, "3h")
	assert.ErrorContains(t, err, "rm "+lock)
	assert.Empty(t, hub.asked, "a grant was made in vain")
	assert.FileExists(t, lock, "another's lock is not ours to remove")

	require.NoError(t, os.Remove(lock))
	succeed(t, "kubeconfig", "bravelion", "--merge")
	assert.NoFileExists(t, lock)
}

func TestKubeconfig_LongAuthorities(t *testing.T) {
	hub := newFakeHub(t)
	for name, test := range map[string]struct {
		size int
		info bool
	}{
		"what fits is passed on":          {size: 80 << 10, info: true},
		"what does not fit is kept apart": {size: 132 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			hub.authorities = bytes.Repeat([]byte("x"), test.size)
			out, stderr, err := execute(t, "kubeconfig", "bravelion")
			require.NoError(t, err)
			config, err := clientcmd.Load([]byte(out))
			require.NoError(t, err)
			context := config.Contexts["bravelion"]
			assert.Len(t, config.Clusters[context.Cluster].CertificateAuthorityData, test.size)
			assert.Equal(t, test.info, config.AuthInfos[context.AuthInfo].Exec.ProvideClusterInfo)
			assert.Equal(t, test.info, stderr == "", stderr)
		})
	}
}

// Merging takes the address from the hub.
func TestKubeconfig_MergeNewAddress(t *testing.T) {
	hub := newFakeHub(t)
	succeed(t, "kubeconfig", "bravelion", "--merge")
	hub.authorities = []byte("another authority")
	succeed(t, "kubeconfig", "bravelion", "--merge")
	config := merged(t, hub.kubeconfig)
	assert.Equal(t, "another authority", string(config.Clusters[config.Contexts["bravelion"].Cluster].CertificateAuthorityData))
}

func TestRequest_Annotations(t *testing.T) {
	want := map[string]string{"example.com/ticket": "OPS-1234", "example.com/why": "a=b, c"}
	flags := []string{"--annotation=example.com/ticket=OPS-1234", "--annotation=example.com/why=a=b, c"}
	for _, command := range []string{"token", "get-token", "kubeconfig"} {
		t.Run(command, func(t *testing.T) {
			hub := newFakeHub(t)
			out := succeed(t, append([]string{command, "bravelion"}, flags...)...)
			require.Len(t, hub.asked, 1)
			assert.Equal(t, want, hub.asked[0].Annotations)
			assert.Equal(t, "bravelion", hub.asked[0].Name)
			if command == "kubeconfig" {
				config, err := clientcmd.Load([]byte(out))
				require.NoError(t, err)
				assert.Subset(t, config.AuthInfos[config.Contexts["bravelion"].AuthInfo].Exec.Args, flags)
			}
			for _, wrong := range []string{"--annotation=ticket", "--annotation==OPS-1234", "--annotation=a b=c"} {
				_, _, err := execute(t, command, "bravelion", wrong)
				require.ErrorContains(t, err, "--annotation")
			}
			assert.Len(t, hub.asked, 1)
		})
	}
}

func TestGrants_Forbidden(t *testing.T) {
	hub := newFakeHub(t)
	for _, output := range []string{"", "wide", "json", "name"} {
		_, _, err := execute(t, "grants", "--output="+output)
		require.ErrorContains(t, err, `User "alice" cannot list resource`, "--output=%s", output)
	}
	_, _, err := execute(t, "revoke", "--all-in-namespace")
	require.ErrorContains(t, err, `User "alice" cannot list resource`)
	assert.Empty(t, hub.asked)
}

// TestCommands_ContextOfAMember has the context be a member's.
func TestCommands_ContextOfAMember(t *testing.T) {
	hub := newFakeHub(t)
	hub.Config.Handler = http.NotFoundHandler()
	for _, command := range []string{"grants", "grants --output=json", "revoke --all-in-namespace", "explain placement gpu",
		"token bravelion"} {
		_, _, err := execute(t, strings.Fields(command)...)
		require.ErrorContains(t, err, "Is this cluster a hub of clusterpass? --context names another", command)
	}
}

func TestPinnedHub_EntryName(t *testing.T) {
	longest := strings.Repeat("c", 253)
	seen := map[string]bool{}
	for _, of := range []struct{ namespace, cluster, context string }{
		{strings.Repeat("n", 63), longest, strings.Repeat("h", 253)},
		{strings.Repeat("n", 63), longest[1:], strings.Repeat("h", 253)},
		{strings.Repeat("n", 63), longest, "@" + strings.Repeat("h", 252)},
		{"a-b", "c", "hub"}, {"a", "b-c", "hub"}, {"a", "b", "c@hub"}, {"a", "b.c", "hub"}, {"a", "b", "c/a@hub"},
	} {
		hub := &pinnedHub{namespace: of.namespace, context: of.context}
		name := hub.entryName(of.cluster)
		assert.Equal(t, name, hub.entryName(of.cluster))
		seen[name] = true
		config := clientcmdapi.NewConfig()
		config.Clusters[name], config.AuthInfos[name] = &clientcmdapi.Cluster{Server: "https://bravelion"}, &clientcmdapi.AuthInfo{}
		config.Contexts[of.cluster] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
		require.NoError(t, clientcmd.Validate(*config))
	}
	assert.Len(t, seen, 8)
}
