// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

const memberURL = "https://member.example.com:6443"

func TestKubeconfigSecret_Guards(t *testing.T) {
	ca := newAuthority(t, "ca")
	cert, key := ca.issue(t, "clusterpass", time.Now().Add(time.Hour))
	_, otherKey := ca.issue(t, "other", time.Now().Add(time.Hour))
	// naming has a Secret that was changed name the key or context "admin".
	naming := func(annotation string, change func(*corev1.Secret)) func(*corev1.Secret) {
		return func(s *corev1.Secret) {
			change(s)
			s.Annotations[annotation] = "admin"
		}
	}
	for _, test := range []struct {
		name      string
		reference string
		config    func(entries)
		secret    func(*corev1.Secret)
		// want is in the error; empty: there is none.
		want string
	}{
		{name: "a token and an inline CA are accepted"},
		{name: "no CA means those of the system", config: func(e entries) { e.CertificateAuthorityData = nil }},
		{name: "an inline client certificate is accepted", config: func(e entries) {
			e.Token, e.ClientCertificateData, e.ClientKeyData = "", cert, key
		}},
		{name: "server name and proxy are honoured", config: func(e entries) {
			e.TLSServerName, e.ProxyURL = "kubernetes", "socks5://127.0.0.1:1080"
		}},
		{name: "namespace, key and context may be named",
			reference: `{"name":"m","namespace":"clusterpass-system","key":"kubeconfig","context":"c"}`},
		{name: "the extension is missing", reference: "-", want: "no extension client.authentication.k8s.io/exec"},
		{name: "the extension names nothing", reference: `{}`, want: "with a name"},
		{name: "the extension is of other types", reference: `{"name":["m"]}`, want: "with a name"},
		{name: "another namespace is refused", reference: `{"name":"m","namespace":"kube-system"}`,
			want: `not read from namespace "kube-system", only from clusterpass-system`},
		{name: "a Secret that is not there", reference: `{"name":"x"}`,
			want: "there is no Secret clusterpass-system/x with label clusterpass.dev/member-kubeconfig=true"},
		{name: "a Secret without the label", secret: func(s *corev1.Secret) { s.Labels = nil },
			want: "with label clusterpass.dev/member-kubeconfig=true"},
		{name: "a Secret whose label says otherwise", secret: func(s *corev1.Secret) { s.Labels[KubeconfigLabel] = "false" }, want: "with label"},
		{name: "a Secret without the annotation", secret: func(s *corev1.Secret) { s.Annotations = nil }, want: "is not for this cluster"},
		{name: "a Secret for another ClusterProfile", secret: func(s *corev1.Secret) {
			s.Annotations[ClusterProfileAnnotation] = "default/smartfish"
		}, want: "no annotation clusterpass.dev/cluster-profile=default/bravelion"},
		{name: "a key that is not there", reference: `{"name":"m","key":"config"}`,
			want: `key "config" of Secret clusterpass-system/m is empty or missing`},
		{name: "a key of the profile's choice, of several", reference: `{"name":"m","key":"admin"}`, secret: addKey,
			want: "the Secret clusterpass-system/m has several keys: annotate it with clusterpass.dev/kubeconfig-key=admin"},
		{name: "the default key, of several", secret: addKey},
		{name: "a key that the Secret names", reference: `{"name":"m","key":"admin"}`, secret: naming(KeyAnnotation, addKey)},
		{name: "another key than the Secret names", secret: naming(KeyAnnotation, addKey),
			want: `the annotation clusterpass.dev/kubeconfig-key of Secret clusterpass-system/m names the key "admin", and not "kubeconfig"`},
		{name: "the only key", reference: `{"name":"m","key":"admin"}`, secret: func(s *corev1.Secret) {
			addKey(s)
			delete(s.Data, "kubeconfig")
		}},
		{name: "a context of the profile's choice, of several", reference: `{"name":"m","context":"admin"}`, secret: addContext(t),
			want: "the kubeconfig has several contexts: annotate the Secret with clusterpass.dev/kubeconfig-context=admin"},
		{name: "the current context, of several", reference: `{"name":"m","context":"c"}`, secret: addContext(t)},
		{name: "a context that the Secret names", reference: `{"name":"m","context":"admin"}`, secret: naming(ContextAnnotation, addContext(t))},
		{name: "another context than the Secret names", secret: naming(ContextAnnotation, addContext(t)),
			want: `the annotation clusterpass.dev/kubeconfig-context names the context "admin", and not "c"`},
		{name: "a context that is not there", reference: `{"name":"m","context":"d"}`, want: `no context "d"`},
		{name: "what is no kubeconfig is refused and not quoted", secret: func(s *corev1.Secret) {
			s.Data["kubeconfig"] = []byte("kind: Config\nusers: hub-token\n")
		}, want: "it is not a kubeconfig"},
		{name: "no server", config: func(e entries) { e.Server = "" }, want: "there is no server"},
		{name: "a server without TLS", config: func(e entries) { e.Server = "http://member.example.com" }, want: "must be https"},
		{name: "a server without a scheme", config: func(e entries) { e.Server = "member.example.com" }, want: "must be https"},
		{name: "a server with a password", config: func(e entries) { e.Server = "https://a:hub-token@b" }, want: "user name"},
		{name: "a server with a path out", config: func(e entries) { e.Server = "https://b/k8s/../x" }, want: "segments"},
		{name: "insecure TLS", config: func(e entries) { e.InsecureSkipTLSVerify = true }, want: "insecure-skip-tls-verify"},
		{name: "a CA in a file", config: func(e entries) { e.CertificateAuthority = "/ca.crt" }, want: "certificate-authority is refused"},
		{name: "a CA that is none", config: func(e entries) { e.CertificateAuthorityData = []byte("hub-token") }, want: "not PEM"},
		{name: "a proxy with a password", config: func(e entries) { e.ProxyURL = "http://u:hub-token@p" },
			want: "proxy-url must not have a user name"},
		{name: "a proxy of another kind", config: func(e entries) { e.ProxyURL = "file:///x" }, want: "proxy-url must be"},
		{name: "no credential", config: func(e entries) { e.Token = "" }, want: "neither token nor"},
		{name: "a token in a file", config: func(e entries) { e.TokenFile = "/token" }, want: "tokenFile"},
		{name: "a token with a line break", config: func(e entries) { e.Token = "hub-token\nx" },
			want: "characters that are not allowed in a bearer token"},
		{name: "a certificate in a file", config: func(e entries) { e.ClientCertificate = "/c" }, want: "client-certificate is refused"},
		{name: "a key in a file", config: func(e entries) { e.ClientKey = "/k" }, want: "client-key is refused"},
		{name: "a certificate without its key",
			config: func(e entries) { e.ClientCertificateData = cert }, want: "not a certificate and its key"},
		{name: "a certificate with another's key", config: func(e entries) {
			e.ClientCertificateData, e.ClientKeyData = cert, otherKey
		}, want: "not a certificate and its key"},
		{name: "a user name", config: func(e entries) { e.Username = "admin" }, want: "basic"},
		{name: "a password", config: func(e entries) { e.Password = "hub-token" }, want: "basic"},
		{name: "impersonation of a user", config: func(e entries) { e.Impersonate = "a" }, want: "impersonation"},
		{name: "impersonation of a group", config: func(e entries) { e.ImpersonateGroups = []string{"a"} }, want: "impersonation"},
		{name: "impersonation of an id", config: func(e entries) { e.ImpersonateUID = "a" }, want: "impersonation"},
		{name: "impersonation with extra", config: func(e entries) { e.ImpersonateUserExtra = map[string][]string{"a": {"b"}} },
			want: "impersonation"},
		{name: "an exec plugin", config: func(e entries) {
			e.Exec = &clientcmdapi.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: "/bin/true", InteractiveMode: "Never"}
		}, want: "exec is refused"},
		{name: "an auth provider", config: func(e entries) {
			e.AuthProvider = &clientcmdapi.AuthProviderConfig{Name: "oidc"}
		}, want: "auth-provider"},
	} {
		t.Run(test.name, func(t *testing.T) {
			secrets := fakeSecrets{}
			secret := secrets.add("m", kubeconfig(t, memberURL, ca.pem, test.config))
			if test.secret != nil {
				test.secret(secret)
			}
			reference := test.reference
			if reference == "" {
				reference = `{"name":"m"}`
			}
			profile := profileFor(reference)
			if reference == "-" {
				profile.Status.AccessProviders[0].Cluster.Extensions = nil
			}
			client, err := newTestPool(t, DefaultConfig(), secrets, clock.RealClock{}).For(t.Context(), profile)
			if test.want == "" {
				require.NoError(t, err)
				assert.Equal(t, memberURL, client.Cluster().Server, "the server is that of the Secret")
				assert.Empty(t, client.Cluster().Extensions)
				return
			}
			require.Nil(t, client)
			status := statusBecause(t, err, CauseNoAccess)
			assert.EqualValues(t, http.StatusServiceUnavailable, status.Code)
			assert.Contains(t, status.Message, "cluster default/bravelion: ")
			assert.Contains(t, status.Message, test.want)
			for _, secret := range [][]byte{key, otherKey} {
				assert.NotContains(t, status.Message, strings.TrimSpace(string(secret)))
				assert.NotContains(t, status.Message, base64.StdEncoding.EncodeToString(secret))
			}
		})
	}
}

