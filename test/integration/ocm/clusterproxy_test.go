// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/test/testenv"
)

// managedAccount is the ManagedServiceAccount of artifacts/examples/ocm, and addOnNamespace where
// OCM's add-on has it on the member.
const managedAccount, addOnNamespace = "clusterpass", "open-cluster-management-managed-serviceaccount"

// OCM's own way to the member is the only one: cluster-proxy, as a ManagedServiceAccount. Both are
// played here, by what the examples in artifacts/examples/ocm are for.
func TestOCM_ClusterProxy(t *testing.T) {
	var proxy *httptest.Server
	f := startFleet(t, hub.InventoryServed, func(f *fleet) []string {
		proxy = f.startClusterProxy(t)
		return []string{"--access-config=" + f.writeAccessConfig(t, proxy)}
	})
	f.manageServiceAccount(t)
	f.entitle(t, team)
	_, err := f.create(t.Context(), t, team, "work")
	require.ErrorContains(t, err, "ServiceUnavailable", "before cluster-proxy has written its entry")

	f.publish(t, team, bravelion, proxy, bravelion)
	token := f.expectToken(t, team, "work")
	require.Equal(t, proxy.URL+"/"+bravelion, f.grants(t, team)[0].Status.AccessProvider.Cluster.Server)

	t.Run("a profile that is bound to no cluster leads to none", func(t *testing.T) {
		f.bind(t, partner)
		f.awaitProfile(t, partner, bravelion)
		f.entitle(t, partner)
		f.publish(t, partner, bravelion, proxy, bravelion)
		f.expectRefused(t, partner, "binds the ClusterProfile to no server")
	})
	t.Run("a profile leads to no other cluster than its own", func(t *testing.T) {
		f.publish(t, team, bravelion, proxy, smartfish)
		f.expectRefused(t, team, "binds the ClusterProfile to no server")
		f.publish(t, team, bravelion, proxy, bravelion)
		f.expectToken(t, team, "work")
	})
	t.Run("a revoked grant ends by the same way", func(t *testing.T) {
		testenv.MustKubectl(t, f.asUser, "", "-n", team, "delete", "authtokengrants", "--all")
		f.expectUnauthorized(t, token)
	})
	f.writes(t)
}

// startClusterProxy plays cluster-proxy: it ends TLS with a certificate of its own, and takes the
// cluster from the first segment of the path.
func (f *fleet) startClusterProxy(t *testing.T) *httptest.Server {
	t.Helper()
	member := testenv.Must[*url.URL](t)(url.Parse(f.member.Server()))
	transport := testenv.Must[http.RoundTripper](t)(rest.TransportFor(rest.AnonymousClientConfig(f.member.RESTConfig())))
	to := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(member) }}
	proxy := httptest.NewTLSServer(http.StripPrefix("/"+bravelion, to))
	t.Cleanup(proxy.Close)
	return proxy
}

func caOf(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}

// writeAccessConfig writes the example for this cluster-proxy, and returns the path.
func (f *fleet) writeAccessConfig(t *testing.T, proxy *httptest.Server) string {
	t.Helper()
	dir := filepath.Join(testenv.Root(t), "artifacts", "examples", "ocm")
	data := testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(dir, "access-config.yaml")))
	var config configv1alpha1.AccessConfiguration
	require.NoError(t, yaml.UnmarshalStrict(data, &config))
	exec := config.Providers[1].Exec
	here := func(servers []string) {
		for i := range servers {
			at := testenv.Must[*url.URL](t)(url.Parse(servers[i]))
			servers[i] = proxy.URL + at.Path
		}
	}
	here(exec.Servers)
	here(exec.Bindings[0].Servers)
	exec.Command = filepath.Join(dir, "managed-serviceaccount.sh")
	exec.CertificateAuthorityData = caOf(proxy.Certificate())
	// In a Pod, kubectl is the account of the Pod. Here both programs use that of one user.
	exec.Env = []configv1alpha1.ExecEnvVar{
		{Name: "KUBECTL", Value: testenv.Must[string](t)(testenv.ToolPath("kubectl"))},
		{Name: "KUBECONFIG", Value: f.kubeconfigOf(t, "plugin")},
	}
	path := filepath.Join(t.TempDir(), "access-config.yaml")
	require.NoError(t, os.WriteFile(path, testenv.Must[[]byte](t)(yaml.Marshal(config)), 0o600))
	return path
}

// manageServiceAccount plays the add-on managed-serviceaccount: it has made the account on the
// member, and keeps its token in the namespace of the cluster, where the plugin may read it.
func (f *fleet) manageServiceAccount(t *testing.T) {
	t.Helper()
	client := f.member.Kube(t).CoreV1()
	testenv.Create(t, client.Namespaces(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: addOnNamespace}})
	testenv.Create(t, client.ServiceAccounts(addOnNamespace), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: managedAccount}})
	testenv.MustKubectl(t, f.member.Kubeconfig(), "", "apply", "--server-side", "--kustomize",
		filepath.Join(testenv.Root(t), "artifacts", "examples", "ocm", "member"))
	token, err := client.ServiceAccounts(addOnNamespace).
		CreateToken(t.Context(), managedAccount, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	testenv.Create(t, f.hub.Kube(t).CoreV1().Secrets(bravelion), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: managedAccount},
		Data:       map[string][]byte{"token": []byte(token.Status.Token), "ca.crt": f.member.CA()},
	})
	testenv.MustKubectl(t, f.kubeconfig, "", "-n", bravelion, "create", "role", "plugin", "--verb=get", "--resource=secrets",
		"--resource-name="+managedAccount)
	testenv.MustKubectl(t, f.kubeconfig, "", "-n", bravelion, "create", "rolebinding", "plugin", "--role=plugin", "--user=plugin")
}

// publish writes the entry of cluster-proxy for a cluster into a profile.
func (f *fleet) publish(t *testing.T, namespace, name string, proxy *httptest.Server, cluster string) {
	t.Helper()
	f.awaitProfile(t, namespace, name)
	testenv.Patch(t, f.profiles(t, namespace), name, fmt.Sprintf(
		`{"status":{"accessProviders":[{"name":"open-cluster-management","cluster":{"server":"%s/%s","certificate-authority-data":%q,`+
			`"extensions":[{"name":"client.authentication.k8s.io/exec","extension":{"clusterName":%q}}]}}]}}`,
		proxy.URL, cluster, base64.StdEncoding.EncodeToString(caOf(proxy.Certificate())), cluster), "status")
}

// expectRefused waits until user is refused with these words.
func (f *fleet) expectRefused(t *testing.T, namespace, words string) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := f.create(ctx, t, namespace, "work")
		if err == nil || !strings.Contains(err.Error(), words) {
			return errors.Join(fmt.Errorf("not refused with %q", words), err)
		}
		return nil
	})
}
