// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// theirs is the cluster manager of the profiles that are adopted here.
const theirs = "open-cluster-management"

// managed creates a ClusterProfile as Open Cluster Management does, until the test ends. The access
// provider in its status is one that the hub is not configured for.
func managed(t *testing.T, namespace, name string) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	if namespace != "default" {
		namespaces := shared.Hub.Kube(t).CoreV1().Namespaces()
		testenv.Create(t, namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
		t.Cleanup(func() {
			require.NoError(t, namespaces.Delete(context.WithoutCancel(t.Context()), namespace, metav1.DeleteOptions{}))
			waitNamespaceGone(t, shared.Hub, namespace)
		})
	}
	profiles := shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles(namespace)
	profile := testenv.NewProfile(name, theirs)
	profile.Labels = map[string]string{"open-cluster-management.io/cluster-name": name, inventoryv1alpha1.LabelClusterManagerKey: theirs}
	profile = testenv.Create(t, profiles, profile)
	t.Cleanup(func() {
		require.NoError(t, profiles.Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}), "unjoin has deleted it")
	})
	profile.Status.Version.Kubernetes = "v1.37.2"
	profile.Status.AccessProviders = []inventoryv1alpha1.AccessProvider{{
		Name: theirs, Cluster: clientcmdv1.Cluster{Server: "https://cluster-proxy.example.com/" + name},
	}}
	return testenv.UpdateStatus(t, profiles, profile)
}

// unwritten fails the test if anybody has written to a ClusterProfile since it was seen.
func unwritten(t *testing.T, profile *inventoryv1alpha1.ClusterProfile) {
	t.Helper()
	now := testenv.Get(t, shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles(profile.Namespace), profile.Name)
	assert.Equal(t, profile.ResourceVersion, now.ResourceVersion, "somebody has written to ClusterProfile %s/%s", now.Namespace, now.Name)
}

// adopted adopts a ClusterProfile for bravelion until the test ends, and returns what that prints.
func adopted(t *testing.T, profile *inventoryv1alpha1.ClusterProfile, args ...string) string {
	t.Helper()
	of := []string{profile.Name, "--namespace=" + profile.Namespace, "--member-context=bravelion", longTimeout}
	t.Cleanup(func() {
		unjoin := append([]string{"unjoin", "--cluster-manager=" + theirs}, of...)
		out, err := clusterpass(context.WithoutCancel(t.Context()), unjoin...)
		require.NoError(t, err, out)
	})
	return mustClusterpass(t, append(append([]string{"join"}, of...), append(args, "--adopt")...)...)
}

// requestFor is mustRequest for a ClusterProfile of any namespace, by a user with a kubeconfig.
func requestFor(t *testing.T, kubeconfig, namespace, name, account string) *v1alpha1.AuthTokenRequest {
	t.Helper()
	answer := &v1alpha1.AuthTokenRequest{}
	testenv.Eventually(t, func(ctx context.Context) error {
		manifest := requestIn(namespace, name, account)
		out, err := testenv.Kubectl(ctx, kubeconfig, manifest, "create", "--validate=ignore", "-f", "-", "-o", "yaml")
		if err != nil {
			return err
		}
		return yaml.Unmarshal([]byte(out), answer)
	})
	return answer
}

// requestIn is tokenRequest for a ClusterProfile of another namespace.
func requestIn(namespace, name, account string) string {
	return strings.Replace(tokenRequest(name, "default", account, "view"), ", name: "+name, ", namespace: "+namespace+", name: "+name, 1)
}