// addKey adds a second kubeconfig to a Secret.
func addKey(s *corev1.Secret) { s.Data["admin"] = s.Data["kubeconfig"] }

// addContext adds a second context to the kubeconfig of a Secret.
func addContext(t *testing.T) func(*corev1.Secret) {
	t.Helper()
	return func(s *corev1.Secret) {
		config, err := clientcmd.Load(s.Data["kubeconfig"])
		require.NoError(t, err)
		config.Contexts["admin"] = config.Contexts["c"].DeepCopy()
		s.Data["kubeconfig"], err = clientcmd.Write(*config)
		require.NoError(t, err)
	}
}

// What an error says about a member.
func TestPool_ForEndpoint(t *testing.T) {
	ca := newAuthority(t, "ca")
	secrets := memberSecret(kubeconfig(t, memberURL, ca.pem, func(e entries) {
		e.TLSServerName, e.ProxyURL = "kubernetes", "http://127.0.0.1:3128"
	}))
	profile := profileFor(`{"name":"m"}`)
	client := clientOf(t, newTestPool(t, DefaultConfig(), secrets, nil), profile)

	assert.Equal(t, clientcmdv1.Cluster{
		Server: memberURL, CertificateAuthorityData: ca.pem, TLSServerName: "kubernetes", ProxyURL: "http://127.0.0.1:3128",
	}, client.Cluster())
	assert.Equal(t, "default/bravelion", client.Name().String())
	assert.Equal(t, profile.Status.AccessProviders[0], client.Provider())
	client.Cluster().CertificateAuthorityData[0]++
	client.Provider().Cluster.Extensions[0].Name = "changed"
	assert.Equal(t, ca.pem, client.Cluster().CertificateAuthorityData, "a copy is handed out")
	assert.Equal(t, profile.Status.AccessProviders[0], client.Provider(), "a copy is handed out")
}

