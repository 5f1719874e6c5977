// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	multiclusterclient "clusterpass.dev/pkg/generated/clientset/versioned/typed/multicluster/v1alpha2"
	"clusterpass.dev/test/testenv"
)

// laterProfilesIn returns the client for the ClusterProfiles in a namespace of the hub, in
// v1alpha2.
func laterProfilesIn(t *testing.T, namespace string) multiclusterclient.ClusterProfileInterface {
	t.Helper()
	return testenv.Clusterpass(t, shared.Hub.RESTConfig()).MulticlusterV1alpha2().ClusterProfiles(namespace)
}

func laterProfile(name, manager string) *v1alpha2.ClusterProfile {
	return &v1alpha2.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha2.ClusterProfileSpec{ClusterManager: v1alpha2.ClusterManager{Name: manager}},
	}
}

// One object has two versions.
func TestVersions(t *testing.T) {
	namespace := newNamespace(t)
	earlier, later := profilesIn(t, namespace), laterProfilesIn(t, namespace)

	t.Run("an object of v1alpha2 is read in v1alpha1", func(t *testing.T) {
		created := testenv.Create(t, later, laterProfile("later", "versions"))
		created.Status.AccessProviders = []v1alpha2.AccessProvider{{Name: "a", Cluster: v1alpha2.Cluster{Server: "https://later"}}}
		created = testenv.UpdateStatus(t, later, created)
		got := testenv.Get(t, earlier, "later")
		assert.Equal(t, created.ObjectMeta, got.ObjectMeta)
		assert.Equal(t, "versions", got.Spec.ClusterManager.Name)
		assert.Equal(t, []inventoryv1alpha1.AccessProvider{{Name: "a", Cluster: clientcmdv1.Cluster{Server: "https://later"}}},
			got.Status.AccessProviders)
		assert.Empty(t, got.Status.CredentialProviders)
	})
	t.Run("v1alpha2 has all of an object of v1alpha1 but credentialProviders and the path of a CA", func(t *testing.T) {
		profile := testenv.Create(t, earlier, testenv.NewProfile("earlier", "versions"))
		profile.Status.CredentialProviders = []inventoryv1alpha1.AccessProvider{
			{Name: "old", Cluster: clientcmdv1.Cluster{Server: "https://old"}},
		}
		profile.Status.AccessProviders = []inventoryv1alpha1.AccessProvider{
			{Name: "a", Cluster: clientcmdv1.Cluster{Server: "not-a-url", CertificateAuthority: "/ca.crt", TLSServerName: "b"}},
		}
		testenv.UpdateStatus(t, earlier, profile)
		got := testenv.Get(t, later, "earlier")
		assert.Equal(t, []v1alpha2.AccessProvider{{Name: "a", Cluster: v1alpha2.Cluster{Server: "not-a-url", TLSServerName: "b"}}},
			got.Status.AccessProviders)
		var raw map[string]any
		getJSON(t, "/apis/multicluster.x-k8s.io/v1alpha2/namespaces/"+namespace+"/clusterprofiles/earlier", "application/json", &raw)
		assert.Equal(t, "multicluster.x-k8s.io/v1alpha2", raw["apiVersion"])
		assert.NotContains(t, raw["status"], "credentialProviders")
		assert.NotContains(t, raw["status"], "conditions")
		assert.Len(t, testenv.Get(t, earlier, "earlier").Status.CredentialProviders, 1, "a read in v1alpha2 has changed the object")
		testenv.MustKubectl(t, shared.Hub.Kubeconfig(), "", "label", "cp", "earlier", "-n", namespace, "a=b")
		labelled := testenv.Get(t, earlier, "earlier").Status
		assert.Empty(t, labelled.CredentialProviders)
		assert.Equal(t, clientcmdv1.Cluster{Server: "not-a-url", TLSServerName: "b"}, labelled.AccessProviders[0].Cluster)
	})
	t.Run("a selector by the manager works in v1alpha2", func(t *testing.T) {
		testenv.Create(t, later, laterProfile("other", "another"))
		found := testenv.List(t, later, metav1.ListOptions{FieldSelector: "spec.clusterManager.name=another"})
		assert.Equal(t, []string{"other"}, names(t, found))
		_, err := later.List(t.Context(), metav1.ListOptions{FieldSelector: "spec.displayName=a"})
		assert.True(t, apierrors.IsBadRequest(err), "%v", err)
	})
	t.Run("what only v1alpha2 refuses is named", func(t *testing.T) {
		profile := testenv.Get(t, later, "later")
		profile.Status.AccessProviders[0].Cluster = v1alpha2.Cluster{Server: "not-a-url", ProxyURL: "ftp://user:secret@proxy"}
		_, err := later.UpdateStatus(t.Context(), profile, metav1.UpdateOptions{})
		require.True(t, apierrors.IsInvalid(err), "%v", err)
		assert.ErrorContains(t, err, `status.accessProviders[0].cluster.server: Invalid value: must be an absolute URL with a host`)
		assert.ErrorContains(t, err, "status.accessProviders[0].cluster.proxy-url: Invalid value: must be a URL with the scheme")
		assert.NotContains(t, err.Error(), "secret")
		_, err = later.Create(t.Context(), laterProfile("refused", "-legacy"), metav1.CreateOptions{})
		require.True(t, apierrors.IsInvalid(err), "%v", err)
		assert.ErrorContains(t, err, `spec.clusterManager.name: Invalid value: "-legacy"`)
		testenv.Create(t, earlier, testenv.NewProfile("accepted", "-legacy"))
	})
}

