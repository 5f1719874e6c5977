// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

const selfSubjectReviews = "/selfsubjectreviews"

// withoutBasicUser takes from everybody on bravelion, until the test ends, the right to ask who
// they are.
func withoutBasicUser(t *testing.T) {
	t.Helper()
	bindings := shared.Bravelion.Kube(t).RbacV1().ClusterRoleBindings()
	binding := testenv.Get(t, bindings, "system:basic-user")
	require.NoError(t, bindings.Delete(t.Context(), binding.Name, metav1.DeleteOptions{}))
	t.Cleanup(func() {
		binding.ObjectMeta = metav1.ObjectMeta{Name: binding.Name, Labels: binding.Labels, Annotations: binding.Annotations}
		_, err := bindings.Create(context.WithoutCancel(t.Context()), binding, metav1.CreateOptions{})
		require.NoError(t, err)
	})
}

// adminBehind returns the path of a kubeconfig for an admin of bravelion behind a proxy that ends
// TLS, as an account with a token.
func adminBehind(t *testing.T, change http.HandlerFunc) string {
	t.Helper()
	const name = "admin-behind-a-proxy"
	client := shared.Bravelion.Kube(t)
	accounts := client.CoreV1().ServiceAccounts("default")
	testenv.Create(t, accounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}})
	testenv.Bind(t, client, "", name, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: name}, "cluster-admin")
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		require.NoError(t, client.RbacV1().ClusterRoleBindings().Delete(ctx, name, metav1.DeleteOptions{}))
		require.NoError(t, accounts.Delete(ctx, name, metav1.DeleteOptions{}))
	})
	token, err := accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)

	proxy := httputil.NewSingleHostReverseProxy(testenv.Must[*url.URL](t)(url.Parse(shared.Bravelion.Server())))
	proxy.Transport, err = rest.TransportFor(rest.AnonymousClientConfig(shared.Bravelion.RESTConfig()))
	require.NoError(t, err)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, selfSubjectReviews) {
			change(w, r)
			if w.Header().Get("Done") != "" {
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)

	config := clientcmdapi.NewConfig()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	config.Clusters["m"] = &clientcmdapi.Cluster{Server: server.URL, CertificateAuthorityData: ca}
	config.AuthInfos["m"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["m"] = &clientcmdapi.Context{Cluster: "m", AuthInfo: "m"}
	config.CurrentContext = "m"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, path))
	admin := testenv.Kube(t, testenv.Must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", path)))
	// The binding takes a moment to be known.
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := admin.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		return err
	})
	return path
}

// renewed waits until the hub has renewed an old token of bravelion.
func renewed(t *testing.T) {
	t.Helper()
	_, old := aged(t, -90*time.Minute, 3*time.Minute)
	testenv.Eventually(t, func(context.Context) error {
		if member.KubeconfigToken(hubSecret(t).Data[kubeconfigKey], "") == old {
			return errors.New("not renewed")
		}
		return nil
	})
}

// A member forbids to ask who we are.
func TestJoin_ReviewsForbidden(t *testing.T) {
	withoutBasicUser(t)
	joined(t, "bravelion")
	secret := hubSecret(t)
	_, err := whoami(t, member.KubeconfigToken(secret.Data[kubeconfigKey], ""))
	require.True(t, apierrors.IsForbidden(err), "%v", err)
	mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--wait=false", "--credential-only")
	assert.Equal(t, secret.ResourceVersion, hubSecret(t).ResourceVersion, "the token is known to work")
	renewed(t)
}

func TestJoin_NoReviews(t *testing.T) {
	// As Kubernetes before 1.28 answers.
	kubeconfig := adminBehind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Done", "yes")
		http.NotFound(w, r)
	})
	joined(t, "bravelion", "--member-context=", "--member-kubeconfig="+kubeconfig)
	renewed(t)
}

func TestJoin_ProxyDropsTokens(t *testing.T) {
	kubeconfig := adminBehind(t, func(_ http.ResponseWriter, r *http.Request) { r.Header.Del("Authorization") })
	t.Cleanup(func() {
		out, err := clusterpass(context.WithoutCancel(t.Context()), "unjoin", "bravelion", "--member-context=bravelion")
		require.NoError(t, err, out)
		waitNamespaceGone(t, shared.Bravelion, "clusterpass-system")
	})
	_, err := clusterpass(t.Context(), "join", "bravelion", "--member-kubeconfig="+kubeconfig, "--wait=false")
	require.ErrorContains(t, err, `does not work: the member takes the token for that of user "system:anonymous"`)
	secrets := shared.Hub.Kube(t).CoreV1().Secrets("clusterpass-system")
	require.NoError(t, gone(t.Context(), secrets, "member-default-bravelion"), "the hub has no credential that does not work")
}
