// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

// pluginMode makes the test binary a credential plugin: what it is to do.
const pluginMode = "CLUSTERPASS_TEST_PLUGIN"

func TestMain(m *testing.M) {
	if mode := os.Getenv(pluginMode); mode != "" {
		os.Exit(runPlugin(mode))
	}
	os.Exit(m.Run())
}

// runPlugin gives a token that tells what the plugin was run with.
func runPlugin(mode string) int {
	switch mode {
	case "fail":
		return 3
	case "hang":
		// Until whoever started it closes the pipe that it names.
		pipe, err := os.Open(os.Getenv("CLUSTERPASS_TEST_PIPE"))
		if err == nil {
			_, err = pipe.Read(make([]byte, 1))
		}
		fmt.Fprintln(os.Stderr, err)
		return 4
	}
	var info clientauthenticationv1.ExecCredential
	if err := json.Unmarshal([]byte(os.Getenv("KUBERNETES_EXEC_INFO")), &info); err != nil || info.Spec.Cluster == nil {
		return 5
	}
	info.Status = &clientauthenticationv1.ExecCredentialStatus{
		Token: strings.Join(append(os.Args[1:], os.Getenv("LEAK"), info.Spec.Cluster.Server, info.Spec.Cluster.TLSServerName), "|"),
	}
	if err := json.NewEncoder(os.Stdout).Encode(info); err != nil {
		return 6
	}
	return 0
}

// authority is a CA for tests.
type authority struct {
	pem  []byte
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert, err := certutil.NewSelfSignedCACert(certutil.Config{CommonName: name}, key)
	require.NoError(t, err)
	return &authority{pem: pemOf(cert.Raw), cert: cert, key: key}
}

func pemOf(certificate []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: certificate})
}

// issue returns a certificate, in PEM, that is valid until expiry, for servers (of
// 127.0.0.1 and member.example.com) and for clients.
func (a *authority) issue(t *testing.T, name string, expiry time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: expiry,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"member.example.com"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, private.Public(), a.key)
	require.NoError(t, err)
	key, err = keyutil.MarshalPrivateKeyToPEM(private)
	require.NoError(t, err)
	return pemOf(der), key
}

// memberServer is an API server of a member, or what stands in its place.
type memberServer struct {
	*httptest.Server
	ca *authority

	mu       sync.Mutex
	requests []*http.Request
	open     map[net.Conn]bool
}

// newMemberServer serves with handler, HTTP/2, over TLS; expiry is the certificate's.
func newMemberServer(t *testing.T, expiry time.Time, handler http.HandlerFunc) *memberServer {
	t.Helper()
	m := &memberServer{ca: newAuthority(t, "member-ca"), open: map[net.Conn]bool{}}
	cert, key := m.ca.issue(t, "member", expiry)
	pair, err := tls.X509KeyPair(cert, key)
	require.NoError(t, err)
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.requests = append(m.requests, r)
		m.mu.Unlock()
		handler(w, r)
	}))
	m.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.open[conn] = state != http.StateClosed && state != http.StateHijacked
	}
	m.EnableHTTP2 = true
	// As kube-apiserver: asks every client for a certificate, needs none.
	m.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	m.StartTLS()
	t.Cleanup(m.Close)
	return m
}

// newMember serves with handler, and returns a client for it, too, which has a token as credential.
func newMember(t *testing.T, handler http.HandlerFunc) (*memberServer, *Client) {
	t.Helper()
	server := newMemberServer(t, time.Now().Add(time.Hour), handler)
	return server, clientFor(t, server.URL, server.ca.pem, DefaultConfig(), nil)
}

func (m *memberServer) seen() []*http.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*http.Request(nil), m.requests...)
}

func (m *memberServer) connections() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	count := 0
	for _, open := range m.open {
		if open {
			count++
		}
	}
	return count
}

// answer sends a Status, or an empty list where code is 200.
func answer(code int, reason metav1.StatusReason, message string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		if code == http.StatusOK {
			fmt.Fprint(w, `{"kind":"NamespaceList","apiVersion":"v1","metadata":{},"items":[]}`)
			return
		}
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
			Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
		})
	}
}

