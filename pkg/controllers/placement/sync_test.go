// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/explain"
	ours "clusterpass.dev/pkg/generated/clientset/versioned/fake"
	"clusterpass.dev/pkg/scheduling"
)

// newChoice returns a fixture with a placement that has chosen the better one of two clusters, and
// has seen that.
func newChoice(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t, "a", "b")
	f.score("a", 20)
	f.score("b", 10)
	f.place(byDisk("best", 1))
	f.run()
	f.see()
	f.run()
	require.Equal(t, []string{"a"}, f.chosen("best"))
	return f
}

// A decision changes back before it was seen.
func TestController_ChangesBackUnseen(t *testing.T) {
	f := newChoice(t)
	f.score("b", 30)
	f.run()
	require.Equal(t, []string{"b"}, f.chosen("best"))
	f.score("b", 10)
	require.Equal(t, unseenPeriod, f.run(), "nothing can be written before the last write is seen")
	require.Equal(t, []string{"b"}, f.chosen("best"))
	f.see()
	f.run()
	assert.Equal(t, []string{"a"}, f.chosen("best"))
	assert.Equal(t, int32(1), f.status["best"].Status.NumberOfSelectedClusters)
}

// What never comes back is not waited for without end.
func TestController_UnseenLimit(t *testing.T) {
	f := newChoice(t)
	f.score("b", 30)
	f.run()
	f.score("b", 10)
	f.run()
	f.clock.Step(unseenLimit)
	f.enqueue(cache.NewObjectName(team, "best"))
	f.run()
	require.Equal(t, []string{"b"}, f.chosen("best"), "the cache still has what is wanted")
	f.see()
	f.run()
	assert.Equal(t, []string{"a"}, f.chosen("best"))
}

// The event of a write is no pass.
func TestController_EventOfItsOwnWrite(t *testing.T) {
	f := newChoice(t)
	f.score("b", 30)
	f.run()
	result := f.states[cache.NewObjectName(team, "best")].result
	version := f.version
	f.see()
	require.Positive(t, f.queue.Len())
	f.run()
	assert.Same(t, result, f.states[cache.NewObjectName(team, "best")].result)
	assert.Equal(t, version, f.version, "nothing is written")
}

// What others do to a slice is put right.
func TestController_RepairSlices(t *testing.T) {
	for name, others := range map[string]func(f *fixture, slice *inventoryv1alpha1.PlacementDecision){
		"its clusters": func(_ *fixture, slice *inventoryv1alpha1.PlacementDecision) { slice.Decisions = nil },
		"its labels":   func(_ *fixture, slice *inventoryv1alpha1.PlacementDecision) { slice.Labels = nil },
		"its writer": func(_ *fixture, slice *inventoryv1alpha1.PlacementDecision) {
			slice.Annotations = map[string]string{v1alpha1.AnnotationDecisionWriter: "mallory"}
		},
		"its deletion": func(f *fixture, slice *inventoryv1alpha1.PlacementDecision) { delete(f.slices, slice.Name) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newChoice(t)
			slice := f.slices["best-decision-1"].DeepCopy()
			slice.ResourceVersion = f.next()
			f.slices[slice.Name] = slice
			others(f, slice)
			f.see()
			f.run()
			require.Equal(t, []string{"a"}, f.chosen("best"))
			assert.Equal(t, map[string]string{
				inventoryv1alpha1.DecisionKeyLabel: "best", inventoryv1alpha1.DecisionIndexLabel: "0", inventoryv1alpha1.PlacementKeyLabel: "best",
				v1alpha1.LabelDecisionGroupIndex: "0", v1alpha1.LabelDecisionGroupName: "",
			}, f.slices["best-decision-1"].Labels)
			assert.Equal(t, map[string]string{v1alpha1.AnnotationDecisionWriter: controller}, f.slices["best-decision-1"].Annotations)
		})
	}
	t.Run("not yet seen, it is left alone until it is", func(t *testing.T) {
		f := newChoice(t)
		f.slices["best-decision-1"].ResourceVersion = f.next()
		f.score("b", 30)
		require.Equal(t, unseenPeriod, f.run())
		require.Equal(t, []string{"a"}, f.chosen("best"))
		f.see()
		f.run()
		assert.Equal(t, []string{"b"}, f.chosen("best"))
	})
}

