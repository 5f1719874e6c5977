// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	clusterpassclient "clusterpass.dev/pkg/generated/clientset/versioned/typed/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/testenv"
)

// grants returns the client for the grants in namespace default of the hub.
func grants(t *testing.T) clusterpassclient.AuthTokenGrantInterface {
	t.Helper()
	return shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants("default")
}

func getGrant(t *testing.T, name string) *clusterpassv1alpha1.AuthTokenGrant {
	t.Helper()
	return testenv.Get(t, grants(t), name)
}

// ownedBy lists the objects on a cluster that are labelled as a grant's, but for Secrets, by kind
// and name.
func ownedBy(t *testing.T, cluster *testenv.Cluster, uid types.UID) []clusterpassv1alpha1.MemberObject {
	t.Helper()
	ctx, client := t.Context(), cluster.Kube(t)
	options := metav1.ListOptions{LabelSelector: grant.LabelGrantUID + "=" + string(uid)}
	var found []clusterpassv1alpha1.MemberObject
	add := func(kind string, list any, err error) {
		require.NoError(t, err)
		items := testenv.Must[[]byte](t)(json.Marshal(list))
		var objects metav1.PartialObjectMetadataList
		require.NoError(t, json.Unmarshal(items, &objects))
		for _, o := range objects.Items {
			found = append(found, clusterpassv1alpha1.MemberObject{Kind: kind, Namespace: o.Namespace, Name: o.Name})
		}
	}
	accounts, err := client.CoreV1().ServiceAccounts("").List(ctx, options)
	add("ServiceAccount", accounts, err)
	secrets, err := client.CoreV1().Secrets("").List(ctx, options)
	add("Secret", secrets, err)
	clusterBindings, err := client.RbacV1().ClusterRoleBindings().List(ctx, options)
	add("ClusterRoleBinding", clusterBindings, err)
	clusterRoles, err := client.RbacV1().ClusterRoles().List(ctx, options)
	add("ClusterRole", clusterRoles, err)
	bindings, err := client.RbacV1().RoleBindings("").List(ctx, options)
	add("RoleBinding", bindings, err)
	roles, err := client.RbacV1().Roles("").List(ctx, options)
	add("Role", roles, err)
	return found
}

// A grant records what was granted, and holds no token.
func TestGrant(t *testing.T) {
	user := grantTo(t, "recorded", mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind:view", "in:default"))
	answer := mintFor(t, user, request("bravelion", "recorded", "view"))
	g := getGrant(t, answer.Status.GrantName)

	assert.True(t, strings.HasPrefix(g.Name, "bravelion-recorded-"), g.Name)
	assert.Equal(t, "recorded", g.Spec.Requester.Username)
	assert.Contains(t, g.Spec.Requester.Groups, "system:authenticated")
	assert.NotEmpty(t, g.Spec.ClusterProfile.UID)
	assert.Equal(t, "bravelion", g.Spec.ClusterProfile.Name)
	assert.Equal(t, "recorded", g.Spec.ServiceAccount.Name)
	assert.True(t, meta.IsStatusConditionTrue(g.Status.Conditions, clusterpassv1alpha1.GrantReady))
	assert.EqualValues(t, 1, g.Status.ObservedGeneration)
	assert.GreaterOrEqual(t, g.Status.ExpirationCeiling.Time, answer.Status.ExpirationTimestamp.Time, "the token outlives the ceiling")
	require.NotNil(t, g.Status.AccessProvider)
	assert.Equal(t, "kubeconfig-secretreader", g.Status.AccessProvider.Name)
	assert.Equal(t, g.Status.MemberObjects, ownedBy(t, shared.Bravelion, g.UID), "what the grant says it owns, and what is there")
	stored := string(testenv.Must[[]byte](t)(json.Marshal(g)))
	header, _, _ := strings.Cut(answer.Status.Token, ".")
	assert.NotContains(t, stored, header, "the grant holds a token")
}

// Warm mints write the grant only when its ceiling is too low.
func TestGrant_Ceiling(t *testing.T) {
	r := request("bravelion", "ceiling", "view")
	first := getGrant(t, mintFor(t, shared.Hub.RESTConfig(), r).Status.GrantName)
	mintFor(t, shared.Hub.RESTConfig(), r)
	assert.Equal(t, first.ResourceVersion, getGrant(t, first.Name).ResourceVersion, "a warm mint wrote the grant")
	r.Spec.ExpirationSeconds = ptr.To[int64](12 * 3600)
	answer := mintFor(t, shared.Hub.RESTConfig(), r)
	raised := getGrant(t, first.Name)
	assert.GreaterOrEqual(t, raised.Status.ExpirationCeiling.Time, answer.Status.ExpirationTimestamp.Time, "the token outlives the ceiling")
	r.Spec.ExpirationSeconds = ptr.To[int64](600)
	mintFor(t, shared.Hub.RESTConfig(), r)
	assert.Equal(t, raised.ResourceVersion, getGrant(t, first.Name).ResourceVersion, "a shorter token wrote the grant")
}

// listsSecrets does what tells edit from view: it lists the Secrets of a namespace.
func listsSecrets(ctx context.Context, client kubernetes.Interface) error {
	_, err := client.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{Limit: 1})
	return err
}