func TestVersions_Watch(t *testing.T) {
	namespace := newNamespace(t)
	earlier, later := profilesIn(t, namespace), laterProfilesIn(t, namespace)
	from := metav1.ListOptions{ResourceVersion: list(t, namespace, metav1.ListOptions{}).ResourceVersion}
	inEarlier := watchProfiles(t, namespace, from)
	inLater := testenv.Must[watch.Interface](t)(later.Watch(t.Context(), from))
	t.Cleanup(inLater.Stop)

	testenv.Create(t, later, laterProfile("later", "watch"))
	testenv.Create(t, earlier, testenv.NewProfile("earlier", "watch"))
	for _, name := range []string{"later", "earlier"} {
		assert.Equal(t, "watch", expectEvent(t, inEarlier, watch.Added, name).Spec.ClusterManager.Name)
		event := nextEvent(t, inLater)
		profile, ok := event.Object.(*v1alpha2.ClusterProfile)
		require.True(t, ok, "%v", event.Object)
		assert.Equal(t, name, profile.Name)
		assert.Equal(t, "watch", profile.Spec.ClusterManager.Name)
	}
}

// Server-side apply keeps the owners of fields across versions.
func TestVersions_Apply(t *testing.T) {
	namespace := newNamespace(t)
	apply := func(version, manager, content string) (string, error) {
		out, errOut, err := testenv.KubectlOf(t.Context(), "kubectl", shared.Hub.Kubeconfig(),
			"apiVersion: multicluster.x-k8s.io/"+version+"\nkind: ClusterProfile\nmetadata: {name: whale, namespace: "+namespace+"}\n"+content,
			"apply", "--server-side", "--field-manager="+manager, "-f", "-")
		return out + errOut, err
	}
	const named, unnamed = "spec: {displayName: Whale, clusterManager: {name: apply}}\n", "spec: {clusterManager: {name: apply}}\n"
	out, err := apply("v1alpha1", "owner", named)
	require.NoError(t, err, out)

	t.Run("a field of another manager is a conflict", func(t *testing.T) {
		out, err := apply("v1alpha2", "thief", "spec: {displayName: Stolen, clusterManager: {name: apply}}\n")
		require.Error(t, err)
		assert.Contains(t, out+err.Error(), `conflict with "owner"`)
		assert.Contains(t, out+err.Error(), ".spec.displayName")
	})
	t.Run("the same value is shared", func(t *testing.T) {
		out, err := apply("v1alpha2", "friend", named)
		require.NoError(t, err, out)
	})
	t.Run("the owner goes on in the other version", func(t *testing.T) {
		out, err := apply("v1alpha2", "owner", unnamed)
		require.NoError(t, err, out)
		assert.Equal(t, "Whale", getProfile(t, namespace, "whale").Spec.DisplayName, "the friend has it, too")
		out, err = apply("v1alpha1", "friend", unnamed)
		require.NoError(t, err, out)
		profile := getProfile(t, namespace, "whale")
		assert.Empty(t, profile.Spec.DisplayName, "nobody has it any more")
		owners := map[string]string{}
		for _, entry := range profile.ManagedFields {
			owners[entry.Manager] = entry.APIVersion
		}
		assert.Equal(t, map[string]string{
			"owner": "multicluster.x-k8s.io/v1alpha2", "friend": "multicluster.x-k8s.io/v1alpha1",
		}, owners)
	})
}