// A mistake keeps the last good decision.
func TestController_Mistake(t *testing.T) {
	f := newChoice(t)
	wrong := evaluating("best", "nonsense(")
	wrong.Generation = 1
	f.place(wrong)
	f.run()
	assert.Equal(t, []string{"a"}, f.chosen("best"))
	is := f.status["best"].Status
	assert.True(t, meta.IsStatusConditionTrue(is.Conditions, v1alpha1.PlacementMisconfigured), "%+v", is)
	assert.Contains(t, meta.FindStatusCondition(is.Conditions, v1alpha1.PlacementSatisfied).Message, "the last good decision stays")
}

// TestController_Shares has one team's expressions take more than their share.
func TestController_Shares(t *testing.T) {
	f := newFixture(t, "a")
	f.place(evaluating("dear", `clusterProfile.metadata.name == "a"`))
	f.run()
	require.Equal(t, []string{"a"}, f.chosen("dear"))

	f.shares.leave(team, f.clock.Now().Add(-time.Minute), f.clock.Now())
	f.place(evaluating("later", `clusterProfile.metadata.name == "a"`))
	f.place(byDisk("cheap", 1))
	f.score("a", 10)
	f.profile("a", func(p *inventoryv1alpha1.ClusterProfile) { p.Labels = map[string]string{"new": ""} })
	wait := f.run()
	assert.Equal(t, []string{"a"}, f.chosen("cheap"), "what has no expressions does not wait")
	assert.Empty(t, f.chosen("later"))
	assert.False(t, f.states[cache.NewObjectName(team, "later")].compiled, "to compile is work, too")
	assert.Greater(t, wait, 2*time.Minute)
	assert.True(t, f.states[cache.NewObjectName(team, "dear")].pending.pass, "a change that was not looked at may touch it")

	f.clock.Step(wait)
	f.queue.Add(cache.NewObjectName(team, "later"))
	f.run()
	assert.Equal(t, []string{"a"}, f.chosen("later"))
}

// A restart goes on from what was decided.
func TestController_Restart(t *testing.T) {
	before := newChoice(t)
	after := newFixture(t, "a", "b")
	after.version, after.slices, after.status = before.version, before.slices, before.status
	after.see()
	after.score("a", 20)
	after.score("b", 10)
	placement := after.status["best"].DeepCopy()
	require.NoError(t, after.Placements.Informer().GetIndexer().Add(placement))
	require.NoError(t, after.restore())
	after.placementChanged(placement)
	version := after.version
	after.run()
	assert.Equal(t, version, after.version, "nothing is written")
	assert.Empty(t, after.events.Events, "nothing has moved")
}

// TestController_RestoreForged has somebody write a slice while no controller runs.
func TestController_RestoreForged(t *testing.T) {
	placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: "any"}}
	placement.Spec.NumberOfClusters = ptr.To[int32](1)
	v1alpha1.SetDefaults_Placement(placement)
	before := newFixture(t, "a", "b")
	before.place(placement)
	before.run()
	before.see()
	before.run()
	require.Equal(t, []string{"a"}, before.chosen("any"))

	after := newFixture(t, "a", "b")
	after.version, after.slices, after.status = before.version, before.slices, before.status
	for _, slice := range after.slices {
		slice.Decisions[0].ClusterProfileRef.Name = "b"
		slice.Annotations[v1alpha1.AnnotationDecisionWriter] = "mallory"
		slice.ResourceVersion = after.next()
	}
	after.see()
	placement = after.status["any"].DeepCopy()
	require.NoError(t, after.Placements.Informer().GetIndexer().Add(placement))
	require.NoError(t, after.restore())
	after.placementChanged(placement)
	after.run()
	assert.Equal(t, []string{"a"}, after.chosen("any"), "what somebody else wrote is not what was decided")
	require.Len(t, after.events.Events, 1)
	assert.Contains(t, <-after.events.Events, "new: team/a; no longer: none", "nor does the event name it")
	for _, slice := range after.slices {
		assert.Equal(t, controller, slice.Annotations[v1alpha1.AnnotationDecisionWriter])
	}
}

