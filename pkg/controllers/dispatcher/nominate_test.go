// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryfake "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/kueue"
)

const team = "team"

// newController returns one whose caches have objects.
func newController(t *testing.T, objects ...metav1.Object) *Controller {
	t.Helper()
	c, err := New(Options{
		Hub: fake.NewClientset(), Objects: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme()),
		Decisions: inventoryinformers.NewSharedInformerFactory(inventoryfake.NewSimpleClientset(), 0).Apis().V1alpha1().PlacementDecisions(),
		Recorder:  events.NewFakeRecorder(10), Workers: 1, Clock: clock.RealClock{},
	})
	require.NoError(t, err)
	for _, object := range objects {
		var informer cache.SharedIndexInformer
		switch object.(type) {
		case *workload:
			informer = c.kueue.workloads
		case *localQueue:
			informer = c.kueue.queues
		case *admissionCheck:
			informer = c.kueue.checks
		case *multiKueueConfig:
			informer = c.kueue.configs
		case *multiKueueCluster:
			informer = c.kueue.clusters
		case *inventoryv1alpha1.PlacementDecision:
			informer = c.Decisions.Informer()
		}
		require.NoError(t, informer.GetIndexer().Add(object))
	}
	return c
}

func newWorkload(name string, change func(*workload)) *workload {
	w := &workload{ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: name}}
	w.Spec.QueueName = "queue"
	w.Status.Conditions = []metav1.Condition{{Type: quotaReserved, Status: metav1.ConditionTrue}}
	w.Status.AdmissionChecks = []checkState{{Name: "quota", State: "Ready"}, {Name: "fleet", State: pending}}
	if change != nil {
		change(w)
	}
	return w
}

func naming(placement string) func(*workload) {
	return func(w *workload) { w.Labels = map[string]string{v1alpha1.LabelPlacement: placement} }
}

func newQueue(placement string) *localQueue {
	return &localQueue{metav1.ObjectMeta{Namespace: team, Name: "queue", Labels: map[string]string{v1alpha1.LabelPlacement: placement}}}
}

func newCheck(name, controller string) *admissionCheck {
	check := &admissionCheck{ObjectMeta: metav1.ObjectMeta{Name: name}}
	check.Spec.ControllerName, check.Spec.Parameters.Name = controller, "fleet"
	return check
}

func newConfig(clusters ...string) *multiKueueConfig {
	config := &multiKueueConfig{ObjectMeta: metav1.ObjectMeta{Name: "fleet"}}
	config.Spec.Clusters = clusters
	return config
}

func newCluster(name, profile string) *multiKueueCluster {
	return &multiKueueCluster{metav1.ObjectMeta{Name: name, Annotations: map[string]string{v1alpha1.AnnotationClusterProfile: profile}}}
}

// newDecision returns a slice of a decision; a cluster without a namespace is in the slice's own.
func newDecision(namespace, placement, index string, clusters ...string) *inventoryv1alpha1.PlacementDecision {
	slice := &inventoryv1alpha1.PlacementDecision{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: placement + index,
		Labels: map[string]string{inventoryv1alpha1.PlacementKeyLabel: placement, inventoryv1alpha1.DecisionIndexLabel: index},
	}}
	for _, cluster := range clusters {
		name, err := cache.ParseObjectName(cluster)
		if err != nil {
			panic(err)
		}
		slice.Decisions = append(slice.Decisions, inventoryv1alpha1.ClusterDecision{
			ClusterProfileRef: inventoryv1alpha1.ClusterProfileReference{Namespace: name.Namespace, Name: name.Name},
		})
	}
	return slice
}

func renamed(name string, slice *inventoryv1alpha1.PlacementDecision) *inventoryv1alpha1.PlacementDecision {
	slice.Name = name
	return slice
}

