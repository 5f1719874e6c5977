// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/testenv"
)

const (
	// What the documentation promises, from the deletion of the grant.
	rightsEndWithin   = time.Second
	tokensEndWithin   = 12 * time.Second
	objectsGoneWithin = 22 * time.Second
	// slack is for a machine that has other work. It is less than what tells one of these bounds from
	// the next.
	slack = 5 * time.Second
)

// inUse uses the token of a grant all the time, and sends when it was first refused for lack of
// rights (403) and when it was first refused altogether (401).
func inUse(t *testing.T, g granted) <-chan [2]time.Time {
	t.Helper()
	ends := make(chan [2]time.Time, 1)
	ctx, cancel := context.WithTimeout(t.Context(), testenv.WaitTimeout)
	t.Cleanup(cancel)
	go func() {
		var ended [2]time.Time
		defer func() { ends <- ended }()
		// Not faster, which would keep the revocation from the processor.
		pace := time.NewTicker(poll)
		defer pace.Stop()
		for ; ctx.Err() == nil; <-pace.C {
			switch err := g.use(ctx); {
			case apierrors.IsForbidden(err) && ended[0].IsZero():
				ended[0] = time.Now()
			case apierrors.IsUnauthorized(err):
				ended[1] = time.Now()
				return
			}
		}
	}()
	return ends
}

// expectRevoked deletes a grant whose token is in use, wants that to end it in time, and returns
// when it was deleted.
func expectRevoked(t *testing.T, g granted) (from time.Time) {
	t.Helper()
	ends, from := inUse(t, g), time.Now()
	deleteGrant(t, g)
	ended := <-ends
	require.NotZero(t, ended[0], "the token was not refused for lack of rights")
	require.NotZero(t, ended[1], "the token was not refused altogether")
	rights, tokens := ended[0].Sub(from), ended[1].Sub(from)
	t.Logf("403 after %s, 401 after %s", rights.Round(time.Millisecond), tokens.Round(time.Millisecond))
	assert.LessOrEqual(t, rights, rightsEndWithin+slack)
	assert.LessOrEqual(t, tokens, tokensEndWithin+slack)
	return from
}

// everything lists what revocation could touch on a cluster, by kind, namespace, name and UID.
func everything(t *testing.T, cluster *testenv.Cluster) map[string]bool {
	t.Helper()
	core, rbac, all := cluster.Kube(t).CoreV1(), cluster.Kube(t).RbacV1(), map[string]bool{}
	for kind, list := range map[string]runtime.Object{
		"Namespace":          testenv.List(t, core.Namespaces(), metav1.ListOptions{}),
		"ServiceAccount":     testenv.List(t, core.ServiceAccounts(""), metav1.ListOptions{}),
		"Secret":             testenv.List(t, core.Secrets(""), metav1.ListOptions{}),
		"ClusterRole":        testenv.List(t, rbac.ClusterRoles(), metav1.ListOptions{}),
		"ClusterRoleBinding": testenv.List(t, rbac.ClusterRoleBindings(), metav1.ListOptions{}),
		"Role":               testenv.List(t, rbac.Roles(""), metav1.ListOptions{}),
		"RoleBinding":        testenv.List(t, rbac.RoleBindings(""), metav1.ListOptions{}),
	} {
		require.NoError(t, meta.EachListItem(list, func(item runtime.Object) error {
			o, err := meta.Accessor(item)
			if err == nil {
				all[fmt.Sprintf("%s %s/%s %s", kind, o.GetNamespace(), o.GetName(), o.GetUID())] = true
			}
			return err
		}))
	}
	return all
}