// An ordinary user gets a token for a ClusterProfile that nobody but its manager writes to.
func TestJoin_Adopt(t *testing.T) {
	before := snapshots(t, shared.Bravelion)
	profile := managed(t, "default", "bravelion")
	user := as(t, shared.Hub, "adele", rule("multicluster.x-k8s.io", "authtokenrequests", "create"),
		rule("multicluster.x-k8s.io", "clusterprofiles/token", "create"),
		rule("multicluster.x-k8s.io", "clusterprofiles", "bind:view", "in:default"))

	join := []string{"join", "bravelion", "--member-context=bravelion", "--adopt"}
	for _, dryRun := range []string{"client", "server"} {
		all := snapshots(t, shared.Bravelion)
		out := mustClusterpass(t, append(join, "--dry-run="+dryRun)...)
		assert.Contains(t, out, "hub: created secret/member-default-bravelion in clusterpass-system ("+dryRun+" dry run)\n")
		assert.Equal(t, all, snapshots(t, shared.Bravelion))
	}

	// It takes no right to write ClusterProfiles.
	admin := as(t, shared.Hub, "adopter", rule("multicluster.x-k8s.io", "clusterprofiles", "get"), rule("", "namespaces", "get"),
		rule("", "secrets", "get", "list", "create", "patch", "delete"), rule("clusterpass.dev", "authtokengrants", "list", "delete"))
	out := adopted(t, profile, "--kubeconfig="+admin, "--member-kubeconfig="+shared.kubeconfig)
	assert.Contains(t, out, "hub: clusterprofile default/bravelion is adopted.")
	assert.Equal(t, map[string]string{
		member.ClusterProfileAnnotation: "default/bravelion",
		member.MemberUIDAnnotation:      string(testenv.Get(t, shared.Bravelion.Kube(t).CoreV1().Namespaces(), "kube-system").UID),
	}, hubSecret(t).Annotations)
	answer := requestFor(t, user, "default", "bravelion", "ordinary")
	require.NoError(t, tryToken(t, answer))
	unwritten(t, profile)

	t.Run("adopting it again changes nothing", func(t *testing.T) {
		before := snapshots(t, shared.Bravelion)
		mustClusterpass(t, join...)
		assert.Equal(t, before, snapshots(t, shared.Bravelion))
	})
	t.Run("its credential is restored", func(t *testing.T) {
		secrets := shared.Bravelion.Kube(t).CoreV1().Secrets("clusterpass-system")
		require.NoError(t, secrets.Delete(t.Context(), member.CredentialSecret, metav1.DeleteOptions{}))
		mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--credential-only") // which does not wait for health
		testenv.Get(t, secrets, member.CredentialSecret)
		require.NoError(t, tryToken(t, requestFor(t, user, "default", "bravelion", "ordinary")))
		unwritten(t, profile)
	})
	t.Run("unjoin leaves it to its manager", func(t *testing.T) {
		out := mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion", longTimeout)
		assert.Contains(t, out, `hub: clusterprofile default/bravelion stays: it belongs to the cluster manager "open-cluster-management"`)
		unwritten(t, profile)
		require.Error(t, tryToken(t, answer))
		after := snapshots(t, shared.Bravelion)
		assert.Equal(t, before[1], after[1], "unjoin returns when the member's namespace is gone")
		again := []string{"unjoin", "bravelion", "--member-context=bravelion"}
		_, err := clusterpass(t.Context(), again...)
		require.ErrorContains(t, err, "no Secret names it: it is not adopted. To end what is left of its grants and on its member "+
			"all the same, add --cluster-manager="+theirs)
		assert.Contains(t, mustClusterpass(t, append(again, "--cluster-manager="+theirs)...), "member: nothing there is this hub's\n")
		for object := range after[0] {
			assert.False(t, strings.HasPrefix(object, "secrets clusterpass-system/member-") || strings.HasPrefix(object, "authtokengrants "), object)
		}
	})
}

// Nothing is adopted that is not there, is ours, or is for another cluster.
func TestJoin_AdoptRefusals(t *testing.T) {
	profile := managed(t, "default", "bravelion")
	adopt := []string{"join", "bravelion", "--member-context=bravelion", "--wait=false"}
	refused := func(t *testing.T, want string, args ...string) {
		t.Helper()
		before := snapshots(t, shared.Bravelion)
		out, err := clusterpass(t.Context(), args...)
		require.ErrorContains(t, err, want, out)
		assert.Equal(t, before, snapshots(t, shared.Bravelion))
	}
	t.Run("without the flag", func(t *testing.T) {
		refused(t, `belongs to the cluster manager "open-cluster-management", not to "clusterpass"; see --cluster-manager. `+
			"To use it and leave it to its manager, add --adopt", adopt...)
	})
	adopt = append(adopt, "--adopt")
	for _, flag := range []string{
		"--labels=a=b", "--member-id=a", "--taint=a:NoSelect", "--consumer-service-account=default/work", "--consumer-cluster-roles=view",
		"--cluster-manager=" + theirs,
	} {
		t.Run("with "+flag, func(t *testing.T) {
			name, _, _ := strings.Cut(flag, "=")
			refused(t, name+" says what join writes to the ClusterProfile: with --adopt it writes nothing there", append(adopt, flag)...)
		})
	}
	t.Run("one that is not there", func(t *testing.T) {
		refused(t, "there is no ClusterProfile default/another", "join", "another", "--member-context=bravelion", "--adopt")
	})
	t.Run("one that says that it is for another cluster", func(t *testing.T) {
		profiles := clusterProfiles(t)
		testenv.Patch(t, profiles, "bravelion", `{"metadata":{"annotations":{"`+member.MemberUIDAnnotation+`":"another"}}}`)
		refused(t, "hub: ClusterProfile default/bravelion is for another cluster", adopt...)
		testenv.Patch(t, profiles, "bravelion", `{"metadata":{"annotations":{"`+member.MemberUIDAnnotation+`":null}}}`)
	})
	t.Run("one that is adopted for another cluster", func(t *testing.T) {
		adopted(t, profile, "--wait=false")
		refused(t, "hub: ClusterProfile default/bravelion is for another cluster",
			"join", "bravelion", "--member-context=smartfish", "--adopt")
		_, err := clusterpass(t.Context(), "unjoin", "bravelion", "--member-context=smartfish")
		require.ErrorContains(t, err, "ClusterProfile default/bravelion is not for this member")
	})
	t.Run("one that join has made", func(t *testing.T) {
		joined(t, "smartfish")
		refused(t, `ClusterProfile default/smartfish is clusterpass's own (its cluster manager is "clusterpass")`,
			"join", "smartfish", "--member-context=smartfish", "--adopt")
	})
}

