// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/component-base/metrics/testutil"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/fakemember"
)

// objectsOf returns what a grant owns but for the Secret, which a sweep does not list.
func objectsOf(g *v1alpha1.AuthTokenGrant) []v1alpha1.MemberObject {
	return slices.DeleteFunc(grant.AllObjects(g), func(o v1alpha1.MemberObject) bool { return o.Kind == "Secret" })
}

// What is as it should be is left alone.
func TestController_SweepNothing(t *testing.T) {
	f := newFixture(t, fakemember.NewGrant("one"), fakemember.NewGrant("two"))
	before := f.member.Objects(t)
	writes, err := f.sweepOnce(t)
	require.NoError(t, err)
	assert.Empty(t, writes)
	assert.Equal(t, before, f.member.Objects(t))
	assert.Empty(t, f.hub.Actions(), "the hub is not asked either")
	assert.Empty(t, f.told())
}

// What somebody has changed is repaired.
func TestController_Repair(t *testing.T) {
	for name, harm := range map[string]func(*testing.T, *fixture, *v1alpha1.AuthTokenGrant){
		"a ServiceAccount that is gone":     losing("ServiceAccount"),
		"a ClusterRole that is gone":        losing("ClusterRole"),
		"a ClusterRoleBinding that is gone": losing("ClusterRoleBinding"),
		"a Role that is gone":               losing("Role"),
		"a RoleBinding that is gone":        losing("RoleBinding"),
		"a Role with more rights":           changing("Role", func(r *rbacv1.Role) { r.Rules[0].Verbs = []string{"*"} }),
		"a ClusterRole with more rights":    changing("ClusterRole", func(r *rbacv1.ClusterRole) { r.Rules[0].Resources = []string{"*"} }),
		"a ClusterRole of other roles' rules": changing("ClusterRole", func(r *rbacv1.ClusterRole) {
			r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{}}}
		}),
		"a binding of somebody else as well": changing("ClusterRoleBinding", func(b *rbacv1.ClusterRoleBinding) {
			b.Subjects = append(b.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "mallory"})
		}),
		"a binding of another role": changing("RoleBinding", func(b *rbacv1.RoleBinding) { b.RoleRef.Name = "admin" }),
	} {
		t.Run(name, func(t *testing.T) {
			g := fakemember.NewGrant("one")
			f := newFixture(t, g, fakemember.NewGrant("two"))
			harm(t, f, g)
			writes, err := f.sweepOnce(t)
			require.NoError(t, err)
			assert.NotEmpty(t, writes)
			for _, write := range writes {
				assert.NotContains(t, write, "grant-two")
			}
			told := f.told()
			require.Len(t, told, 1)
			assert.True(t, strings.HasPrefix(told[0], "Normal DriftRepaired "), told[0])
			assert.True(t, meta.IsStatusConditionTrue(f.stored(t, g).Status.Conditions, v1alpha1.GrantReady))

			writes, err = f.sweepOnce(t)
			require.NoError(t, err)
			assert.Empty(t, writes, "the next sweep finds nothing")
			assert.Empty(t, f.told())
		})
	}
}

func beingDeleted(g *v1alpha1.AuthTokenGrant) { g.DeletionTimestamp = &metav1.Time{Time: now} }

// hubFails has the hub refuse a verb on grants.
func (f *fixture) hubFails(verb string) {
	f.hub.PrependReactor(verb, "authtokengrants", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewServiceUnavailable("later")
	})
}

func TestController_NotRepaired(t *testing.T) {
	for name, test := range map[string]struct {
		// change is what has become of the grant on the hub; nil: the hub can't be asked about it.
		change func(g *v1alpha1.AuthTokenGrant)
		// seen says that the informers have seen the change.
		seen bool
	}{
		"one that is being deleted":            {beingDeleted, true},
		"one that the member never had all of": {func(g *v1alpha1.AuthTokenGrant) { g.Generation++ }, true},
		"one that has changed, which the informers have not seen": {func(g *v1alpha1.AuthTokenGrant) {
			g.Generation++
			g.Status.ObservedGeneration++
		}, false},
		"one that is being deleted, which the informers have not seen": {beingDeleted, false},
		"one that was replaced by another of its name":                 {func(g *v1alpha1.AuthTokenGrant) { g.UID = "another" }, false},
		"one that a hub can't be asked about":                          {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := fakemember.NewGrant("one")
			f := newFixture(t, g)
			f.lose(t, g, "RoleBinding")
			before := f.member.Objects(t)
			changed := g.DeepCopy()
			if test.change == nil {
				f.hubFails("get")
			} else {
				test.change(changed)
				f.store(t, changed)
			}
			if test.seen {
				f.see(t, changed)
			}
			writes, err := f.sweepOnce(t)
			require.NoError(t, err)
			assert.Empty(t, writes)
			assert.Equal(t, before, f.member.Objects(t))
			assert.Empty(t, fakemember.Writes(f.hub.Actions()))
			assert.Empty(t, f.told())
		})
	}
}