func untilGone(t *testing.T, g granted) time.Time {
	t.Helper()
	return testenv.Eventually(t, func(ctx context.Context) error {
		left, err := grants(t, g.Namespace).Get(ctx, g.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && left.UID != g.UID {
			return nil
		}
		return errors.Join(fmt.Errorf("grant %s is still there: %v", g.Name, left.Status.Conditions), err)
	})
}

func labelsOf(hubID string, uid types.UID) map[string]string {
	return map[string]string{grant.LabelManagedBy: grant.ManagedBy, grant.LabelHubID: hubID, grant.LabelGrantUID: string(uid)}
}

// lookalikes makes objects on a member that are like those of a grant, but not its own.
func lookalikes(t *testing.T, g granted) {
	t.Helper()
	client := shared.Bravelion.Kube(t)
	for name, labels := range map[string]map[string]string{"of-another-hub": labelsOf("another-hub", g.UID), "of-nobody": nil} {
		named := metav1.ObjectMeta{Name: name, Labels: labels}
		testenv.Create(t, client.CoreV1().Secrets("default"), &corev1.Secret{ObjectMeta: named})
		testenv.Create(t, client.RbacV1().ClusterRoles(), &rbacv1.ClusterRole{ObjectMeta: named})
	}
}

// Deleting a grant ends what is in use.
func TestRevocation(t *testing.T) {
	before := everything(t, shared.Bravelion)
	g := mint(t, "default", "bravelion", "in-use", everyKind)
	other := mint(t, "default", "bravelion", "not-affected", nil)
	ownedByOther := everything(t, shared.Bravelion)
	maps.DeleteFunc(ownedByOther, func(o string, _ bool) bool {
		return !strings.Contains(o, string(other.UID)) && !strings.Contains(o, "not-affected")
	})
	lookalikes(t, g)
	expected := everything(t, shared.Bravelion)
	maps.DeleteFunc(expected, func(o string, _ bool) bool {
		return (strings.Contains(o, string(g.UID)) || strings.Contains(o, "/in-use ")) && !before[o]
	})

	from := expectRevoked(t, g)
	gone := untilGone(t, g).Sub(from)
	t.Logf("everything gone after %s", gone.Round(time.Millisecond))
	assert.LessOrEqual(t, gone, objectsGoneWithin+slack)
	assert.Equal(t, expected, everything(t, shared.Bravelion))
	assert.NoError(t, other.use(t.Context()), "the token of another grant")
	assert.NotEmpty(t, ownedByOther)
}

// The name of a ServiceAccount is kept until no token is accepted.
func TestRevocation_AccountName(t *testing.T) {
	g := mint(t, "default", "bravelion", "kept", nil)
	ends := inUse(t, g)
	deleteGrant(t, g)
	var taken time.Time
	testenv.Eventually(t, func(ctx context.Context) error {
		request := requestFor("bravelion", "kept")
		request.Spec.ClusterRoles[0].Name = "cluster-admin"
		_, err := shared.Hub.Clusterpass(t).MulticlusterV1alpha1().AuthTokenRequests("default").Create(ctx, request, metav1.CreateOptions{})
		taken = time.Now()
		return err
	})
	ended := <-ends
	require.NotZero(t, ended[1], "the old token was not refused")
	assert.LessOrEqual(t, ended[1], taken, "the old token was still accepted when its ServiceAccount's name was given to a new grant")
}

func TestRevocation_ByLabel(t *testing.T) {
	var all []granted
	for i := range 5 {
		g := mint(t, "default", "smartfish", fmt.Sprintf("many-%d", i), nil)
		testenv.Patch(t, grants(t, "default"), g.Name, `{"metadata":{"labels":{"team":"red"}}}`)
		all = append(all, g)
	}
	red := metav1.ListOptions{LabelSelector: "team=red"}
	require.NoError(t, grants(t, "default").DeleteCollection(t.Context(), metav1.DeleteOptions{}, red))
	for _, g := range all {
		untilGone(t, g)
		err := g.use(t.Context())
		assert.True(t, apierrors.IsUnauthorized(err), "a token of %s: %v", g.Name, err)
	}
}

// Deleting the hub's namespace revokes its grants, and ends.
func TestRevocation_NamespaceDeleted(t *testing.T) {
	newNamespace(t, "team-gone")
	g := mint(t, "team-gone", "bravelion", "ns-gone", nil)
	require.NoError(t, shared.Hub.Kube(t).CoreV1().Namespaces().Delete(t.Context(), "team-gone", metav1.DeleteOptions{}))
	untilGone(t, g)
	err := g.use(t.Context())
	assert.True(t, apierrors.IsUnauthorized(err), "%v", err)
	testenv.AwaitGone(t, shared.Hub.Kube(t).CoreV1().Namespaces(), "team-gone")
}

func TestRevocation_ProfileDeleted(t *testing.T) {
	newNamespace(t, "fleet-gone")
	profiles := shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles("fleet-gone")
	require.NoError(t, testenv.Join(t.Context(), shared.Hub, shared.Smartfish, "fleet-gone", "copy"))
	g := mint(t, "default", "copy", "profile-gone", of("fleet-gone"))
	require.NoError(t, profiles.Delete(t.Context(), "copy", metav1.DeleteOptions{}))
	// One of the same name takes its place: it is another cluster.
	testenv.Create(t, profiles, testenv.NewProfile("copy", "test"))
	untilGone(t, g)
	err := g.use(t.Context())
	assert.True(t, apierrors.IsUnauthorized(err), "%v", err)
}

// TestRevocation_EditedProfiles is about whoever may edit a ClusterProfile, or its status, and
// would have tokens outlive their grant.
func TestRevocation_EditedProfiles(t *testing.T) {
	newNamespace(t, "fleet-held")
	profiles := shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles("fleet-held")
	require.NoError(t, testenv.Join(t.Context(), shared.Hub, shared.Bravelion, "fleet-held", "held"))
	patch := func(patch string, subresources ...string) {
		t.Helper()
		testenv.Patch(t, profiles, "held", patch, subresources...)
	}
	held := func(account string) granted {
		t.Helper()
		return mint(t, "default", "held", account, of("fleet-held"))
	}
	unusable := func(ctx context.Context, g granted) error {
		if err := g.use(ctx); err == nil {
			return errors.New("the token works")
		}
		return nil
	}

	t.Run("its access is taken away", func(t *testing.T) {
		g := held("held-access")
		patch(`{"status":{"accessProviders":[]}}`, "status")
		deleteGrant(t, g)
		untilGone(t, g)
		testenv.Eventually(t, func(ctx context.Context) error { return unusable(ctx, g) })
	})
	t.Run("a finalizer keeps it", func(t *testing.T) {
		require.NoError(t, testenv.Join(t.Context(), shared.Hub, shared.Bravelion, "fleet-held", "held"))
		g := held("held-finalizer")
		patch(`{"metadata":{"finalizers":["example.com/held"]}}`)
		require.NoError(t, profiles.Delete(t.Context(), "held", metav1.DeleteOptions{}))
		untilGone(t, g)
		testenv.Eventually(t, func(ctx context.Context) error { return unusable(ctx, g) })
		patch(`{"metadata":{"finalizers":null}}`)
	})
}

// untilHeldUp waits until the condition that says how far a revocation is gives a reason why it is
// not done, with words.
func untilHeldUp(t *testing.T, g granted, reason, words string) {
	t.Helper()
	testenv.Await(t, grants(t, g.Namespace), g.Name, func(live *clusterpassv1alpha1.AuthTokenGrant) error {
		found := meta.FindStatusCondition(live.Status.Conditions, clusterpassv1alpha1.GrantRevoked)
		if found == nil {
			return errors.New("no condition says how far the revocation is")
		}
		if found.Status != metav1.ConditionFalse || found.Reason != reason || !strings.Contains(found.Message, words) {
			return fmt.Errorf("the condition says %s: %s", found.Reason, found.Message)
		}
		return nil
	})
}

func untilUnauthorized(t *testing.T, g granted) time.Time {
	t.Helper()
	return testenv.Eventually(t, func(ctx context.Context) error {
		if err := g.use(ctx); !apierrors.IsUnauthorized(err) {
			return errors.Join(errors.New("the token is still accepted"), err)
		}
		return nil
	})
}

// A member that is down is revoked on when it is back.
func TestRevocation_MemberDown(t *testing.T) {
	g := mint(t, "default", "smartfish", "down", nil)
	require.NoError(t, shared.Smartfish.Kill("kube-apiserver"))
	deleteGrant(t, g)
	untilHeldUp(t, g, clusterpassv1alpha1.GrantReasonMemberFailed, "default/smartfish")
	// Another member's are revoked in time meanwhile.
	other := mint(t, "default", "bravelion", "up", nil)
	expectRevoked(t, other)

	require.NoError(t, shared.Smartfish.Restart(t.Context(), "kube-apiserver"))
	back := time.Now()
	// It may have been revoked before this test knew that the member is back: then 401 is all there is
	// to see.
	refused := testenv.Eventually(t, func(ctx context.Context) error {
		if err := g.use(ctx); !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) {
			return errors.Join(errors.New("the token still works"), err)
		}
		return nil
	})
	ended := untilUnauthorized(t, g)
	t.Logf("after the member was back: refused after %s, 401 after %s",
		refused.Sub(back).Round(time.Millisecond), ended.Sub(back).Round(time.Millisecond))
	assert.LessOrEqual(t, refused.Sub(back), rightsEndWithin+slack)
	assert.LessOrEqual(t, ended.Sub(back), tokensEndWithin+slack)
	untilGone(t, g)
}