var (
	ok           = answer(http.StatusOK, "", "")
	unauthorized = answer(http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized")
)

// entries are those of a kubeconfig for a cluster and its user.
type entries struct {
	*clientcmdapi.Cluster
	*clientcmdapi.AuthInfo
}

// kubeconfig returns a kubeconfig with the context "c", after change.
func kubeconfig(t *testing.T, server string, ca []byte, change func(entries)) []byte {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: "hub-token"}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "c"
	if change != nil {
		change(entries{config.Clusters["c"], config.AuthInfos["u"]})
	}
	data, err := clientcmd.Write(*config)
	require.NoError(t, err)
	return data
}

// fakeSecrets are Secrets by namespace/name.
type fakeSecrets map[string]*corev1.Secret

func (f fakeSecrets) Get(namespace, name string) (*corev1.Secret, error) {
	if secret, ok := f[namespace+"/"+name]; ok {
		return secret, nil
	}
	return nil, apierrors.NewNotFound(corev1.Resource("secrets"), name)
}

func (f fakeSecrets) Of(namespace, name string) ([]*corev1.Secret, error) {
	var found []*corev1.Secret
	for _, key := range slices.Sorted(maps.Keys(f)) {
		if IsSecretOf(f[key], namespace, name) {
			found = append(found, f[key])
		}
	}
	return found, nil
}

// memberSecret is the Secret m with that kubeconfig.
func memberSecret(kubeconfig []byte) fakeSecrets {
	secrets := fakeSecrets{}
	secrets.add("m", kubeconfig)
	return secrets
}

func (f fakeSecrets) add(name string, kubeconfig []byte) *corev1.Secret {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "clusterpass-system", Name: name,
			Labels:      map[string]string{KubeconfigLabel: "true"},
			Annotations: map[string]string{ClusterProfileAnnotation: "default/bravelion"},
		},
		Data: map[string][]byte{"kubeconfig": kubeconfig},
	}
	f["clusterpass-system/"+name] = secret
	return secret
}

// profileFor returns the profile default/bravelion with an entry of the default
// provider whose extension is reference.
func profileFor(reference string) *inventoryv1alpha1.ClusterProfile {
	return &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "bravelion", UID: "uid-1"},
		Status: inventoryv1alpha1.ClusterProfileStatus{AccessProviders: []inventoryv1alpha1.AccessProvider{{
			Name: configv1alpha1.DefaultProviderName,
			Cluster: clientcmdv1.Cluster{
				Server: "https://elsewhere.example.com",
				Extensions: []clientcmdv1.NamedExtension{{
					Name: execExtension, Extension: runtime.RawExtension{Raw: []byte(reference)},
				}},
			},
		}}},
	}
}

func newTestPool(t *testing.T, config *configv1alpha1.AccessConfiguration, secrets Secrets, clock clock.WithTicker) *Pool {
	t.Helper()
	pool, err := NewPool(Options{Config: config, Secrets: secrets, Clock: clock, UserAgent: "clusterpass-test"})
	require.NoError(t, err)
	return pool
}

// clientOf returns the client for a profile.
func clientOf(t *testing.T, pool Members, profile *inventoryv1alpha1.ClusterProfile) *Client {
	t.Helper()
	client, err := pool.For(t.Context(), profile)
	require.NoError(t, err)
	return client
}

// clientFor returns a client for the server, with a token as credential.
func clientFor(t *testing.T, server string, ca []byte, config *configv1alpha1.AccessConfiguration, clock clock.WithTicker) *Client {
	t.Helper()
	return clientOf(t, newTestPool(t, config, memberSecret(kubeconfig(t, server, ca, nil)), clock), profileFor(`{"name":"m"}`))
}

func list(ctx context.Context, c *Client) error {
	_, err := c.Kubernetes().CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	return err
}

func statusErr(t *testing.T, err error) metav1.Status {
	t.Helper()
	status, ok := errors.AsType[*apierrors.StatusError](err)
	require.Truef(t, ok, "%T: %v", err, err)
	require.NotContains(t, err.Error(), "hub-token")
	return status.ErrStatus
}

// cancelled returns a context that is cancelled.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// statusBecause returns the Status that err is, which has that cause.
func statusBecause(t *testing.T, err error, cause metav1.CauseType) metav1.Status {
	t.Helper()
	status := statusErr(t, err)
	require.NotEmpty(t, status.Details.Causes, "%v", err)
	assert.Equal(t, cause, status.Details.Causes[0].Type, "%v", err)
	return status
}

func uid(profile *inventoryv1alpha1.ClusterProfile, uid string) *inventoryv1alpha1.ClusterProfile {
	profile = profile.DeepCopy()
	profile.UID = types.UID(uid)
	return profile
}
