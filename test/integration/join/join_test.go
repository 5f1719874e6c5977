// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/credential"
	"clusterpass.dev/test/testenv"
)

// getter is what gone uses of a typed client.
type getter[T any] interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (T, error)
}

// gone returns nil where there is no object with that name.
func gone[T any](ctx context.Context, client getter[T], name string) error {
	_, err := client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return errors.Join(errors.New("it is still there"), err)
}

// tokenRequest returns the manifest of an AuthTokenRequest for a ServiceAccount called account.
func tokenRequest(cluster, namespace, account, role string) string {
	return fmt.Sprintf(`{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: AuthTokenRequest, metadata: {namespace: default}, spec: {
targetClusterProfile: {apiGroup: multicluster.x-k8s.io, kind: ClusterProfile, name: %s},
serviceAccountName: %s, serviceAccountNamespace: %s, clusterRoles: [{name: %s}]}}`, cluster, account, namespace, role)
}

// request has kubectl create an AuthTokenRequest for a ServiceAccount of namespace default, and
// returns the answer.
func request(t *testing.T, cluster, account, role string) (*v1alpha1.AuthTokenRequest, error) {
	t.Helper()
	manifest := tokenRequest(cluster, "default", account, role)
	out, err := testenv.Kubectl(t.Context(), shared.kubeconfig, manifest, "create", "-f", "-", "-o", "yaml")
	if err != nil {
		return nil, err
	}
	answer := &v1alpha1.AuthTokenRequest{}
	return answer, yaml.Unmarshal([]byte(out), answer)
}

// mustRequest is request where it has to go well in the end: the server learns of the Secret by a
// watch.
func mustRequest(t *testing.T, cluster, account, role string) (answer *v1alpha1.AuthTokenRequest) {
	t.Helper()
	testenv.Eventually(t, func(context.Context) (err error) {
		answer, err = request(t, cluster, account, role)
		return err
	})
	return answer
}

// clientOf returns a client that uses a kubeconfig.
func clientOf(t *testing.T, kubeconfig []byte) kubernetes.Interface {
	t.Helper()
	return testenv.Kube(t, testenv.Must[*rest.Config](t)(clientcmd.RESTConfigFromKubeConfig(kubeconfig)))
}

// tryToken has the member be asked with the token of an answer, and returns what it says.
func tryToken(t *testing.T, answer *v1alpha1.AuthTokenRequest) error {
	t.Helper()
	_, err := clientOf(t, answer.Status.Kubeconfig).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	return err
}

// Joined members give tokens.
func TestJoin(t *testing.T) {
	for _, name := range []string{"bravelion", "smartfish"} {
		out := joined(t, name, "--allow-cluster-roles=view", "--labels=env=test")
		assert.Contains(t, out, "member: created serviceaccount/clusterpass in clusterpass-system\n")
		assert.Contains(t, out, "hub: created clusterprofile.multicluster.x-k8s.io/"+name+" in default\n")
	}
	for _, name := range []string{"bravelion", "smartfish"} {
		require.NoError(t, tryToken(t, mustRequest(t, name, "work", "view")), name)
	}

	t.Run("a role that the member does not allow is refused by it, even for the hub's admin", func(t *testing.T) {
		_, err := request(t, "bravelion", "root", "cluster-admin")
		require.ErrorContains(t, err, "does not allow clusterpass (not the requester) what this needs")
		require.ErrorContains(t, err, "cluster-admin")
		accounts := shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("default")
		require.NoError(t, gone(t.Context(), accounts, "root"), "nothing is left of it")
	})
	t.Run("a namespace that the member does not allow is refused by it", func(t *testing.T) {
		us := clientOf(t, hubSecret(t).Data[kubeconfigKey])
		_, err := us.CoreV1().Secrets("kube-system").List(t.Context(), metav1.ListOptions{})
		require.True(t, apierrors.IsForbidden(err), err)
		testenv.Get(t, us.CoreV1().Secrets("clusterpass-system"), "clusterpass-credential")
		_, err = us.CoreV1().Secrets("clusterpass-system").Get(t.Context(), "another", metav1.GetOptions{})
		require.True(t, apierrors.IsForbidden(err), err)
	})
	t.Run("joining again changes nothing", func(t *testing.T) {
		before := snapshots(t, shared.Bravelion)
		out := mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--wait=false", "--allow-cluster-roles=view",
			"--labels=env=test")
		assert.NotContains(t, out, "created")
		assert.NotContains(t, out, "configured")
		assert.Equal(t, before, snapshots(t, shared.Bravelion))
	})
	t.Run("no token is printed", func(t *testing.T) {
		assert.NotContains(t, mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--wait=false", "--labels=env=test"), "eyJ")
	})
	t.Run("another cluster can't take its name", func(t *testing.T) {
		before := snapshots(t, shared.Smartfish)
		out, err := clusterpass(t.Context(), "join", "bravelion", "--member-context=smartfish", "--wait=false")
		require.ErrorContains(t, err, "is for another cluster", out)
		require.ErrorContains(t, err, "Nothing was changed on either cluster")
		assert.Equal(t, before, snapshots(t, shared.Smartfish))
	})
	t.Run("nor can the same cluster have another", func(t *testing.T) {
		_, err := clusterpass(t.Context(), "join", "lion", "--member-context=bravelion", "--wait=false")
		require.ErrorContains(t, err, "joined as ClusterProfile default/bravelion already")
	})
	t.Run("nor is it cleaned as the other", func(t *testing.T) {
		before := snapshots(t, shared.Smartfish)
		_, err := clusterpass(t.Context(), "unjoin", "bravelion", "--member-context=smartfish")
		require.ErrorContains(t, err, "is not for this member")
		assert.Equal(t, before, snapshots(t, shared.Smartfish))
	})
	t.Run("what is no longer allowed is taken away", func(t *testing.T) {
		join := []string{"join", "bravelion", "--member-context=bravelion", "--wait=false"}
		mustClusterpass(t, append(join, "--allow-namespaces=default,team-a", "--allow-rules")...)
		roles := shared.Bravelion.Kube(t).RbacV1()
		testenv.Get(t, roles.RoleBindings("team-a"), "clusterpass")
		out := mustClusterpass(t, join...)
		assert.Contains(t, out, "member: deleted rolebinding.rbac.authorization.k8s.io/clusterpass in team-a\n")
		require.NoError(t, gone(t.Context(), roles.RoleBindings("team-a"), "clusterpass"))
		require.NoError(t, gone(t.Context(), roles.ClusterRoleBindings(), "clusterpass:allow-rules"))
	})
}