// TestController_SweepFalseLists is about members whose lists leave out, or have, what is not so.
func TestController_SweepFalseLists(t *testing.T) {
	orphan := rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "clusterpass:grant-lost:pods", UID: "invented"}}
	orphan.Labels = map[string]string{grant.LabelHubID: hubID, grant.LabelManagedBy: grant.ManagedBy, grant.LabelGrantUID: "grant-lost"}
	orphans := &rbacv1.ClusterRoleList{Items: []rbacv1.ClusterRole{orphan}}
	for name, test := range map[string]struct {
		lists string
		list  runtime.Object
		// lies is how many lists are, from which on.
		from, lies int
	}{
		"the first leaves all bindings out":  {"clusterrolebindings", &rbacv1.ClusterRoleBindingList{}, 1, 1},
		"each leaves all bindings out":       {"clusterrolebindings", &rbacv1.ClusterRoleBindingList{}, 1, 100},
		"the first leaves all accounts out":  {"serviceaccounts", &corev1.ServiceAccountList{}, 1, 1},
		"the first has an orphan":            {"clusterroles", orphans, 1, 1},
		"the second has an orphan":           {"clusterroles", orphans, 2, 1},
		"the second leaves all bindings out": {"clusterrolebindings", &rbacv1.ClusterRoleBindingList{}, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, fakemember.NewGrant("one"), fakemember.NewGrant("two"))
			before := f.member.Objects(t)
			lists := 0
			f.member.PrependReactor("list", test.lists, func(clienttesting.Action) (bool, runtime.Object, error) {
				lists++
				return lists >= test.from && lists < test.from+test.lies, test.list.DeepCopyObject(), nil
			})
			writes, err := f.sweepOnce(t)
			require.NoError(t, err)
			assert.Empty(t, writes, "nothing is created, changed or removed")
			assert.Equal(t, before, f.member.Objects(t))
			assert.Empty(t, f.told(), "no event says that something was repaired")
			assert.LessOrEqual(t, lists, 2)
		})
	}
}

// A grant of another ClusterProfile is not looked for.
func TestController_SweepOtherProfile(t *testing.T) {
	other := fakemember.NewGrant("other")
	other.Spec.ClusterProfile.UID = "profile-2"
	f := newFixture(t)
	f.update(t, other)
	writes, err := f.sweepOnce(t)
	require.NoError(t, err)
	assert.Empty(t, writes)
}

// A grant that changes while it is repaired is withdrawn.
func TestController_RepairChangedGrant(t *testing.T) {
	g := fakemember.NewGrant("one")
	f := newFixture(t, g)
	f.lose(t, g, "RoleBinding")
	gets := 0
	f.hub.PrependReactor("get", "authtokengrants", func(clienttesting.Action) (bool, runtime.Object, error) {
		if gets++; gets == 1 {
			return false, nil, nil
		}
		return true, nil, apierrors.NewNotFound(grantsGVR.GroupResource(), g.Name)
	})
	_, err := f.sweepOnce(t)
	require.NoError(t, err)
	assert.Equal(t, 2, gets)
	for _, object := range f.member.Objects(t) {
		assert.NotContains(t, object, "rolebindings", "what was repaired is gone with the grant")
	}
	assert.Empty(t, f.told())
}