func TestNominate(t *testing.T) {
	var many []string
	for i := range 30 {
		many = append(many, fmt.Sprintf("c%02d", i))
	}
	type objects = []metav1.Object
	by := func(clusters ...string) nomination {
		return nomination{clusters, reasonNominated, "by Placement team/p"}
	}
	for name, test := range map[string]struct {
		change  func(*workload)
		config  *multiKueueConfig
		objects objects
		want    nomination
	}{
		"a Workload that names no Placement may go everywhere": {
			nil, newConfig("b", "a"), nil,
			nomination{[]string{"b", "a"}, reasonNominated, "neither it nor its LocalQueue names a Placement"},
		},
		"the best cluster of a decision comes first, over all slices": {
			naming("p"), newConfig("a", "b", "c"), objects{newDecision(team, "p", "1", "a"), newDecision(team, "p", "0", "c")}, by("c", "a"),
		},
		"slices of one index count by their names, which is said": {
			naming("p"), newConfig("a", "b", "c"),
			objects{renamed("y", newDecision(team, "p", "0", "a", "b")), renamed("x", newDecision(team, "p", "0", "c"))},
			nomination{[]string{"c", "a", "b"}, reasonNominated,
				"by Placement team/p; PlacementDecisions that share their decision-index are ordered by name: x, y"},
		},
		"the Placement of the LocalQueue counts where the Workload names none": {
			nil, newConfig("a", "b"), objects{newQueue("p"), newDecision(team, "p", "0", "b")}, by("b"),
		},
		"that of the Workload counts before that of the LocalQueue": {
			naming("p"), newConfig("a", "b"),
			objects{newQueue("q"), newDecision(team, "p", "0", "a"), newDecision(team, "q", "0", "b")}, by("a"),
		},
		"a Placement of another namespace is none": {
			naming("p"), newConfig("a"), objects{newDecision("other", "p", "0", "a")},
			nomination{nil, reasonNoDecision, "there is no decision of Placement team/p"},
		},
		"a decision for nothing nominates nothing": {
			naming("p"), newConfig("a"), objects{newDecision(team, "p", "0")},
			nomination{nil, reasonNoCluster, "Placement team/p has chosen 0 clusters, none of them of MultiKueueConfig fleet"},
		},
		"no cluster is nominated that the queue does not go to": {
			naming("p"), newConfig("a"), objects{newDecision(team, "p", "0", "b", "c")},
			nomination{nil, reasonNoCluster, "Placement team/p has chosen 2 clusters, none of them of MultiKueueConfig fleet"},
		},
		"a cluster that says which ClusterProfile it is about is not for another of its name": {
			naming("p"), newConfig("a", "b"),
			objects{newCluster("a", "fleet/a"), newCluster("b", "fleet/x"), newDecision(team, "p", "0", "team/a", "fleet/x", "fleet/b")}, by("b"),
		},
		"twenty are as many as a Workload can be nominated for": {
			naming("p"), newConfig(many...), objects{newDecision(team, "p", "0", many...)}, by(many[:20]...),
		},
	} {
		t.Run(name, func(t *testing.T) {
			is, err := newController(t, test.objects...).nominate(newWorkload("w", test.change), test.config)
			require.NoError(t, err)
			assert.Equal(t, test.want, is)
		})
	}
}

// Which Workloads wait for a nomination.
func TestController_ConfigOf(t *testing.T) {
	owner := func(w *workload) {
		isController := true
		w.OwnerReferences = []metav1.OwnerReference{{UID: "job", Controller: &isController}}
	}
	for name, test := range map[string]struct {
		change func(*workload)
		// other changes another Workload, if there is one.
		other func(*workload)
		want  bool
	}{
		"one whose check for MultiKueue is pending": {nil, nil, true},
		"not one whose check is done":               {func(w *workload) { w.Status.AdmissionChecks[1].State = "Ready" }, nil, false},
		"not one of a Job of which another Workload has a cluster: Kueue takes it there": {
			owner, func(w *workload) { owner(w); w.Status.ClusterName = "a" }, false,
		},
		"not one without such a check": {func(w *workload) { w.Status.AdmissionChecks = []checkState{{"quota", pending}} }, nil, false},
		"one of a Job whose UID somebody has put on a Workload of their own": {
			owner, func(w *workload) { owner(w); w.Namespace, w.Status.ClusterName = "other", "a" }, true,
		},
		"one of a Job of which no other Workload has a cluster": {owner, owner, true},
	} {
		t.Run(name, func(t *testing.T) {
			objects := []metav1.Object{newCheck("quota", "example.com/quota"), newCheck("fleet", kueue.MultiKueue), newConfig("a")}
			if test.other != nil {
				objects = append(objects, newWorkload("leader", test.other))
			}
			config, err := newController(t, objects...).configOf(newWorkload("w", test.change))
			require.NoError(t, err)
			assert.Equal(t, test.want, config != nil)
		})
	}
}

func TestWorkload_Waits(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*workload)
		want   bool
	}{
		"with quota":     {nil, true},
		"without quota":  {func(w *workload) { w.Status.Conditions = nil }, false},
		"with a cluster": {func(w *workload) { w.Status.ClusterName = "a" }, false},
		"when it is finished": {func(w *workload) {
			w.Status.Conditions = append(w.Status.Conditions, metav1.Condition{Type: finished, Status: metav1.ConditionTrue})
		}, false},
		"when it is deleted": {func(w *workload) { w.DeletionTimestamp = &metav1.Time{} }, false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, newWorkload("w", test.change).waits()) })
	}
}