// A Secret of a member is for each of its ClusterProfiles that join has named there, and for no
// other.
func TestJoin_AdoptTwice(t *testing.T) {
	first, second := managed(t, "default", "bravelion"), managed(t, "fleet", "bravelion")
	tenants := managed(t, "tenant", "bravelion")
	adopted(t, first, "--allow-cluster-roles=view,edit", "--allow-namespaces=default,team-a")
	secret := hubSecret(t)
	onMember := snapshot(t, shared.Bravelion)

	again := []string{"join", "bravelion", "--namespace=fleet", "--member-context=bravelion", "--adopt"}
	t.Run("without --adopt the second is refused", func(t *testing.T) {
		_, err := clusterpass(t.Context(), "join", "other", "--namespace=fleet", "--member-context=bravelion")
		require.ErrorContains(t, err, "this member is joined as ClusterProfile default/bravelion already")
	})
	t.Run("what the first allows is not taken away", func(t *testing.T) {
		_, err := clusterpass(t.Context(), append(again, "--allow-cluster-roles=view")...)
		require.ErrorContains(t, err, "member: ClusterProfile default/bravelion has it, too, "+
			"and this would no longer allow: ClusterRole edit, namespace team-a.")
		require.ErrorContains(t, err, "Nothing was changed on either cluster")
	})
	t.Run("a dry run names nobody", func(t *testing.T) {
		out := mustClusterpass(t, append(again, "--dry-run=server")...)
		assert.Contains(t, out, "hub: configured secret/member-default-bravelion in clusterpass-system "+
			"for clusterprofile fleet/bravelion, too (server dry run)\n")
		assert.Equal(t, secret.ResourceVersion, hubSecret(t).ResourceVersion)
	})

	adopted(t, second)
	assert.Equal(t, "default/bravelion,fleet/bravelion", hubSecret(t).Annotations[member.ClusterProfileAnnotation])
	assert.Equal(t, secret.Data, hubSecret(t).Data)
	assert.Equal(t, onMember, snapshot(t, shared.Bravelion), "the member stays as it is")
	firstToken := requestFor(t, shared.kubeconfig, "default", "bravelion", "first")
	secondToken := requestFor(t, shared.kubeconfig, "fleet", "bravelion", "second")
	require.NoError(t, tryToken(t, firstToken))
	require.NoError(t, tryToken(t, secondToken))
	for _, profile := range []*inventoryv1alpha1.ClusterProfile{first, second} {
		mustClusterpass(t, "join", "bravelion", "--namespace="+profile.Namespace, "--member-context=bravelion", "--credential-only",
			"--wait=false")
		unwritten(t, profile)
	}

	t.Run("a tenant's ClusterProfile of that name gets nothing, whatever it says of itself", func(t *testing.T) {
		expectNothingFor(t, tenants)
	})
	t.Run("the address of one is not taken from the other", func(t *testing.T) {
		before := hubSecret(t).Data
		out := mustClusterpass(t, append(again, "--member-server=https://elsewhere.example.com", "--wait=false")...)
		assert.Contains(t, out, "warning: secret/member-default-bravelion in clusterpass-system keeps its address and CA, "+
			"which ClusterProfile default/bravelion uses, too\n")
		assert.Equal(t, before, hubSecret(t).Data)
	})
	t.Run("wider for one is wider for both", func(t *testing.T) {
		out := mustClusterpass(t, append(again, "--allow-cluster-roles=view,edit,admin", "--allow-namespaces=default,team-a")...)
		assert.Contains(t, out, "member: configured clusterrole.rbac.authorization.k8s.io/clusterpass\n")
		assert.NotContains(t, out, "hub: configured")
	})

	out := mustClusterpass(t, "unjoin", "bravelion", "--namespace=fleet", "--member-context=bravelion", longTimeout)
	assert.Contains(t, out, "hub: marked clusterprofile fleet/bravelion of secret/member-default-bravelion in clusterpass-system as leaving\n")
	assert.Contains(t, out, "hub: configured secret/member-default-bravelion in clusterpass-system "+
		"for ClusterProfile default/bravelion alone\n")
	assert.Contains(t, out, "member: left as it is; ClusterProfile default/bravelion needs it\n")
	unwritten(t, second)
	unwritten(t, first)
	require.Error(t, tryToken(t, secondToken), "its tokens have ended")
	require.NoError(t, tryToken(t, firstToken), "those of the other have not")
	assert.Equal(t, "default/bravelion", hubSecret(t).Annotations[member.ClusterProfileAnnotation])
	assert.NotContains(t, hubSecret(t).Annotations, member.LeavingProfilesAnnotation)
	_, err := testenv.Kubectl(t.Context(), shared.kubeconfig, requestIn("fleet", "bravelion", "second"), "create", "-f", "-", "-o", "name")
	require.ErrorContains(t, err, "(ServiceUnavailable)")

	out = mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion", longTimeout)
	assert.Contains(t, out, "hub: deleted secret/member-default-bravelion in clusterpass-system\n")
	assert.Contains(t, out, "member: deleted serviceaccount/clusterpass in clusterpass-system\n")
	unwritten(t, first)
}