// A grant that cannot be repaired says so once.
func TestController_RepairFailure(t *testing.T) {
	g := fakemember.NewGrant("one")
	ensured := metav1.Condition{Type: v1alpha1.GrantReady, Status: metav1.ConditionTrue, Reason: v1alpha1.GrantReasonEnsured}
	meta.SetStatusCondition(&g.Status.Conditions, ensured)
	other := fakemember.NewGrant("two")
	f := newFixture(t, g, other)
	f.lose(t, g, "RoleBinding")
	f.lose(t, other, "ServiceAccount")
	words := strings.Repeat("the member's own words, ", 100)
	f.member.PrependReactor("create", "rolebindings", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewInvalid(rbacv1.SchemeGroupVersion.WithKind("RoleBinding").GroupKind(), words, nil)
	})
	for sweep := range 3 {
		_, err := f.sweepOnce(t)
		require.NoError(t, err, "one grant does not stop the others")
		stored := f.stored(t, g)
		f.see(t, stored)
		ready := meta.FindStatusCondition(stored.Status.Conditions, v1alpha1.GrantReady)
		require.NotNil(t, ready)
		assert.Equal(t, metav1.ConditionFalse, ready.Status)
		assert.Equal(t, v1alpha1.GrantReasonMemberFailed, ready.Reason)
		told := slices.DeleteFunc(f.told(), func(e string) bool { return strings.HasPrefix(e, "Normal DriftRepaired ") })
		if sweep > 0 {
			assert.Empty(t, told)
			continue
		}
		require.Len(t, told, 1)
		note, ok := strings.CutPrefix(told[0], "Warning DriftNotRepaired ")
		assert.True(t, ok, told[0])
		assert.LessOrEqual(t, len(note), 1024, "the API takes no longer note")
	}
	assert.True(t, meta.IsStatusConditionTrue(f.stored(t, other).Status.Conditions, v1alpha1.GrantReady))
}

// What belongs to no grant is removed.
func TestController_RemoveOrphans(t *testing.T) {
	kept, lost := fakemember.NewGrant("kept"), fakemember.NewGrant("lost")
	f := newFixture(t, kept)
	before := f.member.Objects(t)
	f.member.Ensure(t, hubID, lost)
	f.member.Ensure(t, "another-hub", fakemember.NewGrant("of-another-hub"))
	ofAnother := slices.DeleteFunc(f.member.Objects(t), func(o string) bool { return !strings.Contains(o, "of-another-hub") })
	require.NotEmpty(t, ofAnother)

	writes, err := f.sweepOnce(t)
	require.NoError(t, err)
	for _, write := range writes {
		assert.Contains(t, write, "lost", "nothing but what belongs to no grant")
	}
	left := f.member.Objects(t)
	assert.Subset(t, left, before)
	assert.Subset(t, left, ofAnother)
	for _, object := range left {
		assert.NotContains(t, strings.Fields(object)[1], "lost")
	}
	told := f.told()
	require.Len(t, told, 1)
	assert.Regexp(t, `^Normal OrphansRemoved \d+ objects .*grant UIDs grant-lost$`, told[0])
}

// updating returns a function that has the hub store what a grant has become, and the informers see
// that.
func updating(change func(*v1alpha1.AuthTokenGrant)) func(*testing.T, *fixture, *v1alpha1.AuthTokenGrant) {
	return func(t *testing.T, f *fixture, g *v1alpha1.AuthTokenGrant) {
		t.Helper()
		change(g)
		f.update(t, g)
	}
}

func TestController_NoOrphans(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *fixture, *v1alpha1.AuthTokenGrant){
		"what belongs to a grant that the informers have not seen": func(t *testing.T, f *fixture, g *v1alpha1.AuthTokenGrant) {
			t.Helper()
			require.NoError(t, f.Grants.Informer().GetIndexer().Delete(g))
		},
		"what belongs to a grant that is being deleted, which is revoked elsewhere": updating(func(g *v1alpha1.AuthTokenGrant) {
			beingDeleted(g)
			g.Spec.ClusterRoles, g.Spec.Roles = nil, nil
		}),
		"what belongs to a grant without, while the hub can't list them": func(t *testing.T, f *fixture, g *v1alpha1.AuthTokenGrant) {
			t.Helper()
			f.forget(t, g)
			f.hubFails("list")
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := fakemember.NewGrant("one")
			f := newFixture(t, g)
			before := f.member.Objects(t)
			change(t, f, g.DeepCopy())
			writes, err := f.sweepOnce(t)
			assert.Equal(t, strings.Contains(name, "can't list"), err != nil, err)
			assert.Empty(t, writes)
			assert.Equal(t, before, f.member.Objects(t))
			assert.Empty(t, f.told())
		})
	}
}