// Changing a grant ends its tokens, and never widens them.
func TestGrant_Change(t *testing.T) {
	const name = "changed"
	changer := func(name string) *rest.Config {
		return grantTo(t, name, mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind:view", "bind:edit", "in:default"),
			rbacv1.PolicyRule{APIGroups: []string{"clusterpass.dev"}, Resources: []string{"authtokengrants"}, Verbs: []string{"update"}})
	}
	user := changer("changer")
	viewer := mintFor(t, user, request("bravelion", name, "view"))
	old := testenv.Kube(t, fromKubeconfig(t, viewer))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	widened := make(chan error, 1)
	go func() { widened <- useUntilRefused(ctx, old) }()

	editor := mintFor(t, user, request("bravelion", name, "edit"))
	assert.NoError(t, listsSecrets(t.Context(), testenv.Kube(t, fromKubeconfig(t, editor))), "the new token lacks the new rights")
	select {
	case err := <-widened:
		assert.NoError(t, err)
	case <-time.After(time.Minute):
		assert.Fail(t, "the old token is still accepted")
	}
	g := getGrant(t, editor.Status.GrantName)
	assert.EqualValues(t, 2, g.Generation)
	assert.EqualValues(t, 2, g.Status.ObservedGeneration)
	assert.Equal(t, g.Name, viewer.Status.GrantName)
	assert.Equal(t, g.Status.MemberObjects, ownedBy(t, shared.Bravelion, g.UID), "what the grant says it owns, and what is there")

	narrowed := mintFor(t, user, request("bravelion", name, "view"))
	err := listsSecrets(t.Context(), testenv.Kube(t, fromKubeconfig(t, narrowed)))
	assert.True(t, apierrors.IsForbidden(err), "after edit was taken away, listing Secrets: %v", err)
	_, warnings, err := ask(t.Context(), changer("usurper"), forms[0], request("bravelion", name, "edit"), metav1.CreateOptions{})
	require.NoError(t, err)
	assert.Contains(t, warnings,
		`the earlier tokens of ServiceAccount default/changed, requested by user "changer", have ended: its rights have changed`)
}

// useUntilRefused uses a token of view all the time, until it is refused as such (401). That it may
// ever list Secrets is an error.
func useUntilRefused(ctx context.Context, client kubernetes.Interface) error {
	for ctx.Err() == nil {
		switch err := listsSecrets(ctx, client); {
		case err == nil:
			return errors.New("a token of view could list Secrets while its grant was changed to edit")
		case apierrors.IsUnauthorized(err):
			return nil
		}
	}
	return ctx.Err()
}

// A change that the member refuses loses nothing.
func TestGrant_ChangeRefused(t *testing.T) {
	r := request("bravelion", "kept", "view")
	answer := mintFor(t, shared.Hub.RESTConfig(), r)
	before, g := objects(t, shared.Bravelion), getGrant(t, answer.Status.GrantName)
	for what, test := range map[string]struct {
		change func(*v1alpha1.AuthTokenRequestSpec)
		is     func(error) bool
	}{
		"a role that does not exist": {
			func(s *v1alpha1.AuthTokenRequestSpec) { s.ClusterRoles[0].Name = "no-such-role" },
			apierrors.IsInvalid,
		},
		"rules in a namespace that the member does not let clusterpass use": {
			func(s *v1alpha1.AuthTokenRequestSpec) {
				s.Roles = []v1alpha1.Role{{Namespace: "kube-node-lease-2", Name: "x", Rules: []rbacv1.PolicyRule{
					{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}},
				}}}
			},
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "kube-node-lease-2") },
		},
	} {
		changed := r.DeepCopy()
		test.change(&changed.Spec)
		_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), forms[0], changed, metav1.CreateOptions{})
		assert.True(t, test.is(err), "%s: %v", what, err)
	}
	expectSame(t, before, objects(t, shared.Bravelion))
	assert.Equal(t, g.ResourceVersion, getGrant(t, g.Name).ResourceVersion, "the grant was written")
	_, err := testenv.Kube(t, fromKubeconfig(t, answer)).CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	assert.NoError(t, err, "the token from before does not work any more")
}

// A grant that is being revoked gives no tokens.
func TestGrant_BeingRevoked(t *testing.T) {
	r := request("bravelion", "ending", "view")
	name := mintFor(t, shared.Hub.RESTConfig(), r).Status.GrantName
	require.NoError(t, grants(t).Delete(t.Context(), name, metav1.DeleteOptions{}))
	t.Cleanup(func() { forget(t, name) })
	_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), forms[0], r, metav1.CreateOptions{})
	seconds, _ := apierrors.SuggestsClientDelay(err)
	assert.True(t, apierrors.IsConflict(err), "%v", err)
	assert.NotZero(t, seconds, "Retry-After")
}

