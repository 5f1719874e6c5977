// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/utils/ptr"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	clusterpassclient "clusterpass.dev/pkg/generated/clientset/versioned/typed/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

func grantsIn(t *testing.T, namespace string) clusterpassclient.AuthTokenGrantInterface {
	t.Helper()
	return shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(namespace)
}

// storeGrant puts a grant past the API into the server's etcd, in whatever state it is, and returns
// it as stored. Nothing of it is on a member.
func storeGrant(
	t *testing.T, namespace, name string, change func(*clusterpassv1alpha1.AuthTokenGrant),
) *clusterpassv1alpha1.AuthTokenGrant {
	t.Helper()
	now := metav1.Now()
	grant := &clusterpassv1alpha1.AuthTokenGrant{
		TypeMeta:   metav1.TypeMeta{APIVersion: clusterpassv1alpha1.SchemeGroupVersion.String(), Kind: "AuthTokenGrant"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: uuid.NewUUID(), Generation: 1, CreationTimestamp: now},
		Spec: clusterpassv1alpha1.AuthTokenGrantSpec{
			ClusterProfile: clusterpassv1alpha1.GrantedClusterProfile{Namespace: namespace, Name: "whale", UID: "uid-of-whale"},
			ServiceAccount: clusterpassv1alpha1.GrantedServiceAccount{Namespace: "default", Name: "work"},
			ClusterRoles:   []multiclusterv1alpha1.ClusterRole{{Name: "view"}},
			Requester:      clusterpassv1alpha1.Requester{Username: "alice"},
		},
		Status: clusterpassv1alpha1.AuthTokenGrantStatus{Conditions: []metav1.Condition{
			condition(clusterpassv1alpha1.GrantReady, metav1.ConditionTrue),
		}},
	}
	if change != nil {
		change(grant)
	}
	etcd := etcdClient(t, shared.Hub.EtcdArgs())
	key := fmt.Sprintf("%s/clusterpass.dev/authtokengrants/%s/%s", shared.Server.EtcdPrefix(), namespace, name)
	value := testenv.Must[[]byte](t)(json.Marshal(grant))
	testenv.Must[*clientv3.PutResponse](t)(etcd.Put(t.Context(), key, string(value)))
	return testenv.Get(t, grantsIn(t, namespace), name)
}

const grantManifest = `apiVersion: clusterpass.dev/v1alpha1
kind: AuthTokenGrant
metadata: {name: forged}
spec:
  clusterProfile: {namespace: default, name: bravelion, uid: a}
  serviceAccount: {namespace: default, name: work}
  clusterRoles: [{name: cluster-admin}]
  requester: {username: mallory}
`

// Nobody creates a grant.
func TestGrantsAPI_Create(t *testing.T) {
	namespace, hub := newNamespace(t), shared.Hub.Kubeconfig()
	for command, want := range map[string]string{
		"create -f -": "(MethodNotAllowed)",
		"apply -f -":  "(MethodNotAllowed)",
		"apply --server-side -f -": `(MethodNotAllowed): there is no AuthTokenGrant "forged" to change: ` +
			`grants are created by answering AuthTokenRequests, and in no other way`,
		"replace -f -":                      `authtokengrants.clusterpass.dev "forged" not found`,
		"patch authtokengrant forged -p={}": `authtokengrants.clusterpass.dev "forged" not found`,
		"apply --server-side --subresource=status --field-manager=forger -f -": `authtokengrants.clusterpass.dev "forged" not found`,
	} {
		t.Run("kubectl "+command, func(t *testing.T) {
			_, err := testenv.Kubectl(t.Context(), hub, grantManifest, append(strings.Fields(command), "-n", namespace)...)
			assert.ErrorContains(t, err, want)
		})
	}
	status, _, body := send(t, http.MethodPost, "/apis/clusterpass.dev/v1alpha1/namespaces/"+namespace+"/authtokengrants",
		http.Header{"Content-Type": []string{"application/yaml"}}, []byte(grantManifest))
	assert.Equal(t, http.StatusMethodNotAllowed, status, string(body))
	assert.Empty(t, testenv.List(t, grantsIn(t, namespace), metav1.ListOptions{}).Items)
}

