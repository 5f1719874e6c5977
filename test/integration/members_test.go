// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// secretFor returns a Secret with a kubeconfig for the ClusterProfile default/name, as the docs ask
// for.
func secretFor(t *testing.T, name string, cluster clientcmdapi.Cluster, user clientcmdapi.AuthInfo) *corev1.Secret {
	t.Helper()
	kubeconfig := testenv.Must[[]byte](t)(clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": &cluster},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": &user},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}))
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Labels:      map[string]string{member.KubeconfigLabel: "true"},
			Annotations: map[string]string{member.ClusterProfileAnnotation: "default/" + name},
		},
		Data: map[string][]byte{"kubeconfig": kubeconfig},
	}
}

// join creates the ClusterProfile default/name, whose access provider names the Secret called
// secret.
func join(t *testing.T, name, secret string) {
	t.Helper()
	profiles := shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
	profile := testenv.Create(t, profiles, testenv.NewProfile(name, "test"))
	profile.Status.AccessProviders = []inventoryv1alpha1.AccessProvider{{
		Name: "kubeconfig-secretreader",
		Cluster: clientcmdv1.Cluster{
			Server: "https://attacker.example.com",
			Extensions: []clientcmdv1.NamedExtension{{
				Name: "client.authentication.k8s.io/exec",
				Extension: runtime.RawExtension{Raw: fmt.Appendf(nil, `{"name":%q,"key":"kubeconfig","namespace":%q}`,
					secret, testenv.SystemNamespace)},
			}},
		},
	}}
	testenv.UpdateStatus(t, profiles, profile)
}

// listen accepts connections on a free port and hands them to serve, until the test ends.
func listen(t *testing.T, serve func(net.Conn)) (url string) {
	t.Helper()
	listener := testenv.Must[net.Listener](t)((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			serve(connection)
		}
	}()
	return "https://" + listener.Addr().String()
}

// An error names what is wrong with a member, and other members are not affected.
func TestMembers_Failures(t *testing.T) {
	good := clientcmdapi.Cluster{Server: shared.Bravelion.Server(), CertificateAuthorityData: shared.Bravelion.CA()}
	closed := testenv.Must[[]int](t)(testenv.FreePorts(1))[0]
	token := clientcmdapi.AuthInfo{Token: "not-a-token"}
	tests := map[string]struct {
		cluster clientcmdapi.Cluster
		user    clientcmdapi.AuthInfo
		change  func(secret *corev1.Secret)
		code    int32
		words   string
	}{
		"closed port": {
			cluster: clientcmdapi.Cluster{Server: fmt.Sprintf("https://127.0.0.1:%d", closed),
				CertificateAuthorityData: good.CertificateAuthorityData},
			user: token, code: http.StatusGatewayTimeout, words: "can't be reached",
		},
		"no answer": {
			cluster: clientcmdapi.Cluster{Server: listen(t, func(net.Conn) {}), CertificateAuthorityData: good.CertificateAuthorityData},
			user:    token, code: http.StatusGatewayTimeout, words: "no answer in time",
		},
		"wrong ca": {
			cluster: clientcmdapi.Cluster{Server: good.Server, CertificateAuthorityData: shared.Smartfish.CA()},
			user:    token, code: http.StatusServiceUnavailable, words: "no trusted connection",
		},
		"expired credential": {
			cluster: good, user: token, code: http.StatusServiceUnavailable, words: "does not accept clusterpass's own credential",
		},
		"no label": {
			cluster: good, user: token, code: http.StatusServiceUnavailable, words: "there is no Secret",
			change: func(s *corev1.Secret) { s.Labels = nil },
		},
		"another clusters secret": {
			cluster: good, user: token, code: http.StatusServiceUnavailable, words: "is not for this cluster",
			change: func(s *corev1.Secret) { s.Annotations[member.ClusterProfileAnnotation] = "default/bravelion" },
		},
		"insecure": {
			cluster: clientcmdapi.Cluster{Server: good.Server, InsecureSkipTLSVerify: true},
			user:    token, code: http.StatusServiceUnavailable, words: "insecure-skip-tls-verify is refused",
		},
		"exec in the kubeconfig": {
			cluster: good, code: http.StatusServiceUnavailable, words: "exec",
			user: clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{APIVersion: "client.authentication.k8s.io/v1",
				Command: "/bin/false", InteractiveMode: clientcmdapi.NeverExecInteractiveMode}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cluster := "broken-" + strings.ReplaceAll(name, " ", "-")
			secret := secretFor(t, cluster, test.cluster, test.user)
			if test.change != nil {
				test.change(secret)
			}
			testenv.Create(t, shared.Hub.Kube(t).CoreV1().Secrets(testenv.SystemNamespace), secret)
			join(t, cluster, cluster)
			begin := time.Now()
			_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), forms[0], request(cluster, "broken", "view"), metav1.CreateOptions{})
			expectRefusal(t, err, test.code, test.words)
			assert.ErrorContains(t, err, cluster)
			assert.NotContains(t, fmt.Sprint(err), "not-a-token", "the error holds the credential")
			assert.LessOrEqual(t, time.Since(begin), 30*time.Second, "beyond what the API server waits for")
			mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "others", "view"))
		})
	}
}

// The member has the last word.
func TestMembers_Forbidden(t *testing.T) {
	r := request("bravelion", "last-word", "view")
	r.Spec.ServiceAccountNamespace = "not-allowed-on-the-member"
	before := objects(t, shared.Bravelion)
	_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), forms[0], r, metav1.CreateOptions{})
	assert.True(t, apierrors.IsServiceUnavailable(err), "%v", err)
	assert.ErrorContains(t, err, "does not allow clusterpass (not the requester)")
	assert.NotContains(t, fmt.Sprint(err), "system:serviceaccount:clusterpass-system", "the error names clusterpass's identity on the member")
	expectSame(t, before, objects(t, shared.Bravelion))
}

// A cluster replaced under its name starts over.
func TestMembers_Replaced(t *testing.T) {
	ctx := t.Context()
	hub, profiles := shared.Hub.Kube(t), shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
	for i, cluster := range []*testenv.Cluster{shared.Bravelion, shared.Smartfish} {
		admin := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(cluster.Kubeconfig()))
		user := admin.AuthInfos[admin.Contexts[admin.CurrentContext].AuthInfo]
		secret := secretFor(t, "replaced", clientcmdapi.Cluster{Server: cluster.Server(), CertificateAuthorityData: cluster.CA()}, *user)
		testenv.Create(t, hub.CoreV1().Secrets(testenv.SystemNamespace), secret)
		join(t, "replaced", "replaced")
		testenv.Eventually(t, func(context.Context) error {
			answer, _, err := ask(ctx, shared.Hub.RESTConfig(), forms[0], request("replaced", "replaced", "view"), metav1.CreateOptions{})
			if err != nil {
				return err
			}
			if answer.Status.Cluster.Server != cluster.Server() {
				return fmt.Errorf("round %d: the answer is for %s", i, answer.Status.Cluster.Server)
			}
			_, err = testenv.Kube(t, withToken(cluster, answer.Status.Token)).CoreV1().Pods("").List(ctx, metav1.ListOptions{})
			return err
		})
		require.NoError(t, hub.CoreV1().Secrets(testenv.SystemNamespace).Delete(ctx, "replaced", metav1.DeleteOptions{}))
		require.NoError(t, profiles.Delete(ctx, "replaced", metav1.DeleteOptions{}))
	}
}