// forget makes the hub lose a grant without revoking it, as one does that is restored from an old
// backup. No controller manager is there to do it.
func forget(t *testing.T, name string) {
	t.Helper()
	client := shared.Hub.Clusterpass(t)
	// Not t.Context(): it may have ended by now.
	ctx, of := context.Background(), client.ClusterpassV1alpha1().AuthTokenGrants("default")
	err := of.Delete(ctx, name, metav1.DeleteOptions{})
	if err == nil {
		_, err = of.Patch(ctx, name, types.MergePatchType,
			[]byte(`{"metadata":{"finalizers":null,"annotations":{"`+clusterpassv1alpha1.AnnotationAbandonMember+`":"true"}}}`),
			metav1.PatchOptions{})
	}
	if !apierrors.IsNotFound(err) {
		assert.NoError(t, err)
	}
}

// A grant deleted meanwhile is not resurrected.
func TestGrant_DeletedMeanwhile(t *testing.T) {
	r := request("smartfish", "meanwhile", "view")
	name := grantNameOf(t, r)
	whenCreated(t, shared.Smartfish, "clusterrolebindings", func() error {
		return shared.Hub.Clusterpass(t).ClusterpassV1alpha1().
			AuthTokenGrants("default").Delete(context.Background(), name, metav1.DeleteOptions{})
	})
	before := bindingsAndSecrets(t, shared.Smartfish)
	_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), forms[0], r, metav1.CreateOptions{})
	assert.True(t, apierrors.IsConflict(err), "%v", err)
	assert.ErrorContains(t, err, "revoked or changed meanwhile")
	assert.Equal(t, before, bindingsAndSecrets(t, shared.Smartfish), "left on the member")
	forget(t, name)
}

// A grant changed meanwhile gives no token of its old roles.
func TestGrant_ChangedMeanwhile(t *testing.T) {
	r := request("smartfish", "overtaken", "view")
	first := mintFor(t, shared.Hub.RESTConfig(), r)
	g := getGrant(t, first.Status.GrantName)
	// Whoever mints next has to look at everything again, and is overtaken while at it.
	member := shared.Smartfish.Kube(t)
	require.NoError(t, member.RbacV1().ClusterRoleBindings().Delete(t.Context(), grant.BindingName(g.UID, "view"), metav1.DeleteOptions{}))
	require.NoError(t, member.CoreV1().Secrets("default").Delete(t.Context(), grant.SecretName(g.UID), metav1.DeleteOptions{}))
	overtaking := make(chan error, 1)
	whenCreated(t, shared.Smartfish, "clusterrolebindings", func() error {
		go func() {
			_, _, err := ask(context.Background(), shared.Hub.RESTConfig(), forms[0], request("smartfish", "overtaken", "edit"),
				metav1.CreateOptions{})
			overtaking <- err
		}()
		return untilGeneration(shared.Hub.RESTConfig(), g.Name, 2)
	})
	_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), forms[0], r, metav1.CreateOptions{})
	assert.True(t, apierrors.IsConflict(err), "the request that was overtaken: %v", err)
	assert.NoError(t, <-overtaking, "the request that overtook")
	testenv.Eventually(t, func(context.Context) error {
		after := getGrant(t, g.Name)
		if diff := cmp.Diff(grant.Objects(after), ownedBy(t, shared.Smartfish, g.UID)); diff != "" {
			return errors.New("what the grant owns, and what is there (-owns +is):\n" + diff)
		}
		return nil
	})
}

func untilGeneration(hub *rest.Config, name string, generation int64) error {
	client, err := versioned.NewForConfig(hub)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		g, err := client.ClusterpassV1alpha1().AuthTokenGrants("default").Get(ctx, name, metav1.GetOptions{})
		if err == nil && g.Generation >= generation {
			return nil
		}
	}
	return ctx.Err()
}

// grantNameOf returns the name of the grant that r will have, as a dry run tells it.
func grantNameOf(t *testing.T, r *v1alpha1.AuthTokenRequest) string {
	t.Helper()
	answer, _, err := ask(t.Context(), shared.Hub.RESTConfig(), forms[0], r, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	require.NoError(t, err)
	return answer.Status.GrantName
}

func bindingsAndSecrets(t *testing.T, cluster *testenv.Cluster) []string {
	t.Helper()
	var names []string
	for _, o := range objects(t, cluster) {
		if strings.HasPrefix(o, "clusterrolebindings ") || strings.HasPrefix(o, "secrets ") {
			names = append(names, o)
		}
	}
	return names
}

// A Secret of the same name fences nothing in.
func TestGrant_ForeignSecret(t *testing.T) {
	r := request("bravelion", "swapped", "view")
	g := getGrant(t, mintFor(t, shared.Hub.RESTConfig(), r).Status.GrantName)
	ctx, secrets := t.Context(), shared.Bravelion.Kube(t).CoreV1().Secrets("default")
	secret := testenv.Get(t, secrets, grant.SecretName(g.UID))
	require.NoError(t, secrets.Delete(ctx, secret.Name, metav1.DeleteOptions{}))
	theirs := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secret.Name}}
	testenv.Create(t, secrets, theirs)
	_, _, err := ask(ctx, shared.Hub.RESTConfig(), forms[0], r, metav1.CreateOptions{})
	assert.True(t, apierrors.IsConflict(err), "a token was bound to somebody else's Secret: %v", err)
}