// Unjoin removes what join has made, and nothing else.
func TestUnjoin(t *testing.T) {
	before := snapshots(t, shared.Bravelion)
	joined(t, "bravelion")
	answer := mustRequest(t, "bravelion", "worker", "view")
	out := mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion", "--dry-run")
	assert.Contains(t, out, "hub: deleted authtokengrant.clusterpass.dev/"+answer.Status.GrantName+" in default (client dry run)\n")
	assert.Contains(t, out, "member: deleted serviceaccount/clusterpass in clusterpass-system (client dry run)\n")
	require.NoError(t, tryToken(t, answer), "a dry run ends no token")

	mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion")
	err := tryToken(t, answer)
	require.True(t, apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err), "%v", err)
	waitNamespaceGone(t, shared.Bravelion, "clusterpass-system")
	assert.Equal(t, before, snapshots(t, shared.Bravelion))

	out = mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion")
	assert.NotContains(t, out, "deleted")
}

// A dry run creates nothing.
func TestJoin_DryRun(t *testing.T) {
	join := []string{"join", "bravelion", "--member-context=bravelion", "--allow-namespaces=default,new"}
	for _, mode := range []string{"client", "server"} {
		before := snapshots(t, shared.Bravelion)
		out := mustClusterpass(t, append(join, "--dry-run="+mode, "--allow-cluster-roles=view,veiw")...)
		assert.Contains(t, out, "warning: the member has no ClusterRole veiw\n", "it may be spelt wrongly")
		assert.NotContains(t, out, "no ClusterRole view")
		assert.Contains(t, out, "member: created namespace/new ("+mode+" dry run)\n")
		assert.Contains(t, out, "hub: created secret/member-default-bravelion in clusterpass-system ("+mode+" dry run)\n")
		assert.Equal(t, before, snapshots(t, shared.Bravelion))
	}
	joined(t, "bravelion")
	for _, mode := range []string{"client", "server"} {
		out := mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--dry-run="+mode)
		assert.NotContains(t, out, "dry run)", "nothing would change")
		assert.Contains(t, out, "member: serviceaccount/clusterpass in clusterpass-system unchanged\n")
		before := snapshots(t, shared.Bravelion)
		mustClusterpass(t, append(join, "--dry-run="+mode, "--allow-rules")...)
		assert.Equal(t, before, snapshots(t, shared.Bravelion))
	}
}

// Join writes the access provider of the plugin.
func TestJoin_AccessProvider(t *testing.T) {
	joined(t, "bravelion", "--consumer-service-account=default/multikueue", "--consumer-cluster-roles=view")
	entry := func() *inventoryv1alpha1.AccessProvider {
		providers := profileOf(t).Status.AccessProviders
		i := slices.IndexFunc(providers, func(p inventoryv1alpha1.AccessProvider) bool { return p.Name == credential.ProviderName })
		if i < 0 {
			return nil
		}
		return &providers[i]
	}
	provider := entry()
	require.NotNil(t, provider)
	assert.Equal(t, shared.Bravelion.Server(), provider.Cluster.Server)
	assert.Equal(t, shared.Bravelion.CA(), provider.Cluster.CertificateAuthorityData)
	require.Len(t, provider.Cluster.Extensions, 1)
	require.Equal(t, credential.ExecExtension, provider.Cluster.Extensions[0].Name)
	asked, err := credential.ParseRequest(provider.Cluster.Extensions[0].Extension.Raw)
	require.NoError(t, err)
	assert.Equal(t, "default/bravelion", asked.Cluster().String())
	assert.Equal(t, "default/multikueue", asked.ServiceAccountNamespace+"/"+asked.ServiceAccountName)
	assert.Equal(t, []v1alpha1.ClusterRole{{Name: "view"}}, asked.ClusterRoles)
	mustRequest(t, "bravelion", "work", "view") // clusterpass itself goes by the other one

	for args, words := range map[string]string{
		"other/multikueue": "which --allow-namespaces does not have",
		"default/multikueue --consumer-cluster-roles=admin": `"admin" for consumers is not among those of --allow-cluster-roles`,
		"multikueue": "is not NAMESPACE/NAME",
	} {
		join := strings.Fields("join bravelion --member-context=bravelion --consumer-service-account=" + args)
		_, err := clusterpass(t.Context(), join...)
		require.ErrorContains(t, err, words)
	}
	mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--wait=false")
	assert.Nil(t, entry(), "joining without it takes it away")
}