func TestChoose(t *testing.T) {
	entry := func(name, server string) inventoryv1alpha1.AccessProvider {
		return inventoryv1alpha1.AccessProvider{Name: name, Cluster: clientcmdv1.Cluster{
			Server:     server,
			Extensions: []clientcmdv1.NamedExtension{{Name: "x", Extension: runtime.RawExtension{Raw: []byte(`1`)}}},
		}}
	}
	providers := []namedProvider{{name: "first"}, {name: "second"}}
	type all = []inventoryv1alpha1.AccessProvider
	for name, test := range map[string]struct {
		access, credential all
		want               string
		wantErr            string
	}{
		"our preference counts and not the profile's order": {
			access: all{entry("other", "o"), entry("second", "s"), entry("first", "f")}, want: "f",
		},
		"the deprecated field is used where nothing else is there": {
			access: all{entry("other", "o")}, credential: all{entry("second", "s")}, want: "s",
		},
		"accessProviders win over credentialProviders of the same name": {
			access: all{entry("first", "new")}, credential: all{entry("first", "old")}, want: "new",
		},
		"a preferred provider in the deprecated field wins over another in the new one": {
			access: all{entry("second", "s")}, credential: all{entry("first", "f")}, want: "f",
		},
		"what is there and what would be understood is said": {
			access: all{entry("a", ""), entry("b", "")}, wantErr: "status.accessProviders has a, b, clusterpass knows first, second",
		},
		"a profile without providers": {wantErr: "status.accessProviders has none"},
	} {
		t.Run(name, func(t *testing.T) {
			profile := profileFor("")
			profile.Status.AccessProviders, profile.Status.CredentialProviders = test.access, test.credential
			_, got, err := choose(providers, profile)
			if test.wantErr != "" {
				require.ErrorContains(t, err, test.wantErr)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, got.Cluster.Server)
		})
	}
}

