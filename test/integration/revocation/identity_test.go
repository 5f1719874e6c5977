// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	certutil "k8s.io/client-go/util/cert"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// impostor serves smartfish, but says that it is bravelion. It returns what the hub needs to reach
// it.
func impostor(t *testing.T, id string) clientcmdapi.Cluster {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(testenv.Must[*url.URL](t)(url.Parse(shared.Smartfish.Server())))
	proxy.Transport = testenv.Must[http.RoundTripper](t)(rest.TransportFor(
		&rest.Config{Host: shared.Smartfish.Server(), TLSClientConfig: rest.TLSClientConfig{CAData: shared.Smartfish.CA()}}))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/namespaces/kube-system" {
			proxy.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"kube-system","uid":%q}}`, id)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return clientcmdapi.Cluster{Server: server.URL, CertificateAuthorityData: testenv.Must[[]byte](t)(
		certutil.EncodeCertificates(server.Certificate()))}
}

// A member that says that it is another one has no token of that, and what is revoked or swept
// because of it is its own.
func TestRevocation_ForgedMember(t *testing.T) {
	id := string(testenv.Get(t, shared.Bravelion.Kube(t).CoreV1().Namespaces(), metav1.NamespaceSystem).UID)
	ours := mint(t, "default", "bravelion", "forged-member", nil)
	require.EqualValues(t, id, ours.Status.MemberUID)

	secrets := shared.Hub.Kube(t).CoreV1().Secrets(testenv.SystemNamespace)
	cluster := impostor(t, id)
	// A certificate would not pass its TLS.
	user := clientcmdapi.AuthInfo{Token: member.KubeconfigToken(testenv.Get(t, secrets, "member-default-smartfish").Data["kubeconfig"], "")}
	require.NotEmpty(t, user.Token)
	kubeconfig := testenv.Must[[]byte](t)(clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": &cluster}, AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": &user},
		Contexts: map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}}, CurrentContext: "x",
	}))
	testenv.Create(t, secrets, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "impostor", Labels: map[string]string{member.KubeconfigLabel: "true"},
			Annotations: map[string]string{member.ClusterProfileAnnotation: "default/impostor", member.MemberUIDAnnotation: id}},
		Data: map[string][]byte{"kubeconfig": kubeconfig},
	})
	profile := testenv.NewProfile("impostor", "test")
	profile.Labels = map[string]string{"x-k8s.io/cluster-manager": "test", v1alpha2.LabelInventoryMemberID: id}
	testenv.Create(t, shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default"), profile)

	before := everything(t, shared.Bravelion)
	testenv.Eventually(t, func(ctx context.Context) error {
		dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
		_, err := shared.Hub.Clusterpass(t).MulticlusterV1alpha1().AuthTokenRequests("default").
			Create(ctx, requestFor("impostor", "forged-member"), dryRun)
		return err
	})
	theirs := mint(t, "default", "impostor", "forged-member", nil)
	assert.EqualValues(t, id, theirs.Status.MemberUID, "it says so, and is believed for itself")
	assert.NotEqual(t, ours.UID, theirs.UID)
	require.NoError(t, theirs.use(t.Context()), "the token of its own cluster")
	misled := testenv.Kube(t, &rest.Config{Host: shared.Bravelion.Server(), BearerToken: shared.tokens[len(shared.tokens)-1],
		TLSClientConfig: rest.TLSClientConfig{CAData: shared.Bravelion.CA()}, QPS: -1})
	_, err := misled.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{Limit: 1})
	assert.True(t, apierrors.IsUnauthorized(err), "its token on the other cluster: %v", err)

	deleteGrant(t, theirs)
	untilGone(t, theirs)
	require.NoError(t, nothingOn(t, shared.Smartfish, theirs))
	after := everything(t, shared.Bravelion)
	for o := range before {
		assert.True(t, after[o], "removed on the other cluster: %s", o)
	}
	assert.Len(t, after, len(before), "made on the other cluster")
	assert.NoError(t, ours.use(t.Context()), "the token of the other cluster")
}