func TestController_Enqueue(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(f *fixture)
		want    []string
	}{
		"a label wakes those that select by it": {func(f *fixture) { f.profile("a", labelled("slow")) }, []string{"fast", "slow"}},
		"a score wakes those that weigh it":     {func(f *fixture) { f.score("a", 90) }, []string{"best"}},
		"a cluster that goes down wakes those that may select it": {func(f *fixture) {
			f.profile("a", func(profile *inventoryv1alpha1.ClusterProfile) {
				labelled("fast")(profile)
				profile.Status.Conditions[0].Status = metav1.ConditionFalse
			})
		}, []string{"best", "fast"}},
		"a score that is renewed wakes nobody": {func(f *fixture) { f.clock.Step(time.Minute); f.score("a", 20) }, nil},
		"a property that is observed again wakes nobody": {func(f *fixture) {
			f.profile("a", func(profile *inventoryv1alpha1.ClusterProfile) {
				labelled("fast")(profile)
				profile.Status.Properties = []inventoryv1alpha1.Property{{Name: "region", LastObservedTime: metav1.NewTime(f.clock.Now())}}
			})
		}, nil},
		"a cluster set wakes those that name cluster sets":   {func(f *fixture) { f.namespace(fleet, "production") }, []string{"sets"}},
		"a status is the controller's own, and wakes nobody": {func(f *fixture) { f.placementUpdated(f.status["best"], f.status["best"]) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.profile("a", labelled("fast"))
			f.score("a", 20)
			f.place(byDisk("best", 1))
			f.place(byLabel("fast", "fast"))
			f.place(byLabel("slow", "slow"))
			bySet := byLabel("sets", "any")
			bySet.Spec.ClusterSets = []string{"production"}
			f.place(bySet)
			f.run()
			f.see()
			f.run()
			test.happens(f)
			assert.ElementsMatch(t, test.want, f.woken())
		})
	}
}

func TestController_UpdateStatus(t *testing.T) {
	for name, test := range map[string]struct {
		placement *v1alpha1.Placement
		status    metav1.ConditionStatus
		reason    string
	}{
		"as many as asked for": {byDisk("p", 2), metav1.ConditionTrue, v1alpha1.PlacementReasonAllDecisionsScheduled},
		"fewer":                {byDisk("p", 3), metav1.ConditionFalse, v1alpha1.PlacementReasonNotAllDecisionsScheduled},
		"none":                 {byLabel("p", "none"), metav1.ConditionFalse, v1alpha1.PlacementReasonNoClusterMatched},
		"no namespace to choose from": {func() *v1alpha1.Placement {
			placement := byDisk("p", 1)
			placement.Spec.ClusterSets = []string{"not-there"}
			return placement
		}(), metav1.ConditionFalse, v1alpha1.PlacementReasonNoClusterSets},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "a", "b")
			f.place(test.placement)
			f.run()
			is := meta.FindStatusCondition(f.status["p"].Status.Conditions, v1alpha1.PlacementSatisfied)
			require.NotNil(t, is)
			assert.Equal(t, test.status, is.Status)
			assert.Equal(t, test.reason, is.Reason)
			assert.Equal(t, int64(1), f.status["p"].Status.ObservedGeneration)
		})
	}
}

// A review that fails keeps what was decided, and stays due.
func TestController_ReviewFails(t *testing.T) {
	f := newFixture(t)
	var mayList bool
	var failure error
	f.Hub.(*fake.Clientset).PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		review.Status.Allowed = mayList
		return true, review, failure
	})
	f.namespace(fleet, "production")
	f.profile("a", func(profile *inventoryv1alpha1.ClusterProfile) { profile.Namespace = fleet })
	placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
	placement.Spec.ClusterSets = []string{"production"}
	placement.Spec.Author = &v1alpha1.Author{Requester: v1alpha1.Requester{Username: "author"}}
	name := cache.NewObjectName(team, "all")
	reconcile := func() error {
		defer f.see()
		_, err := f.reconcile(t.Context(), name)
		return err
	}

	mayList, failure = true, errors.New("the hub is away")
	f.place(placement)
	require.ErrorIs(t, reconcile(), failure)
	require.Empty(t, f.slices, "nothing is decided before the first review")
	failure = nil
	require.NoError(t, reconcile())
	require.Equal(t, []string{"a"}, f.chosen("all"))

	mayList, failure = false, errors.New("the hub is away")
	f.enqueue(name)
	require.ErrorIs(t, reconcile(), failure)
	require.Equal(t, []string{"a"}, f.chosen("all"))
	failure = nil
	require.NoError(t, reconcile())
	assert.Empty(t, f.chosen("all"), "the retry reviews, though nothing has happened since")
}

