// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	ours "clusterpass.dev/pkg/generated/clientset/versioned/fake"
	"clusterpass.dev/pkg/generated/informers/externalversions"
	"clusterpass.dev/pkg/scheduling"
)

const (
	team  = "team"
	fleet = "fleet"
	// controller is the username of the controller.
	controller = "controller"
)

// fixture is a Controller whose informers do not run: the test says what they have seen. Its hub
// keeps PlacementDecisions and the status of Placements as a real one does, with resource versions.
type fixture struct {
	*Controller
	t       *testing.T
	clock   *testingclock.FakeClock
	events  *events.FakeRecorder
	version int
	slices  map[string]*inventoryv1alpha1.PlacementDecision
	status  map[string]*v1alpha1.Placement
}

// newFixture returns a fixture whose controller has seen some healthy clusters.
func newFixture(t *testing.T, clusters ...string) *fixture {
	t.Helper()
	f := &fixture{
		t: t, clock: testingclock.NewFakeClock(time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)), events: events.NewFakeRecorder(100),
		slices: map[string]*inventoryv1alpha1.PlacementDecision{}, status: map[string]*v1alpha1.Placement{},
	}
	hub, client, theirs := fake.NewClientset(), ours.NewClientset(), inventory.NewSimpleClientset()
	theirs.PrependReactor("*", "placementdecisions", f.serveSlices)
	client.PrependReactor("update", "placements", f.serveStatus)
	inventoryFactory := inventoryinformers.NewSharedInformerFactory(theirs, 0).Apis().V1alpha1()
	factory := externalversions.NewSharedInformerFactory(client, 0).Clusterpass().V1alpha1()
	var err error
	f.Controller, err = New(Options{
		Hub: hub, Client: client, Inventory: theirs,
		Placements: factory.Placements(), Scores: factory.ClusterScores(), Profiles: inventoryFactory.ClusterProfiles(),
		Decisions: inventoryFactory.PlacementDecisions(), Namespaces: informers.NewSharedInformerFactory(hub, 0).Core().V1().Namespaces(),
		User: controller, Recorder: f.events, Workers: 1, Clock: f.clock,
	})
	require.NoError(t, err)
	t.Cleanup(f.queue.ShutDown)
	for _, cluster := range clusters {
		f.profile(cluster, nil)
	}
	return f
}

func (f *fixture) next() string {
	f.version++
	return strconv.Itoa(f.version)
}

func (f *fixture) serveSlices(action clienttesting.Action) (bool, runtime.Object, error) {
	resource := inventoryv1alpha1.Resource("placementdecisions")
	switch action := action.(type) {
	case clienttesting.CreateActionImpl:
		slice := action.GetObject().(*inventoryv1alpha1.PlacementDecision).DeepCopy()
		if f.slices[slice.Name] != nil {
			return true, nil, apierrors.NewAlreadyExists(resource, slice.Name)
		}
		slice.ResourceVersion = f.next()
		slice.UID = types.UID("slice-" + slice.ResourceVersion)
		f.slices[slice.Name] = slice
		return true, slice.DeepCopy(), nil
	case clienttesting.UpdateActionImpl:
		slice := action.GetObject().(*inventoryv1alpha1.PlacementDecision).DeepCopy()
		switch is := f.slices[slice.Name]; {
		case is == nil:
			return true, nil, apierrors.NewNotFound(resource, slice.Name)
		case is.ResourceVersion != slice.ResourceVersion:
			return true, nil, apierrors.NewConflict(resource, slice.Name, nil)
		}
		slice.ResourceVersion = f.next()
		f.slices[slice.Name] = slice
		return true, slice.DeepCopy(), nil
	case clienttesting.DeleteActionImpl:
		is := f.slices[action.Name]
		if is == nil {
			return true, nil, apierrors.NewNotFound(resource, action.Name)
		}
		if pre := action.DeleteOptions.Preconditions; pre == nil || *pre.UID != is.UID || *pre.ResourceVersion != is.ResourceVersion {
			return true, nil, apierrors.NewConflict(resource, action.Name, nil)
		}
		delete(f.slices, action.Name)
		return true, nil, nil
	case clienttesting.GetActionImpl:
		if is := f.slices[action.Name]; is != nil {
			return true, is.DeepCopy(), nil
		}
		return true, nil, apierrors.NewNotFound(resource, action.Name)
	}
	return false, nil, nil
}

func (f *fixture) serveStatus(action clienttesting.Action) (bool, runtime.Object, error) {
	next := action.(clienttesting.UpdateActionImpl).GetObject().(*v1alpha1.Placement).DeepCopy()
	if is := f.status[next.Name]; is != nil && is.ResourceVersion != next.ResourceVersion {
		return true, nil, apierrors.NewConflict(v1alpha1.Resource("placements"), next.Name, nil)
	}
	next.ResourceVersion = f.next()
	f.status[next.Name] = next
	return true, next.DeepCopy(), nil
}

// place has the controller see a placement.
func (f *fixture) place(placement *v1alpha1.Placement) {
	placement.Namespace, placement.UID, placement.Generation = team, types.UID("uid-"+placement.Name), placement.Generation+1
	placement.ResourceVersion = f.next()
	f.status[placement.Name] = placement.DeepCopy()
	require.NoError(f.t, f.Placements.Informer().GetIndexer().Add(placement))
	f.placementChanged(placement)
}

