// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package score

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/score/usage"
	"clusterpass.dev/pkg/member/paged"
)

// unfinished is a field selector without finished pods, which hold no resources any more.
const unfinished = "status.phase!=" + string(corev1.PodSucceeded) + ",status.phase!=" + string(corev1.PodFailed)

// found is the result of a collection.
type found struct {
	values    []v1alpha1.ClusterValue
	condition metav1.Condition
}

// collect reads nodes and pods of a member. If the member forbids it, and the last attempt failed
// as well, it returns a result without values, and no error.
func (c *Controller) collect(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, failedBefore bool) (*found, error) {
	client, err := c.Members.For(ctx, profile)
	if err != nil {
		return nil, err
	}
	timeout := fmt.Errorf("nodes and pods of cluster %s were not read within %s", client.Name(), memberTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, memberTimeout, timeout)
	defer cancel()
	cluster := usage.New(c.DeviceLabels)
	err = read(ctx, client.Kubernetes().CoreV1().RESTClient(), cluster)
	// An API server that is starting may refuse requests for a moment.
	if apierrors.IsForbidden(err) && failedBefore {
		return forbidden(), nil
	}
	if err != nil {
		return nil, client.Error(err, "list nodes and pods")
	}
	return collected(cluster.Values(v1alpha1.MaxScores)), nil
}

// read adds all nodes, and then all pods, to cluster.
func read(ctx context.Context, client rest.Interface, cluster *usage.Cluster) error {
	err := paged.Each(ctx, client, "nodes", metav1.ListOptions{}, func(item []byte) error {
		var node corev1.Node
		if err := node.Unmarshal(item); err != nil {
			return err
		}
		return cluster.AddNode(&node)
	})
	if err != nil {
		return err
	}
	return paged.Each(ctx, client, "pods", metav1.ListOptions{FieldSelector: unfinished}, func(item []byte) error {
		var pod corev1.Pod
		if err := pod.Unmarshal(item); err != nil {
			return err
		}
		cluster.AddPod(&pod)
		return nil
	})
}

func collected(values []v1alpha1.ClusterValue, more bool) *found {
	condition := metav1.Condition{
		Type: v1alpha1.ScoreCollected, Status: metav1.ConditionTrue, Reason: v1alpha1.ScoreReasonCollected,
		Message: "nodes and pods of the member cluster were counted",
	}
	if more {
		condition.Reason = v1alpha1.ScoreReasonTooMany
		condition.Message = fmt.Sprintf(
			"only %d amounts are kept, first those of resources that nodes have; there are more, or some have no valid name", v1alpha1.MaxScores)
	}
	return &found{values: values, condition: condition}
}

func forbidden() *found {
	return &found{condition: metav1.Condition{
		Type: v1alpha1.ScoreCollected, Status: metav1.ConditionFalse, Reason: v1alpha1.ScoreReasonForbidden,
		Message: "the member cluster does not let clusterpass list nodes and pods: apply artifacts/deploy/member/base/usage.yaml there",
	}}
}