// expectNothingFor has the owner of a ClusterProfile say in it all that the adopted ones say, and
// name their Secret. Not even the hub's admin gets a token for it.
func expectNothingFor(t *testing.T, profile *inventoryv1alpha1.ClusterProfile) {
	t.Helper()
	profiles := shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles(profile.Namespace)
	uid := hubSecret(t).Annotations[member.MemberUIDAnnotation]
	testenv.Patch(t, profiles, profile.Name, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q,%q:"default/bravelion"},"labels":{
		"multicluster.x-k8s.io/inventory-member-id":%q}}}`, member.MemberUIDAnnotation, uid, member.ClusterProfileAnnotation, uid))
	create := func() error {
		manifest := requestIn(profile.Namespace, profile.Name, "hostile")
		_, err := testenv.Kubectl(t.Context(), shared.kubeconfig, manifest, "create", "-f", "-", "-o", "name")
		return err
	}
	require.ErrorContains(t, create(), "(ServiceUnavailable)")
	testenv.Patch(t, profiles, profile.Name, `{"status":{"accessProviders":[{"name":"kubeconfig-secretreader","cluster":{
		"server":"https://member","extensions":[
			{"name":"client.authentication.k8s.io/exec","extension":{"name":"member-default-bravelion"}}]}}]}}`, "status")
	require.ErrorContains(t, create(), "it is not for this cluster")
	require.NoError(t, gone(t.Context(), shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("default"), "hostile"))
}

// TestUnjoin_OneOfTwo takes one of two ClusterProfiles of a member out while users ask for tokens
// of both as fast as they can.
func TestUnjoin_OneOfTwo(t *testing.T) {
	first, second := managed(t, "default", "bravelion"), managed(t, "fleet", "bravelion")
	adopted(t, first)
	adopted(t, second)
	answer := requestFor(t, shared.kubeconfig, "default", "bravelion", "stays")
	requestFor(t, shared.kubeconfig, "fleet", "bravelion", "leaves")

	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for asker := range 4 {
		asking.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_, _ = testenv.Kubectl(ctx, shared.kubeconfig, requestIn("fleet", "bravelion", fmt.Sprintf("leaves-%d-%d", asker, i%3)),
					"create", "--validate=ignore", "-f", "-", "-o", "name")
			}
		})
	}
	out, err := clusterpass(t.Context(), "unjoin", "bravelion", "--namespace=fleet", longTimeout)
	stop()
	asking.Wait()
	require.NoError(t, err, out)
	grants := shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants("default")
	testenv.Eventually(t, func(ctx context.Context) error {
		left, err := grants.List(ctx, metav1.ListOptions{FieldSelector: "spec.clusterProfile.namespace=fleet"})
		if err == nil && len(left.Items) > 0 {
			err = fmt.Errorf("%d grants are left, the first is %+v", len(left.Items), left.Items[0].Status)
		}
		return err
	})
	accounts := testenv.List(t, shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("default"), metav1.ListOptions{})
	for i := range accounts.Items {
		assert.NotContains(t, accounts.Items[i].Name, "leaves")
	}
	require.NoError(t, tryToken(t, answer))
	unwritten(t, first)
	unwritten(t, second)
}
