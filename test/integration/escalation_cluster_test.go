// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

// secretProvider is an access provider that names a Secret, and says of the cluster whatever its
// writer likes.
func secretProvider(cluster clientcmdv1.Cluster, namespace, secret string) inventoryv1alpha1.AccessProvider {
	cluster.Extensions = []clientcmdv1.NamedExtension{{
		Name:      "client.authentication.k8s.io/exec",
		Extension: runtime.RawExtension{Raw: fmt.Appendf(nil, `{"name":%q,"key":"kubeconfig","namespace":%q}`, secret, namespace)},
	}}
	return inventoryv1alpha1.AccessProvider{Name: "kubeconfig-secretreader", Cluster: cluster}
}

// profileWith makes the ClusterProfile default/name with these access providers.
func profileWith(t *testing.T, name string, providers ...inventoryv1alpha1.AccessProvider) {
	t.Helper()
	profiles := profilesIn(t, "default")
	profile := testenv.Create(t, profiles, testenv.NewProfile(name, "test"))
	profile.Status.AccessProviders = providers
	testenv.UpdateStatus(t, profiles, profile)
}

// adminSecret returns the Secret of the ClusterProfile default/name that leads to bravelion, with
// all rights there.
func adminSecret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	admin := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(shared.Bravelion.Kubeconfig()))
	user := admin.AuthInfos[admin.Contexts[admin.CurrentContext].AuthInfo]
	return secretFor(t, name, clientcmdapi.Cluster{Server: shared.Bravelion.Server(), CertificateAuthorityData: shared.Bravelion.CA()}, *user)
}

func storeSecret(t *testing.T, namespace string, secret *corev1.Secret) {
	t.Helper()
	testenv.Create(t, shared.Hub.Kube(t).CoreV1().Secrets(namespace), secret)
}

// joinAlias makes another ClusterProfile that leads to bravelion, and waits until the server knows
// how.
func joinAlias(t *testing.T, name string) {
	t.Helper()
	storeSecret(t, testenv.SystemNamespace, adminSecret(t, name))
	profileWith(t, name, secretProvider(clientcmdv1.Cluster{Server: shared.Bravelion.Server()}, testenv.SystemNamespace, name))
	testenv.Eventually(t, func(ctx context.Context) error {
		_, _, err := ask(ctx, shared.Hub.RESTConfig(), forms[0], request(name, "anybody", "view"),
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	})
}

// A ClusterProfile does not send our credential elsewhere.
func TestEscalation_ProfileElsewhere(t *testing.T) {
	var connections atomic.Int32
	attacker := listen(t, func(c net.Conn) {
		connections.Add(1)
		_ = c.Close()
	})
	theirs := clientcmdv1.Cluster{
		Server: attacker, ProxyURL: strings.Replace(attacker, "https", "http", 1), TLSServerName: "attacker",
		InsecureSkipTLSVerify: true, CertificateAuthorityData: []byte("-----BEGIN CERTIFICATE-----"),
	}
	unlabelled := adminSecret(t, "lure-unlabelled")
	unlabelled.Labels = nil
	elsewhere := adminSecret(t, "lure-elsewhere")
	storeSecret(t, testenv.SystemNamespace, unlabelled)
	storeSecret(t, "default", elsewhere)
	plugin := secretProvider(theirs, testenv.SystemNamespace, "member-default-bravelion")
	plugin.Name = "attackers-plugin"

	tests := map[string]struct {
		provider inventoryv1alpha1.AccessProvider
		words    string
	}{
		"bravelion":  {secretProvider(theirs, testenv.SystemNamespace, "member-default-bravelion"), "is not for this cluster"},
		"unlabelled": {secretProvider(theirs, testenv.SystemNamespace, unlabelled.Name), "there is no Secret"},
		"elsewhere":  {secretProvider(theirs, "default", elsewhere.Name), `not read from namespace "default"`},
		"path":       {secretProvider(theirs, testenv.SystemNamespace, "../default/lure-elsewhere"), "there is no Secret"},
		"plugin":     {plugin, "no access provider that clusterpass is configured for"},
		"no-secret":  {inventoryv1alpha1.AccessProvider{Name: "kubeconfig-secretreader", Cluster: theirs}, "that names a Secret"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			profileWith(t, "lure-"+name, test.provider)
			unchanged(t, func() {
				for _, f := range forms {
					_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), f, request("lure-"+name, "lured", "view"), metav1.CreateOptions{})
					expectRefusal(t, err, http.StatusServiceUnavailable, test.words)
				}
			})
		})
	}
	t.Run("a Secret of its own", func(t *testing.T) {
		own := adminSecret(t, "lure-own")
		storeSecret(t, testenv.SystemNamespace, own)
		profileWith(t, own.Name, secretProvider(theirs, testenv.SystemNamespace, own.Name))
		testenv.Eventually(t, func(ctx context.Context) error {
			answer, _, err := ask(ctx, shared.Hub.RESTConfig(), forms[0], request(own.Name, "lured", "view"), metav1.CreateOptions{})
			if err == nil {
				assert.Equal(t, shared.Bravelion.Server(), answer.Status.Cluster.Server)
				assert.Empty(t, answer.Status.Cluster.ProxyURL)
			}
			return err
		})
	})
	assert.Zero(t, connections.Load(), "calls to the attacker's server")
}

