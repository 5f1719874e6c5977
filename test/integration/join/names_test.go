// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/test/testenv"
)

// secretOf returns the hub's Secret for a ClusterProfile; nil where there is none.
func secretOf(t *testing.T, profile string) *corev1.Secret {
	t.Helper()
	ofMembers := metav1.ListOptions{LabelSelector: "clusterpass.dev/member-kubeconfig"}
	all := testenv.List(t, shared.Hub.Kube(t).CoreV1().Secrets("clusterpass-system"), ofMembers)
	for i := range all.Items {
		if all.Items[i].Annotations["clusterpass.dev/cluster-profile"] == profile {
			return &all.Items[i]
		}
	}
	return nil
}

// joinAs joins a member as a ClusterProfile of another name than its own, until the test ends.
func joinAs(t *testing.T, namespace, name, cluster string) {
	t.Helper()
	t.Cleanup(func() {
		out, err := clusterpass(context.WithoutCancel(t.Context()), "unjoin", name, "--namespace="+namespace, "--member-context="+cluster)
		require.NoError(t, err, out)
	})
	mustClusterpass(t, "join", name, "--namespace="+namespace, "--member-context="+cluster, "--wait=false", "--allow-cluster-roles=view")
}

// ClusterProfiles whose Secrets would share a name.
func TestJoin_SecretNames(t *testing.T) {
	for _, namespace := range []string{"a-b", "a"} {
		testenv.Create(t, shared.Hub.Kube(t).CoreV1().Namespaces(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	}
	joinAs(t, "a-b", "c", "bravelion")
	first := secretOf(t, "a-b/c")
	require.NotNil(t, first)
	assert.Equal(t, "member-a-b-c", first.Name)

	joinAs(t, "a", "b-c", "smartfish")
	second := secretOf(t, "a/b-c")
	require.NotNil(t, second)
	assert.Regexp(t, "^member-a-b-c-[a-z2-7]{10}$", second.Name)
	assert.Equal(t, first.ResourceVersion, secretOf(t, "a-b/c").ResourceVersion, "what is there stays as it is")

	t.Run("joining again finds its own", func(t *testing.T) {
		out := mustClusterpass(t, "join", "b-c", "--namespace=a", "--member-context=smartfish", "--wait=false", "--allow-cluster-roles=view")
		assert.NotContains(t, out, "created")
		assert.NotContains(t, out, "configured")
	})
	t.Run("also when the other has gone", func(t *testing.T) {
		mustClusterpass(t, "unjoin", "c", "--namespace=a-b", "--member-context=bravelion")
		assert.Nil(t, secretOf(t, "a-b/c"))
		out := mustClusterpass(t, "join", "b-c", "--namespace=a", "--member-context=smartfish", "--wait=false", "--allow-cluster-roles=view")
		assert.NotContains(t, out, "created")
		assert.Equal(t, second.Name, secretOf(t, "a/b-c").Name)
	})
}

func TestJoin_LongNames(t *testing.T) {
	for _, length := range []int{240, 250, 253} {
		name := strings.Repeat("n", length)
		joinAs(t, "default", name, "bravelion")
		testenv.Eventually(t, func(context.Context) error {
			answer, err := request(t, name, "work", "view")
			if err != nil {
				return err
			}
			return tryToken(t, answer)
		})
		mustClusterpass(t, "unjoin", name, "--member-context=bravelion")
		assert.Nil(t, secretOf(t, "default/"+name))
	}
}