// Kubectl uses v1alpha2, unless it is asked for another version.
func TestVersions_Kubectl(t *testing.T) {
	namespace := newNamespace(t)
	createProfile(t, namespace, testenv.NewProfile("whale", "kubectl"))
	hub := shared.Hub.Kubeconfig()
	for resource, version := range map[string]string{"cp": "v1alpha2", "clusterprofiles.v1alpha1.multicluster.x-k8s.io": "v1alpha1"} {
		out := testenv.MustKubectl(t, hub, "", "get", resource, "whale", "-n", namespace, "-o", "jsonpath={.apiVersion}")
		assert.Equal(t, "multicluster.x-k8s.io/"+version, out, resource)
	}
	explained := testenv.MustKubectl(t, hub, "", "explain", "clusterprofile.status")
	assert.Contains(t, explained, "VERSION:    v1alpha2")
	assert.NotContains(t, explained, "credentialProviders")
	_, err := testenv.Kubectl(t.Context(), hub, `apiVersion: multicluster.x-k8s.io/v1alpha2
kind: ClusterProfile
metadata: {name: path}
spec: {clusterManager: {name: kubectl}}
status: {accessProviders: [{name: a, cluster: {server: "https://a", certificate-authority: /ca.crt}}]}
`, "create", "-n", namespace, "-f", "-")
	assert.ErrorContains(t, err, `unknown field "status.accessProviders[0].cluster.certificate-authority"`)
}

// AuthTokenRequest is in v1alpha1 alone: clusterprofiles/token of v1alpha2, one of the forms of all
// tests of tokens, takes no other kind.
func TestVersions_Token(t *testing.T) {
	const namespace = "/apis/multicluster.x-k8s.io/v1alpha2/namespaces/default/"
	for name, test := range map[string]struct {
		path, kind string
		status     int
		message    string
	}{
		"another kind":                  {"clusterprofiles/bravelion/token", "ClusterProfile", http.StatusBadRequest, "AuthTokenRequest"},
		"an AuthTokenRequest of it":     {"clusterprofiles/bravelion/token", "AuthTokenRequest", http.StatusBadRequest, "v1alpha2"},
		"AuthTokenRequests of v1alpha2": {"authtokenrequests", "AuthTokenRequest", http.StatusNotFound, "could not find"},
	} {
		t.Run(name, func(t *testing.T) {
			body := fmt.Appendf(nil, `{"apiVersion":"multicluster.x-k8s.io/v1alpha2","kind":%q}`, test.kind)
			status, _, answer := send(t, http.MethodPost, namespace+test.path, http.Header{"Content-Type": {"application/json"}}, body)
			assert.Equal(t, test.status, status, string(answer))
			assert.Contains(t, string(answer), test.message)
		})
	}
}

// Whatever version an object is written in, it is stored in v1alpha1: the release before reads it.
func TestVersions_Stored(t *testing.T) {
	namespace := newNamespace(t)
	testenv.Create(t, laterProfilesIn(t, namespace), laterProfile("later", "stored"))
	decisions := testenv.Clusterpass(t, shared.Hub.RESTConfig()).MulticlusterV1alpha2().PlacementDecisions(namespace)
	testenv.Create(t, decisions,
		&v1alpha2.PlacementDecision{ObjectMeta: metav1.ObjectMeta{Name: "slice"}, Decisions: []v1alpha2.ClusterDecision{}})
	var found []string
	for key, value := range storedIn(t, namespace) {
		found = append(found, key)
		assert.Contains(t, value, `"apiVersion":"multicluster.x-k8s.io/v1alpha1"`, key)
	}
	assert.ElementsMatch(t, []string{"clusterprofiles/" + namespace + "/later", "placementdecisions/" + namespace + "/slice"}, found)
}

// storedIn returns what the server has stored of a namespace, by the end of the key.
func storedIn(t *testing.T, namespace string) map[string]string {
	t.Helper()
	found := map[string]string{}
	etcd := etcdClient(t, shared.Hub.EtcdArgs())
	response := testenv.Must[*clientv3.GetResponse](t)(etcd.Get(t.Context(), shared.Server.EtcdPrefix()+"/", clientv3.WithPrefix()))
	for _, entry := range response.Kvs {
		if strings.Contains(string(entry.Key), "/"+namespace+"/") {
			parts := strings.Split(string(entry.Key), "/")
			found[strings.Join(parts[len(parts)-3:], "/")] = string(entry.Value)
		}
	}
	return found
}