// A sweep removes only so much.
func TestController_MaxRemovals(t *testing.T) {
	f := newFixture(t)
	t.Cleanup(func() { f.left(f.profile.UID, 0) })
	f.MaxRemovals = 2
	lost := fakemember.NewGrant("lost")
	f.member.Ensure(t, hubID, lost)
	all := len(objectsOf(lost))
	writes, err := f.sweepOnce(t)
	require.NoError(t, err)
	assert.Len(t, writes, 2)
	told := f.told()
	require.Len(t, told, 2)
	assert.True(t, strings.HasPrefix(told[1], fmt.Sprintf("Warning OrphansLeft %d more are left", all-2)), told[1])
	assertLeft(t, all-2)

	t.Run("and tells what is left when it fails", func(t *testing.T) {
		f.member.PrependReactor("delete", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewInternalError(errors.New("broken"))
		})
		_, err := f.sweepOnce(t)
		require.ErrorContains(t, err, "could not remove what belongs to no grant")
		assertLeft(t, all-2)
		f.member.ReactionChain = f.member.ReactionChain[1:]
	})
	t.Run("until nothing is left", func(t *testing.T) {
		for range all {
			_, err := f.sweepOnce(t)
			require.NoError(t, err)
		}
		assertLeft(t, 0)
	})
}

func assertLeft(t *testing.T, want int) {
	t.Helper()
	got, err := testutil.GetGaugeMetricValue(orphansLeft)
	require.NoError(t, err)
	assert.InDelta(t, want, got, 0)
}

// A kind that may not be listed stops no sweep.
func TestController_SweepForbiddenKind(t *testing.T) {
	g := fakemember.NewGrant("one")
	f := newFixture(t, g)
	forbidden := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }
	f.member.Answer("/apis/rbac.authorization.k8s.io/v1/clusterroles", forbidden)
	f.lose(t, g, "RoleBinding")
	_, err := f.sweepOnce(t)
	require.NoError(t, err)
	assert.Len(t, f.told(), 1)
}

// uidOf has the member say which cluster it is.
func (f *fixture) uidOf(t *testing.T, uid types.UID) {
	t.Helper()
	require.NoError(t, f.member.Tracker().Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: uid}}))
}

func TestController_SweepNotesTheCluster(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, f *fixture, g *v1alpha1.AuthTokenGrant)
		want   types.UID
	}{
		"on a grant that is found": {change: func(*testing.T, *fixture, *v1alpha1.AuthTokenGrant) {}, want: "a"},
		"on none that is missing":  {change: losing("ServiceAccount")},
		"on none that is another's": {change: changing("ServiceAccount",
			func(a *corev1.ServiceAccount) { a.Labels[grant.LabelGrantUID] = "other" })},
		"on none that says it":          {change: updating(func(g *v1alpha1.AuthTokenGrant) { g.Status.MemberUID = "b" }), want: "b"},
		"on none that is being deleted": {change: updating(beingDeleted)},
	} {
		t.Run(name, func(t *testing.T) {
			g := fakemember.NewGrant("one")
			f := newFixture(t, g)
			f.uidOf(t, "a")
			test.change(t, f, g)
			_, err := f.sweepOnce(t)
			require.NoError(t, err)
			assert.Equal(t, test.want, f.stored(t, g).Status.MemberUID)
		})
	}
}

// Nothing is repaired on another cluster.
func TestController_SweepOtherCluster(t *testing.T) {
	g := fakemember.NewGrant("one")
	f := newFixture(t, g)
	f.uidOf(t, "b")
	g.Status.MemberUID = "a"
	f.update(t, g)
	f.lose(t, g, "ClusterRoleBinding")
	writes, err := f.sweepOnce(t)
	require.NoError(t, err)
	assert.Empty(t, writes)
	ready := meta.FindStatusCondition(f.stored(t, g).Status.Conditions, v1alpha1.GrantReady)
	require.NotNil(t, ready)
	assert.Equal(t, metav1.ConditionFalse, ready.Status)
	assert.Contains(t, ready.Message, "leads to another cluster than the one that has the grant")
}
