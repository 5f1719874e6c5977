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
	inventoryfake "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// TestIsJoined is about whom up leaves as they are: members that somebody, such as make demo, has
// joined on terms of their own.
func TestIsJoined(t *testing.T) {
	const server = "https://127.0.0.1:1"
	profile := testenv.NewProfile("bravelion", "test")
	profile.Namespace = profileNamespace
	profiles := []runtime.Object{profile}
	secret := func(server, profile string) *corev1.Secret {
		kubeconfig, err := clientcmd.Write(clientcmdapi.Config{
			Clusters:       map[string]*clientcmdapi.Cluster{"m": {Server: server}},
			Contexts:       map[string]*clientcmdapi.Context{"m": {Cluster: "m"}},
			CurrentContext: "m",
		})
		require.NoError(t, err)
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
			Namespace: testenv.SystemNamespace, Name: "member-default-bravelion", Labels: map[string]string{member.KubeconfigLabel: "true"},
			Annotations: map[string]string{member.ClusterProfileAnnotation: "default/" + profile},
		}, Data: map[string][]byte{memberKey: kubeconfig}}
	}
	leaving := secret(server, "bravelion")
	leaving.Annotations[member.LeavingAnnotation] = "true"
	for name, test := range map[string]struct {
		profiles, secrets []runtime.Object
		want              bool
	}{
		"one that is joined":                  {profiles, []runtime.Object{secret(server, "bravelion")}, true},
		"one without a ClusterProfile":        {nil, []runtime.Object{secret(server, "bravelion")}, false},
		"one without a Secret":                {profiles, nil, false},
		"one whose Secret is another's":       {profiles, []runtime.Object{secret(server, "smartfish")}, false},
		"one that has moved to other ports":   {profiles, []runtime.Object{secret("https://127.0.0.1:2", "bravelion")}, false},
		"one that somebody began to take out": {profiles, []runtime.Object{leaving}, false},
	} {
		t.Run(name, func(t *testing.T) {
			hub, inventory := fake.NewClientset(test.secrets...), inventoryfake.NewSimpleClientset(test.profiles...)
			joined, err := isJoined(t.Context(), hub, inventory, "bravelion", server)
			require.NoError(t, err)
			assert.Equal(t, test.want, joined)
		})
	}
}