// Users change only the metadata of a grant.
func TestGrantsAPI_Patch(t *testing.T) {
	namespace := newNamespace(t)
	const reserved = "Forbidden: keys of clusterpass.dev are the server's to set"
	tests := map[string]struct {
		kind        types.PatchType
		patch, want string
	}{
		"a label":                 {types.MergePatchType, `{"metadata":{"labels":{"team":"tigers"}}}`, ""},
		"the status, which stays": {types.MergePatchType, `{"status":{"conditions":null}}`, ""},
		"that the member is abandoned": {types.MergePatchType,
			`{"metadata":{"annotations":{"clusterpass.dev/abandon-member":"true"}}}`, ""},
		"that the member is abandoned, in words": {types.MergePatchType,
			`{"metadata":{"annotations":{"clusterpass.dev/abandon-member":"please"}}}`,
			`metadata.annotations[clusterpass.dev/abandon-member]: Unsupported value: "please"`},
		"a reserved label": {types.MergePatchType, `{"metadata":{"labels":{"clusterpass.dev/hub-id":"mine"}}}`,
			"metadata.labels[clusterpass.dev/hub-id]: " + reserved},
		"the roles": {types.JSONPatchType,
			`[{"op":"replace","path":"/spec/clusterRoles/0/name","value":"cluster-admin"}]`,
			"spec: Forbidden: is immutable: only an AuthTokenRequest changes it"},
		"the roles, by a strategic merge": {types.StrategicMergePatchType, `{"spec":{"clusterRoles":[{"name":"cluster-admin"}]}}`,
			"spec: Forbidden: is immutable"},
		"the requester, by a forced server-side apply": {types.ApplyPatchType,
			`{"apiVersion":"clusterpass.dev/v1alpha1","kind":"AuthTokenGrant","spec":{"requester":{"username":"mallory"}}}`,
			"spec: Forbidden: is immutable"},
		"a label, by server-side apply": {types.ApplyPatchType, `{"apiVersion":"clusterpass.dev/v1alpha1","kind":"AuthTokenGrant",` +
			`"metadata":{"labels":{"team":"bears"}},"status":{"observedGeneration":7}}`, ""},
	}
	names := 0
	for change, test := range tests {
		names++
		name := fmt.Sprintf("grant-%d", names)
		t.Run(change, func(t *testing.T) {
			before := storeGrant(t, namespace, name, nil)
			options := metav1.PatchOptions{FieldManager: "test"}
			if test.kind == types.ApplyPatchType {
				options.Force = ptr.To(true)
			}
			after, err := grantsIn(t, namespace).Patch(t.Context(), name, test.kind, []byte(test.patch), options)
			if test.want != "" {
				require.True(t, apierrors.IsInvalid(err), "%v", err)
				require.ErrorContains(t, err, test.want)
				after = testenv.Get(t, grantsIn(t, namespace), name)
				assert.Empty(t, cmp.Diff(before, after), "-before +after")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, before.Spec, after.Spec)
			assert.Empty(t, cmp.Diff(before.Status, after.Status), "-before +after")
			assert.EqualValues(t, 1, after.Generation)
		})
	}
}

func TestGrantsAPI_UpdateStatus(t *testing.T) {
	namespace := newNamespace(t)
	grant := storeGrant(t, namespace, "observed", nil)
	grant.Labels = map[string]string{"not": "stored"}
	grant.Spec.ClusterRoles = nil
	grant.Status.MemberObjects = []clusterpassv1alpha1.MemberObject{{Kind: "Secret", Namespace: "default", Name: "work"}}
	updated := testenv.Must[*clusterpassv1alpha1.AuthTokenGrant](t)(grantsIn(t, namespace).UpdateStatus(t.Context(), grant,
		metav1.UpdateOptions{FieldManager: "revoker"}))
	require.Len(t, updated.Status.MemberObjects, 1)
	assert.Empty(t, updated.Labels)
	assert.Len(t, updated.Spec.ClusterRoles, 1)
	updated.Status.MemberObjects[0].Kind = "Namespace"
	_, err := grantsIn(t, namespace).UpdateStatus(t.Context(), updated, metav1.UpdateOptions{})
	assert.True(t, apierrors.IsInvalid(err), "a namespace as an object that a grant owns: %v", err)
	assert.ErrorContains(t, err, `status.memberObjects[0].kind: Unsupported value: "Namespace"`)
}

