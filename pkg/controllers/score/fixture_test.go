// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package score

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	testingclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/score/usage"
	"clusterpass.dev/pkg/generated/clientset/versioned/fake"
	"clusterpass.dev/pkg/generated/informers/externalversions"
	"clusterpass.dev/test/fakemember"
)

const (
	manager = "clusterpass"
	period  = time.Minute
	valid   = validPeriods * period
	nodes   = "/api/v1/nodes"
)

var (
	now      = time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)
	scoreGVR = v1alpha1.SchemeGroupVersion.WithResource("clusterscores")
)

// fixture is a Controller whose informers do not run: the test says what they have seen.
type fixture struct {
	*Controller
	member  *fakemember.Member
	hub     *fake.Clientset
	clock   *testingclock.FakeClock
	profile *inventoryv1alpha1.ClusterProfile
}

// newFixture returns a Controller for one profile, whose member has objects.
func newFixture(t *testing.T, objects ...runtime.Object) *fixture {
	t.Helper()
	f := &fixture{hub: fake.NewSimpleClientset(), clock: testingclock.NewFakeClock(now)}
	f.member = fakemember.New(t, f.clock, objects...)
	f.profile = f.member.Profile()
	f.profile.Spec.ClusterManager.Name = manager
	hub := inventory.NewSimpleClientset()
	var err error
	f.Controller, err = New(Options{
		Managers: []string{manager}, Client: f.hub, Members: f.member, Period: period, Workers: 1, Clock: f.clock,
		Scores:       externalversions.NewSharedInformerFactory(f.hub, 0).Clusterpass().V1alpha1().ClusterScores(),
		Profiles:     inventoryinformers.NewSharedInformerFactory(hub, 0).Apis().V1alpha1().ClusterProfiles(),
		DeviceLabels: []usage.DeviceLabel{{Resource: "nvidia.com/gpu", Label: "type"}},
	})
	require.NoError(t, err)
	t.Cleanup(f.queue.ShutDown)
	require.NoError(t, f.Profiles.Informer().GetIndexer().Add(f.profile))
	return f
}

// stored returns the score of the profile as the hub has it, or nil, and has the informers see it.
func (f *fixture) stored(t *testing.T) *v1alpha1.ClusterScore {
	t.Helper()
	found, err := f.hub.Tracker().Get(scoreGVR, f.profile.Namespace, scoreName(f.profile.Name))
	if err != nil {
		return nil
	}
	require.NoError(t, f.Scores.Informer().GetIndexer().Add(found))
	return found.(*v1alpha1.ClusterScore)
}

// collectOnce has the worker do what is queued for the profile, as if that were due.
func (f *fixture) collectOnce(ctx context.Context, t *testing.T) *v1alpha1.ClusterScore {
	t.Helper()
	f.queue.Add(cache.MetaObjectToName(f.profile))
	require.True(t, loop.Next(ctx, f.queue, "cluster", f.reconcile))
	return f.stored(t)
}

// syncOnce reads the member of the profile.
func (f *fixture) syncOnce(t *testing.T) (time.Duration, error) {
	t.Helper()
	client, err := f.Members.Cached(t.Context(), f.profile)
	require.NoError(t, err)
	return f.sync(t.Context(), f.profile, client)
}

// writes returns the writes to the hub since it was last called.
func (f *fixture) writes() []string {
	defer f.hub.ClearActions()
	return fakemember.Writes(f.hub.Actions())
}

// requeues returns how often in a row the profile has failed.
func (f *fixture) requeues() int { return f.queue.NumRequeues(cache.MetaObjectToName(f.profile)) }

func newNode(name, cpu string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{"cpu": resource.MustParse(cpu), "pods": resource.MustParse("10")},
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}

func newPod(name, node, cpu string) *corev1.Pod {
	requests := corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu)}}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Resources: requests}}},
	}
}

// valueOf returns an amount of a score, as text; empty if it is not known.
func valueOf(score *v1alpha1.ClusterScore, name string) string {
	for _, value := range score.Status.Values {
		if value.Name == name {
			return value.Value.String()
		}
	}
	return ""
}

func answer(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}