// abandonMember is the patch by which an operator lets go of what a grant has on its member.
const abandonMember = `{"metadata":{"annotations":{"` + clusterpassv1alpha1.AnnotationAbandonMember + `":"true"}}}`

// An operator can let go of a member that is gone for ever.
func TestRevocation_AbandonMember(t *testing.T) {
	require.NoError(t, testenv.Join(t.Context(), shared.Hub, shared.Bravelion, "default", "lost"))
	g := mint(t, "default", "lost", "abandoned", nil)
	secrets := shared.Hub.Kube(t).CoreV1().Secrets(testenv.SystemNamespace)
	for _, s := range testenv.List(t, secrets, metav1.ListOptions{}).Items {
		if s.Annotations["clusterpass.dev/cluster-profile"] == "default/lost" {
			require.NoError(t, secrets.Delete(t.Context(), s.Name, metav1.DeleteOptions{}))
		}
	}
	deleteGrant(t, g)
	untilHeldUp(t, g, clusterpassv1alpha1.GrantReasonMemberFailed, "")
	testenv.Patch(t, grants(t, "default"), g.Name, abandonMember)
	untilGone(t, g)
	expectEvents(t, g, "RevocationFailed", "Abandoned")
}

func expectEvents(t *testing.T, g granted, reasons ...string) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		list, err := shared.Hub.Kube(t).EventsV1().Events(g.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		var found []string
		for _, e := range list.Items {
			if e.Regarding.UID == g.UID {
				found = append(found, e.Reason)
			}
		}
		for _, want := range reasons {
			if !slices.Contains(found, want) {
				return fmt.Errorf("events on the grant: %v, want %v", found, reasons)
			}
		}
		return nil
	})
}