// An account of a grant is nobody else's.
func TestEscalation_AccountOfAnother(t *testing.T) {
	owner := mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "only-mine", "cluster-admin")).Status.GrantName
	joinAlias(t, "alias")
	other := newNamespace(t)
	grantIn(t, other, "neighbour", mayRequest())
	user := grantTo(t, "neighbour", mayRequest(), mayMint("bravelion", "alias"), mayUse("bravelion", "bind:view", "in:default"),
		mayUse("alias", "bind:view", "in:default"))
	tests := map[string]struct {
		namespace, cluster string
		form               form
	}{
		"from another namespace, in the group of the inventory": {other, "bravelion", forms[0]},
		"from another namespace, in the group of clusterpass":   {other, "bravelion", forms[1]},
		"through another profile":                               {"default", "alias", forms[0]},
		"through another profile, as a subresource":             {"default", "alias", forms[2]},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			unchanged(t, func() {
				for _, roles := range [][]string{nil, {"view"}} {
					r := request(test.cluster, "only-mine", roles...)
					r.Spec.TargetClusterProfile.Namespace = "default"
					_, _, err := askFrom(t.Context(), user, test.form, test.namespace, r, metav1.CreateOptions{})
					expectRefusal(t, err, http.StatusConflict, "belongs to another grant")
					expectRefusal(t, err, http.StatusConflict, "choose another serviceAccountName")
					assert.NotContains(t, err.Error(), owner, "the grant of others")
				}
			})
		})
	}
}

// A binding that waits for a ServiceAccount lends it nothing.
func TestEscalation_WaitingBinding(t *testing.T) {
	user := climber(t, "awaited")
	tests := map[string]func(t *testing.T, account string){
		"awaited-in-the-cluster": bindOnBravelion,
		"awaited-in-a-namespace": func(t *testing.T, account string) {
			t.Helper()
			binding := &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: account},
				Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: account}},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			}
			testenv.Create(t, shared.Bravelion.Kube(t).RbacV1().RoleBindings("default"), binding)
		},
	}
	for account, bind := range tests {
		t.Run(account, func(t *testing.T) {
			bind(t, account)
			unchanged(t, func() {
				answer, _, err := ask(t.Context(), user, forms[0], request("bravelion", account), metav1.CreateOptions{})
				expectRefusal(t, err, http.StatusConflict, account)
				if err == nil {
					assert.Error(t, listsSecrets(t.Context(), testenv.Kube(t, fromKubeconfig(t, answer))),
						"a token without roles lists Secrets, by a binding that somebody else made for the ServiceAccount")
				}
			})
		})
	}
}

// withHeaders returns config with headers in every request.
func withHeaders(config *rest.Config, headers map[string]string) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			for name, value := range headers {
				r.Header.Set(name, value)
			}
			return rt.RoundTrip(r)
		})
	})
	return config
}