// TestController_Explained compares what the controller chooses from with what kubectl clusterpass
// explain placement shows of the same hub.
func TestController_Explained(t *testing.T) {
	for name, test := range map[string]struct {
		sets   []string
		change func(*inventoryv1alpha1.ClusterProfile)
		want   []string
	}{
		"its own namespace":              {nil, nil, []string{"team/a"}},
		"those of sets that it may list": {[]string{"all"}, nil, []string{"open/b"}},
		"none that is being deleted": {nil,
			func(p *inventoryv1alpha1.ClusterProfile) { p.DeletionTimestamp = ptr.To(metav1.Now()) }, nil},
		"none whose taints can't be read": {nil, func(p *inventoryv1alpha1.ClusterProfile) {
			p.Annotations = map[string]string{v1alpha1.AnnotationTaints: "{"}
		}, nil},
		"none whose taint it does not tolerate": {nil, func(p *inventoryv1alpha1.ClusterProfile) {
			p.Annotations = map[string]string{v1alpha1.AnnotationTaints: `[{"key":"new","effect":"NoSelect"}]`}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			mayList := func(action clienttesting.Action) (bool, runtime.Object, error) {
				review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
				review.Status.Allowed = review.Spec.ResourceAttributes.Namespace != "closed"
				return true, review, nil
			}
			f.Hub.(*fake.Clientset).PrependReactor("create", "subjectaccessreviews", mayList)
			theirs, hub := inventory.NewSimpleClientset(), fake.NewClientset()
			hub.PrependReactor("create", "subjectaccessreviews", mayList)
			for namespace, profile := range map[string]string{team: "a", "open": "b", "closed": "c", "leaving": "d"} {
				n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
				if namespace != team {
					n.Labels = map[string]string{scheduling.ClusterSetLabel: "all"}
				}
				if namespace == "leaving" {
					n.DeletionTimestamp, n.Finalizers = ptr.To(metav1.Now()), []string{"kubernetes"}
				}
				require.NoError(t, f.Namespaces.Informer().GetIndexer().Add(n))
				require.NoError(t, hub.Tracker().Add(n))
				f.profile(profile, func(p *inventoryv1alpha1.ClusterProfile) {
					p.Namespace = namespace
					if test.change != nil {
						test.change(p)
						p.Finalizers = []string{"example.com/held"}
					}
					require.NoError(t, theirs.Tracker().Add(p.DeepCopy()))
				})
			}
			placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
			placement.Spec.ClusterSets, placement.Spec.Author = test.sets, &v1alpha1.Author{Requester: v1alpha1.Requester{Username: "author"}}
			v1alpha1.SetDefaults_Placement(placement)
			f.place(placement)
			f.run()
			var chosen []string
			for _, cluster := range f.states[cache.NewObjectName(team, "all")].decided {
				chosen = append(chosen, cluster.String())
			}
			assert.Equal(t, test.want, chosen)

			explainer := explain.Hub{Kubernetes: hub, Client: ours.NewSimpleClientset(placement), Inventory: theirs}
			answer, err := explainer.Placement(t.Context(), team, "all", f.clock.Now())
			require.NoError(t, err)
			var explained []string
			for _, e := range answer.Explanations {
				if e.Selected >= 0 {
					explained = append(explained, e.Cluster.String())
				}
			}
			assert.Equal(t, chosen, explained)
			if test.sets != nil {
				assert.Equal(t, []string{"closed"}, answer.Refused)
			}
		})
	}
}
