// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryfake "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// TestIsJoined is about whom up leaves as they are: members that somebody, such as make demo, has
// joined on terms of their own.
func TestIsJoined(t *testing.T) {
	const server = "https://127.0.0.1:1"
	profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Namespace: profileNamespace, Name: "bravelion"}}
	secret := func(server string, annotations map[string]string) runtime.Object {
		kubeconfig, err := clientcmd.Write(clientcmdapi.Config{
			Clusters:       map[string]*clientcmdapi.Cluster{"m": {Server: server}},
			Contexts:       map[string]*clientcmdapi.Context{"m": {Cluster: "m"}},
			CurrentContext: "m",
		})
		require.NoError(t, err)
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: testenv.SystemNamespace, Name: "member-default-bravelion", Labels: map[string]string{member.KubeconfigLabel: "true"}, Annotations: annotations,
			},
			Data: map[string][]byte{memberKey: kubeconfig},
		}
	}
	ofBravelion := map[string]string{member.ClusterProfileAnnotation: profileNamespace + "/bravelion"}
	for name, test := range map[string]struct {
		profiles, secrets []runtime.Object
		want              bool
	}{
		"one that is joined":                  {[]runtime.Object{profile}, []runtime.Object{secret(server, ofBravelion)}, true},
		"one without a ClusterProfile":        {nil, []runtime.Object{secret(server, ofBravelion)}, false},
		"one without a Secret":                {[]runtime.Object{profile}, nil, false},
		"one whose Secret is another's":       {[]runtime.Object{profile}, []runtime.Object{secret(server, map[string]string{member.ClusterProfileAnnotation: "default/smartfish"})}, false},
		"one that has moved to other ports":   {[]runtime.Object{profile}, []runtime.Object{secret("https://127.0.0.1:2", ofBravelion)}, false},
		"one that somebody began to take out": {[]runtime.Object{profile}, []runtime.Object{secret(server, map[string]string{member.ClusterProfileAnnotation: "default/bravelion", member.LeavingAnnotation: "true"})}, false},
	} {
		t.Run(name, func(t *testing.T) {
			joined, err := isJoined(t.Context(), fake.NewClientset(test.secrets...), inventoryfake.NewSimpleClientset(test.profiles...), "bravelion", server)
			require.NoError(t, err)
			assert.Equal(t, test.want, joined)
		})
	}
}
