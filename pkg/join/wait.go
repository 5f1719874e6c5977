// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"fmt"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// poll is how often a wait looks.
const poll = 500 * time.Millisecond

// waitHealthy waits until the profile's condition ControlPlaneHealthy is true.
func (j *joiner) waitHealthy(ctx context.Context) error {
	fmt.Fprintf(j.Out, "hub: waiting for condition %s\n", inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	last := "no controller has set it yet"
	err := wait.PollUntilContextTimeout(ctx, poll, j.Timeout, true, func(ctx context.Context) (bool, error) {
		profile, err := j.profile(ctx)
		switch {
		case err != nil:
			return false, err
		case profile == nil:
			return false, fmt.Errorf("hub: ClusterProfile %s has been deleted", j.profileName())
		}
		condition := apimeta.FindStatusCondition(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
		if condition == nil {
			return false, nil
		}
		last = fmt.Sprintf("it is %s (%s): %s", condition.Status, condition.Reason, condition.Message)
		return condition.Status == metav1.ConditionTrue, nil
	})
	switch {
	case wait.Interrupted(err):
		return fmt.Errorf("hub: ClusterProfile %s is joined, but its condition %s was not True within %s: %s; see --wait and --timeout",
			j.profileName(), inventoryv1alpha1.ClusterConditionControlPlaneHealthy, j.Timeout, last)
	case err != nil:
		return err
	}
	fmt.Fprintf(j.Out, "hub: clusterprofile %s is healthy\n", j.profileName())
	return nil
}