// Nobody passes for another.
func TestEscalation_Impersonation(t *testing.T) {
	climber(t, "entitled")
	grantTo(t, "impostor", mayRequest())
	direct := testenv.Must[*rest.Config](t)(shared.Server.DirectConfig("impostor"))
	through := shared.Hub.User(t, "impostor")
	// A certificate of the authority for users, with the name that the aggregator has in that of
	// another authority.
	aggregator := testenv.Must[*rest.Config](t)(shared.Server.DirectConfig("front-proxy-client"))
	remote := map[string]string{"X-Remote-User": "entitled", "X-Remote-Group": "system:masters", "X-Remote-Uid": "0",
		"X-Remote-Extra-Scopes": "all"}
	const cannotImpersonate = `User "impostor" cannot impersonate`
	tests := map[string]struct {
		config *rest.Config
		words  string
	}{
		"the aggregator's headers, past it": {withHeaders(direct, remote),
			`"impostor" lacks: create on clusterprofiles/token`},
		"the aggregator's headers, through it": {withHeaders(through, remote),
			`"impostor" lacks: create on clusterprofiles/token`},
		"the aggregator's headers and its name": {withHeaders(aggregator, remote), `User "front-proxy-client" cannot create`},
		"impersonation of a user, past the aggregator": {withHeaders(direct, map[string]string{"Impersonate-User": "entitled"}),
			cannotImpersonate},
		"impersonation of a user, through the aggregator": {withHeaders(through, map[string]string{"Impersonate-User": "entitled"}),
			cannotImpersonate},
		"impersonation of a group, past the aggregator": {withHeaders(direct,
			map[string]string{"Impersonate-User": "impostor", "Impersonate-Group": "system:masters"}), cannotImpersonate},
		"impersonation of an account, past the aggregator": {withHeaders(direct,
			map[string]string{"Impersonate-User": "system:serviceaccount:clusterpass-system:clusterpass-apiserver"}), "cannot impersonate"},
		"an admin as nobody": {withHeaders(shared.Hub.RESTConfig(),
			map[string]string{"Impersonate-User": "system:anonymous", "Impersonate-Group": "system:masters"}), "anonymous users get no tokens"},
		"an admin as somebody who has not logged in": {withHeaders(shared.Hub.RESTConfig(),
			map[string]string{"Impersonate-User": "entitled", "Impersonate-Group": "system:unauthenticated"}), "anonymous users get no tokens"},
		"nobody, past the aggregator, with the headers": {withHeaders(rest.AnonymousClientConfig(direct), remote), "anonymous"},
		"nobody, past the aggregator, who impersonates": {withHeaders(rest.AnonymousClientConfig(direct),
			map[string]string{"Impersonate-User": "entitled"}), "cannot impersonate"},
		"the aggregator's headers with other letters, through it": {withHeaders(through,
			map[string]string{"x-remote-user": "entitled", "X_Remote_User": "entitled"}), `"impostor" lacks`},
	}
	unchanged(t, func() {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				_, _, err := ask(t.Context(), test.config, forms[0], request("bravelion", "impostor", "view"), metav1.CreateOptions{})
				expectRefusal(t, err, http.StatusForbidden, test.words)
			})
		}
	})
}

// A body is read in one way.
func TestEscalation_AmbiguousBody(t *testing.T) {
	user := climber(t, "juggler")
	const spec = `"targetClusterProfile":{"name":"bravelion"},"serviceAccountName":"juggler","serviceAccountNamespace":"default"`
	tests := map[string]struct {
		metadata, spec string
		code           int32
		words          string
	}{
		"the roles twice": {`{}`, spec + `,"clusterRoles":[{"name":"view"}],"clusterRoles":[{"name":"cluster-admin"}]`,
			http.StatusForbidden, "bind:cluster-admin"},
		"the name of a role twice": {`{}`, spec + `,"clusterRoles":[{"name":"view","name":"cluster-admin"}]`,
			http.StatusForbidden, "bind:cluster-admin"},
		"the target twice": {`{}`, spec + `,"targetClusterProfile":{"name":"smartfish"}`,
			http.StatusForbidden, `"smartfish"`},
		"another namespace than the URL's": {`{"namespace":"kube-system"}`, spec, http.StatusBadRequest, "namespace"},
		"rules that are empty are no rules": {`{}`, spec + `,"clusterRoles":[{"name":"cluster-admin","rules":[]}]`,
			http.StatusForbidden, "bind:cluster-admin"},
		"a target in a namespace of the hub's": {`{}`, strings.Replace(spec, `{"name":"bravelion"}`,
			`{"name":"bravelion","namespace":"kube-system"}`, 1), http.StatusForbidden, `in namespace "kube-system"`},
	}
	unchanged(t, func() {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				body := fmt.Sprintf(`{"apiVersion":"multicluster.x-k8s.io/v1alpha1","kind":"AuthTokenRequest","metadata":%s,"spec":{%s}}`,
					test.metadata, test.spec)
				err := testenv.Kube(t, user).CoreV1().RESTClient().Post().AbsPath(forms[0].path("default", "")).
					SetHeader("Content-Type", "application/json").Body([]byte(body)).Do(t.Context()).Error()
				expectRefusal(t, err, test.code, test.words)
			})
		}
	})
}