func TestGrantsAPI_KubectlGet(t *testing.T) {
	namespace := newNamespace(t)
	// Half an hour off the full one, so that what is printed is the same for as long as the test may
	// take.
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: time.Now().Add(d)} }
	storeGrant(t, namespace, "in-use", func(g *clusterpassv1alpha1.AuthTokenGrant) {
		g.Spec.Roles = []multiclusterv1alpha1.Role{{Namespace: "default", Name: "pods",
			Rules: []rbacv1.PolicyRule{{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"pods"}}}}}
		g.Spec.Audiences = []string{"vault"}
		g.Status.LastIssuedTime, g.Status.ExpirationCeiling = at(-50*time.Hour-30*time.Minute), at(50*time.Hour+30*time.Minute)
	})
	storeGrant(t, namespace, "leaving", func(g *clusterpassv1alpha1.AuthTokenGrant) {
		g.Finalizers, g.DeletionTimestamp = []string{"example.com/held"}, at(0)
		g.Spec.ClusterProfile = clusterpassv1alpha1.GrantedClusterProfile{Namespace: "fleet", Name: "shark", UID: "uid-of-shark"}
		g.Spec.Requester.Username = "bob"
		g.Status.ExpirationCeiling = at(-10*time.Hour - 30*time.Minute)
	})
	const (
		header  = "NAME CLUSTER SERVICE ACCOUNT ROLES REQUESTER LAST ISSUED TOKENS END READY AGE"
		inUse   = "in-use whale default/work view,default/pods(rules) alice within 2d3h within 2d3h True *"
		leaving = "leaving fleet/shark default/work view bob <none> over 10h ago Revoking *"
	)
	tests := map[string][]string{
		"atg":                     {header, inUse, leaving},
		"authtokengrants -o wide": {header + " AUDIENCES REASON", inUse + " vault Tested", leaving + " <none> <none>"},
		"authtokengrant in-use":   {header, inUse},
		"clusterpass -o name":     {"authtokengrant.clusterpass.dev/in-use", "authtokengrant.clusterpass.dev/leaving"},
		"atg --field-selector=spec.clusterProfile.name=whale,spec.clusterProfile.namespace=" + namespace: {header, inUse},
		"atg --field-selector=spec.clusterProfile.uid=uid-of-shark":                                      {header, leaving},
		"atg --field-selector=spec.serviceAccount.namespace=default,spec.serviceAccount.name=work":       {header, inUse, leaving},
		"atg --field-selector=spec.serviceAccount.name=play":                                             nil,
		"atg --field-selector=spec.requester.username=bob -o name": {
			"authtokengrant.clusterpass.dev/leaving",
		},
	}
	for args, want := range tests {
		t.Run("kubectl get "+args, func(t *testing.T) {
			out := testenv.Must[string](t)(testenv.Kubectl(t.Context(), shared.Hub.Kubeconfig(), "",
				append([]string{"get", "-n", namespace}, strings.Fields(args)...)...))
			assert.Equal(t, want, rows(out))
		})
	}
	_, err := testenv.Kubectl(t.Context(), shared.Hub.Kubeconfig(), "", "get", "atg", "-n", namespace, "--field-selector=spec.audiences=vault")
	assert.ErrorContains(t, err, `"spec.audiences" is not a known field selector`)
}

func TestGrantsAPI_DeleteBySelector(t *testing.T) {
	namespace := newNamespace(t)
	storeGrant(t, namespace, "theirs", func(g *clusterpassv1alpha1.AuthTokenGrant) { g.Spec.Requester.Username = "bob" })
	storeGrant(t, namespace, "ours", nil)
	testenv.Must[string](t)(testenv.Kubectl(t.Context(), shared.Hub.Kubeconfig(), "", "delete", "authtokengrants", "-n", namespace,
		"--field-selector=spec.requester.username=bob"))
	ofShark := metav1.ListOptions{FieldSelector: "spec.clusterProfile.name=shark"}
	require.NoError(t, grantsIn(t, namespace).DeleteCollection(t.Context(), metav1.DeleteOptions{}, ofShark))
	list := testenv.List(t, grantsIn(t, namespace), metav1.ListOptions{})
	assert.Equal(t, []string{"ours"}, names(t, list), "what is left")
}