// profile has the controller see a cluster, healthy unless change says otherwise.
func (f *fixture) profile(name string, change func(*inventoryv1alpha1.ClusterProfile)) {
	profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: name}}
	profile.Status.Conditions = []metav1.Condition{{Type: inventoryv1alpha1.ClusterConditionControlPlaneHealthy, Status: metav1.ConditionTrue}}
	if change != nil {
		change(profile)
	}
	require.NoError(f.t, f.Profiles.Informer().GetIndexer().Add(profile))
	f.profileChanged(profile)
}

// score has the controller see what a cluster scores.
func (f *fixture) score(cluster string, value int32) {
	score := &v1alpha1.ClusterScore{ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: cluster}}
	score.Spec.ClusterProfileName, score.Spec.ResourceName = cluster, "speed"
	score.Status.Scores = []v1alpha1.ClusterScoreItem{{Name: "disk", Value: ptr.To(value)}}
	score.Status.ValidUntil = ptr.To(metav1.NewTime(f.clock.Now().Add(time.Hour)))
	require.NoError(f.t, f.Scores.Informer().GetIndexer().Add(score))
	f.scoreChanged(score)
}

// namespace has the controller see a namespace.
func (f *fixture) namespace(name, set string) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{scheduling.ClusterSetLabel: set}}}
	require.NoError(f.t, f.Namespaces.Informer().GetIndexer().Add(namespace))
	f.namespaceChanged(namespace)
}

// see has the controller see all PlacementDecisions as they are.
func (f *fixture) see() {
	indexer := f.Decisions.Informer().GetIndexer()
	for _, obj := range indexer.List() {
		was := obj.(*inventoryv1alpha1.PlacementDecision)
		switch is := f.slices[was.Name]; {
		case is == nil:
			require.NoError(f.t, indexer.Delete(was))
			f.decisionChanged(cache.DeletedFinalStateUnknown{Key: was.Namespace + "/" + was.Name, Obj: was})
		case is.ResourceVersion != was.ResourceVersion:
			require.NoError(f.t, indexer.Update(is.DeepCopy()))
			f.decisionUpdated(was, is)
		}
	}
	for _, is := range f.slices {
		if _, exists, err := indexer.Get(is); err == nil && !exists {
			require.NoError(f.t, indexer.Add(is.DeepCopy()))
			f.decisionChanged(is)
		}
	}
}

// run has the controller see to all placements that wait for it, and returns when it is to do so
// again for the last of them.
func (f *fixture) run() (again time.Duration) {
	for f.queue.Len() > 0 {
		name, _ := f.queue.Get()
		var err error
		again, err = f.reconcile(f.t.Context(), name)
		require.NoError(f.t, err)
		f.queue.Done(name)
	}
	return again
}

// woken returns the placements that wait to be seen to, and lets none of them be.
func (f *fixture) woken() []string {
	var names []string
	for f.queue.Len() > 0 {
		name, _ := f.queue.Get()
		names = append(names, name.Name)
		f.queue.Done(name)
	}
	return names
}

// chosen returns the clusters in the first slice of a placement, as the hub has it.
func (f *fixture) chosen(placement string) []string {
	slice := f.slices[sliceName(placement, 0)]
	if slice == nil {
		return nil
	}
	names := []string{}
	for _, decision := range slice.Decisions {
		names = append(names, decision.ClusterProfileRef.Name)
	}
	return names
}

// byDisk returns a placement of the best clusters by that score.
func byDisk(name string, clusters int32) *v1alpha1.Placement {
	placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: name}}
	placement.Spec.NumberOfClusters = ptr.To(clusters)
	addOn := &v1alpha1.AddOnScore{ResourceName: "speed", ScoreName: "disk"}
	coordinate := v1alpha1.ScoreCoordinate{Type: v1alpha1.ScoreCoordinateAddOn, AddOn: addOn}
	placement.Spec.PrioritizerPolicy.Mode = v1alpha1.PrioritizerPolicyExact
	placement.Spec.PrioritizerPolicy.Configurations = []v1alpha1.PrioritizerConfig{{ScoreCoordinate: coordinate}}
	return placement
}

// selecting returns a placement of all clusters that a selector selects.
func selecting(name string, selector v1alpha1.ClusterSelector) *v1alpha1.Placement {
	placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: name}}
	placement.Spec.Predicates = []v1alpha1.ClusterPredicate{{RequiredClusterSelector: selector}}
	return placement
}

// byLabel returns a placement of all clusters with a label.
func byLabel(name, value string) *v1alpha1.Placement {
	return selecting(name, v1alpha1.ClusterSelector{LabelSelector: metav1.LabelSelector{MatchLabels: map[string]string{"kind": value}}})
}

// evaluating returns a placement of all clusters of which an expression is true.
func evaluating(name, expression string) *v1alpha1.Placement {
	return selecting(name, v1alpha1.ClusterSelector{CelSelector: v1alpha1.ClusterCelSelector{CelExpressions: []string{expression}}})
}

func labelled(value string) func(*inventoryv1alpha1.ClusterProfile) {
	return func(profile *inventoryv1alpha1.ClusterProfile) { profile.Labels = map[string]string{"kind": value} }
}
