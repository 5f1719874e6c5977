// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
)

func TestIsOurs(t *testing.T) {
	const spec = `{"f:spec":{"f:clusterManager":{"f:name":{}}}}`
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	made, another := entry(FieldManager, metav1.ManagedFieldsOperationApply, spec), entry("ocm", metav1.ManagedFieldsOperationUpdate, spec)
	for name, test := range map[string]struct {
		manager string
		entries []metav1.ManagedFieldsEntry
		ours    bool
	}{
		"one of our cluster manager":                  {DefaultClusterManager, nil, true},
		"one that join has made for another":          {"tended", []metav1.ManagedFieldsEntry{made}, true},
		"one that another has made":                   {"ocm", []metav1.ManagedFieldsEntry{another}, false},
		"one that another has made and join has, too": {"ocm", []metav1.ManagedFieldsEntry{another, made}, false},
		"one whose labels alone are ours": {"ocm", []metav1.ManagedFieldsEntry{
			entry(FieldManager, metav1.ManagedFieldsOperationApply, `{"f:metadata":{}}`)}, false},
		"one that nobody knows the maker of": {"ocm", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{ManagedFields: test.entries}}
			profile.Spec.ClusterManager.Name = test.manager
			assert.Equal(t, test.ours, isOurs(profile))
		})
	}
}

func TestAllowed_Beyond(t *testing.T) {
	all := &Allowed{ClusterRoles: []string{"view", "edit"}, Namespaces: []string{"a", "b"}, Rules: true, Usage: true}
	assert.Empty(t, all.beyond(all))
	assert.Equal(t, []string{"--allow-rules", "--allow-usage", "ClusterRole edit", "namespace a"},
		all.beyond(&Allowed{ClusterRoles: []string{"view", "admin"}, Namespaces: []string{"b"}}))
	every := &Allowed{AllClusterRoles: true, Namespaces: []string{"a", "b"}, Rules: true, Usage: true}
	assert.Empty(t, all.beyond(every))
	assert.Equal(t, []string{"--allow-all-cluster-roles"}, every.beyond(all))
}

// memberKubeconfig returns a kubeconfig that leads to a server.
func memberKubeconfig(t *testing.T, server string) []byte {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["m"] = &clientcmdapi.Cluster{Server: server}
	data, err := clientcmd.Write(*config)
	require.NoError(t, err)
	return data
}

// TestJoiner_FindSharing is about a/b-c on the member whose UID is "uid".
func TestJoiner_FindSharing(t *testing.T) {
	const uid = member.MemberUIDAnnotation
	named := func(name, profiles string, annotations ...string) *corev1.Secret {
		secret := sharedSecret(profiles, annotations...)
		secret.Name, secret.UID = name, types.UID("uid-of-"+name)
		return secret
	}
	byHand := named("own", "a/b-c")
	byHand.Data = map[string][]byte{kubeconfigKey: memberKubeconfig(t, "https://elsewhere")}
	for name, test := range map[string]struct {
		own     *corev1.Secret
		others  []runtime.Object
		join    bool
		secret  string
		sharing string
		err     string
	}{
		"there is no Secret of the member": {others: []runtime.Object{named("s", "x/y", uid+"=another")}},
		"the Secret of another profile of the member is used": {others: []runtime.Object{named("s", "x/y,x/z", uid+"=uid")},
			secret: "s", sharing: "x/y,x/z"},
		"but not to join it": {others: []runtime.Object{named("s", "x/y", uid+"=uid")}, join: true,
			err: "joined as ClusterProfile x/y already"},
		"its own, which another has too": {own: named("own", "a/b-c,x/y", uid+"=uid"), secret: "own", sharing: "x/y"},
		"also to join it":                {own: named("own", "a/b-c,x/y", uid+"=uid"), join: true, secret: "own", sharing: "x/y"},
		"its own before that of another": {own: named("own", "a/b-c", uid+"=uid"), others: []runtime.Object{named("a", "x/y", uid+"=uid")},
			secret: "own", sharing: "x/y"},
		"also to join it again": {own: named("own", "a/b-c", uid+"=uid"), others: []runtime.Object{named("a", "x/y", uid+"=uid")}, join: true,
			secret: "own", sharing: "x/y"},
		"one by hand that leads elsewhere": {own: byHand, err: "does not say which cluster it is for, and leads to another address"},
		"one with another key": {own: named("own", "a/b-c", uid+"=uid", member.KeyAnnotation+"=value"),
			err: `under key "value" with context ""`},
		"one of another profile with another key": {others: []runtime.Object{named("s", "x/y", uid+"=uid", member.KeyAnnotation+"=value")},
			err: `under key "value"`},
		"one with a context": {own: named("own", "a/b-c", uid+"=uid", member.ContextAnnotation+"=c"), err: `with context "c"`},
	} {
		t.Run(name, func(t *testing.T) {
			if test.own != nil {
				test.others = append(test.others, test.own)
			}
			j := joinerOf(test.others...)
			j.memberID = "uid"
			o := &Options{Adopt: !test.join, Member: Member{Endpoint: clientcmdapi.Cluster{Server: "https://member"}}}
			secret, err := j.findSharing(t.Context(), o, test.own)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.sharing, written(j.sharing))
			if test.secret == "" {
				assert.Nil(t, secret)
				return
			}
			assert.Equal(t, test.secret, secret.Name)
		})
	}
}