// What wakes Workloads.
func TestController_Enqueue(t *testing.T) {
	byLabel, byQueue := newWorkload("by-label", naming("p")), newWorkload("by-queue", nil)
	other := newWorkload("other", naming("q"))
	other.Spec.QueueName = "elsewhere"
	done := newWorkload("done", naming("p"))
	done.Status.ClusterName = "a"
	for name, test := range map[string]struct {
		happens func(c *Controller)
		want    []string
	}{
		"a decision wakes those that wait for it, by themselves or by their LocalQueue": {
			func(c *Controller) { c.decisionChanged(newDecision(team, "p", "0", "a")) }, []string{"by-label", "by-queue"},
		},
		"a decision of another namespace wakes none": {func(c *Controller) { c.decisionChanged(newDecision("other", "p", "0", "a")) }, nil},
		"a decision that is nobody's wakes none":     {func(c *Controller) { c.decisionChanged(newDecision(team, "", "0", "a")) }, nil},
		"a LocalQueue wakes its own":                 {func(c *Controller) { c.queueChanged(newQueue("p")) }, []string{"by-label", "by-queue"}},
		"what Kueue is configured by wakes all that wait": {
			func(c *Controller) { c.kueueChanged(newConfig("a")) }, []string{"by-label", "by-queue", "other"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newController(t, byLabel, byQueue, other, done, newQueue("p"))
			test.happens(c)
			var woken []string
			for c.queue.Len() > 0 {
				name, _ := c.queue.Get()
				woken = append(woken, name.Name)
				c.queue.Done(name)
			}
			assert.ElementsMatch(t, test.want, woken)
		})
	}
}

// A user gets one event.
func TestController_Report(t *testing.T) {
	c := newController(t)
	w := newWorkload("w", nil)
	name := cache.MetaObjectToName(w)
	c.report(w, c.progressOf(name), nomination{nil, reasonNoDecision, "there is none"})
	c.report(w, c.progressOf(name), nomination{nil, reasonNoDecision, "there is none"})
	c.report(w, c.progressOf(name), nomination{[]string{"a", "b"}, reasonNominated, "by it"})
	c.forget(name)
	c.report(w, c.progressOf(name), nomination{[]string{"a", "b"}, reasonNominated, "by it"})
	recorder, ok := c.Recorder.(*events.FakeRecorder)
	require.True(t, ok)
	close(recorder.Events)
	var told []string
	for event := range recorder.Events {
		told = append(told, event)
	}
	assert.Equal(t, []string{"Warning NoDecision there is none", "Normal Nominated a, b: by it", "Normal Nominated a, b: by it"}, told)
}

func TestProgress(t *testing.T) {
	wrote := func(nominated ...string) progress { return progress{nominated: nominated, version: "7"} }
	for name, test := range map[string]struct {
		progress       progress
		version        string
		nominated      []string
		behind, others bool
	}{
		"before the first write nothing is known of others": {progress{}, "5", []string{"b"}, false, false},
		"the cache has the Workload from before the write":  {wrote("a"), "5", nil, true, false},
		"the cache has the write":                           {wrote("a"), "7", []string{"a"}, false, false},
		"Kueue has written the same in another order":       {wrote("a", "b"), "8", []string{"b", "a"}, false, false},
		"Kueue has taken the nomination back":               {wrote("a"), "8", nil, false, false},
		"somebody has nominated others":                     {wrote("a"), "8", []string{"a", "b"}, false, true},
		"somebody has nominated where nothing was to be":    {wrote(), "8", []string{"a"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkload("w", nil)
			w.ResourceVersion, w.Status.NominatedClusterNames = test.version, test.nominated
			assert.Equal(t, test.behind, test.progress.isBehind(w))
			assert.Equal(t, test.others, test.progress.isOthers(w))
		})
	}
}

// The types here are Kueue's as far as they are read: what Kueue writes has to fit.
func TestWorkload_Unmarshal(t *testing.T) {
	var w workload
	require.NoError(t, json.Unmarshal([]byte(`{"apiVersion":"kueue.x-k8s.io/v1beta2","kind":"Workload","metadata":{"name":"w"},
		"spec":{"queueName":"q","podSets":[{"name":"main"}]},
		"status":{"nominatedClusterNames":["a"],"admissionChecks":[{"name":"fleet","state":"Pending","podSetUpdates":[]}]}}`), &w))
	assert.Equal(t, "q", w.Spec.QueueName)
	assert.Equal(t, []string{"a"}, w.Status.NominatedClusterNames)
	assert.Equal(t, []checkState{{"fleet", pending}}, w.Status.AdmissionChecks)
}
