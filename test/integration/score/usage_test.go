// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package score

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

const (
	gpu   = "nvidia.com/gpu"
	typed = gpu + "@Tesla-T4"
)

// addNode makes a node of four cores and two devices, as a kubelet and the controllers of a real
// cluster would leave it.
func addNode(t *testing.T, name string, unschedulable bool) {
	t.Helper()
	nodes := shared.Bravelion.Kube(t).CoreV1().Nodes()
	node := testenv.Create(t, nodes, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"nvidia.com/gpu.product": "Tesla-T4"}},
	})
	// Admission taints a node as not ready; the node lifecycle controller would take that off.
	node.Spec.Taints, node.Spec.Unschedulable = nil, unschedulable
	node = testenv.Update(t, nodes, node)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	node.Status.Allocatable = quantities("cpu", "4", "memory", "8Gi", "pods", "110", gpu, "2")
	node.Status.Capacity = node.Status.Allocatable
	testenv.UpdateStatus(t, nodes, node)
}

func quantities(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		list[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

func container(name string, requests corev1.ResourceList) corev1.Container {
	return corev1.Container{Name: name, Image: "pause", Resources: corev1.ResourceRequirements{Requests: requests, Limits: requests}}
}

// addPod makes a pod of one core, which change may alter before it is made; phase is what its
// status says then.
func addPod(t *testing.T, name, node string, phase corev1.PodPhase, change func(*corev1.PodSpec)) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
		NodeName: node, Containers: []corev1.Container{container("main", quantities("cpu", "1"))},
	}}
	if change != nil {
		change(&pod.Spec)
	}
	pods := shared.Bravelion.Kube(t).CoreV1().Pods("default")
	pod = testenv.Create(t, pods, pod)
	pod.Status.Phase = phase
	testenv.UpdateStatus(t, pods, pod)
}

// awaitScore waits until check returns nil for the ClusterScore of the member.
func awaitScore(t *testing.T, check func(score *v1alpha1.ClusterScore) error) {
	t.Helper()
	testenv.Await(t, hub(t, admin).ClusterpassV1alpha1().ClusterScores("default"), "bravelion-usage", check)
}

func getScore(t *testing.T) *v1alpha1.ClusterScore {
	t.Helper()
	return testenv.Get(t, hub(t, admin).ClusterpassV1alpha1().ClusterScores("default"), "bravelion-usage")
}

// expectValues waits until the ClusterScore of the member is valid and has these values.
func expectValues(t *testing.T, want map[string]string) {
	t.Helper()
	awaitScore(t, func(score *v1alpha1.ClusterScore) error {
		if until := score.Status.ValidUntil; until == nil || time.Now().After(until.Time) {
			return fmt.Errorf("valid until %v", until)
		}
		got := map[string]resource.Quantity{}
		for _, value := range score.Status.Values {
			got[value.Name] = *value.Value
		}
		for name, quantity := range want {
			if found, ok := got[name]; !ok || found.Cmp(resource.MustParse(quantity)) != 0 {
				return fmt.Errorf("%s is %s, not %s; all: %v", name, found.String(), quantity, score.Status.Values)
			}
		}
		return nil
	})
}

// What is free on a member.
func TestUsage(t *testing.T) {
	addNode(t, "first", false)
	addNode(t, "second", false)
	addNode(t, "cordoned", true)
	expectValues(t, map[string]string{"cpu": "8", "cpu:largest-node": "4", gpu: "4", typed: "4", typed + ":pending": "0", "memory": "16Gi"})

	t.Run("follows pods as the scheduler counts them", func(t *testing.T) {
		addPod(t, "running", "first", corev1.PodRunning, func(spec *corev1.PodSpec) {
			spec.InitContainers = []corev1.Container{container("init", quantities("cpu", "2"))}
		})
		addPod(t, "training", "second", corev1.PodRunning, func(spec *corev1.PodSpec) {
			spec.Containers[0] = container("main", quantities("cpu", "500m", gpu, "1"))
		})
		addPod(t, "finished", "second", corev1.PodSucceeded, nil)
		addPod(t, "elsewhere", "cordoned", corev1.PodRunning, nil)
		addPod(t, "waiting", "", corev1.PodPending, nil)
		expectValues(t, map[string]string{
			"cpu": "5500m", "cpu:largest-node": "3500m", "cpu:pending": "1", "pods": "218", gpu: "3", typed: "3", typed + ":largest-node": "2",
		})
	})

	t.Run("has a score for every value", func(t *testing.T) {
		score := getScore(t)
		assert.Len(t, score.Status.Scores, len(score.Status.Values))
		for _, item := range score.Status.Scores {
			if item.Name == typed {
				assert.Equal(t, int32(-97), *item.Value, "three devices")
			}
		}
		assert.True(t, meta.IsStatusConditionTrue(score.Status.Conditions, v1alpha1.ScoreCollected), "%v", score.Status.Conditions)
	})

	t.Run("is not written more often than it has to be", func(t *testing.T) {
		before := getScore(t)
		awaitScore(t, func(after *v1alpha1.ClusterScore) error {
			if after.ResourceVersion == before.ResourceVersion {
				return errors.New("not renewed")
			}
			assert.GreaterOrEqual(t, after.Status.ValidUntil.Sub(before.Status.ValidUntil.Time), 2*period-time.Second)
			return nil
		})
	})
}

// A member that forbids the reading has no values.
func TestUsage_Forbidden(t *testing.T) {
	addNode(t, "unread", false)
	expectValues(t, map[string]string{"memory:largest-node": "8Gi"})
	bindings := shared.Bravelion.Kube(t).RbacV1().ClusterRoleBindings()
	binding := testenv.Get(t, bindings, "clusterpass:usage")
	require.NoError(t, bindings.Delete(t.Context(), binding.Name, metav1.DeleteOptions{}))
	awaitScore(t, func(score *v1alpha1.ClusterScore) error {
		condition := meta.FindStatusCondition(score.Status.Conditions, v1alpha1.ScoreCollected)
		if condition == nil || condition.Reason != v1alpha1.ScoreReasonForbidden {
			return fmt.Errorf("condition %v", condition)
		}
		assert.Empty(t, score.Status.Values)
		assert.Empty(t, score.Status.Scores)
		assert.Nil(t, score.Status.ValidUntil)
		return nil
	})
	binding.ResourceVersion, binding.UID = "", ""
	testenv.Create(t, bindings, binding)
	expectValues(t, map[string]string{"memory:largest-node": "8Gi"})
}

// The score of a member that is down runs out.
func TestUsage_MemberDown(t *testing.T) {
	addNode(t, "lost", false)
	expectValues(t, map[string]string{"memory:largest-node": "8Gi"})
	shared.Bravelion.Stop()
	awaitScore(t, func(score *v1alpha1.ClusterScore) error {
		if score.Status.ValidUntil.After(time.Now()) {
			return fmt.Errorf("still valid until %s", score.Status.ValidUntil)
		}
		return nil
	})
	require.NoError(t, shared.Bravelion.Start(t.Context()))
	expectValues(t, map[string]string{"memory:largest-node": "8Gi"})
}