func TestSecretFor(t *testing.T) {
	bravelion := SecretReference{Namespace: "clusterpass-system", Name: "bravelion", Key: "kubeconfig"}
	for name, test := range map[string]struct {
		profile *inventoryv1alpha1.ClusterProfile
		want    SecretReference
		ok      bool
	}{
		"is the one that it names":                {profileFor(`{"name":"bravelion","namespace":"clusterpass-system"}`), bravelion, true},
		"is in the first namespace by default":    {profileFor(`{"name":"bravelion"}`), bravelion, true},
		"is none in a namespace that is not ours": {profileFor(`{"name":"bravelion","namespace":"kube-system"}`), SecretReference{}, false},
		"is none where no provider is known":      {&inventoryv1alpha1.ClusterProfile{}, SecretReference{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := SecretFor(DefaultConfig(), fakeSecrets{}, test.profile)
			assert.Equal(t, test.ok, ok)
			assert.Equal(t, test.want, got)
		})
	}
}

// The token in a kubeconfig is replaced, and nothing else.
func TestWithKubeconfigToken(t *testing.T) {
	config := clientcmdapi.Config{
		Clusters:  map[string]*clientcmdapi.Cluster{"c": {Server: "https://c", TLSServerName: "name"}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {Token: "old"}, "other": {Token: "kept"}},
		Contexts: map[string]*clientcmdapi.Context{
			"c": {Cluster: "c", AuthInfo: "u"}, "o": {Cluster: "c", AuthInfo: "other"}, "broken": {Cluster: "c", AuthInfo: "missing"},
		},
		CurrentContext: "c",
	}
	before, err := clientcmd.Write(config)
	require.NoError(t, err)

	for context, token := range map[string]string{"": "old", "c": "old", "o": "kept", "broken": "", "missing": ""} {
		assert.Equal(t, token, KubeconfigToken(before, context), context)
	}
	after, err := WithKubeconfigToken(before, "", "new")
	require.NoError(t, err)
	config.AuthInfos["u"].Token = "new"
	want, err := clientcmd.Write(config)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(after))

	_, err = WithKubeconfigToken(before, "broken", "new")
	require.EqualError(t, err, "the kubeconfig has no user for the context")
	_, err = WithKubeconfigToken([]byte("{"), "", "new")
	require.EqualError(t, err, "it is not a kubeconfig")
}

// No file is read for a token.
func TestKubeconfigToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("of a file"), 0o600))
	kubeconfig, err := clientcmd.Write(clientcmdapi.Config{
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {TokenFile: file}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {AuthInfo: "u"}},
		CurrentContext: "c",
	})
	require.NoError(t, err)
	assert.Empty(t, KubeconfigToken(kubeconfig, ""))
	assert.Empty(t, KubeconfigToken([]byte("{"), ""))
}
