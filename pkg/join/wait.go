// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"fmt"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/waiting"
)

// poll is how often a wait looks.
const poll = 500 * time.Millisecond

// unreachable are the reasons for which the hub gets no connection to a member.
var unreachable = sets.New("Timeout", "ConnectionRefused", "Unreachable", "TLSFailed")

// waitHealthy waits until the profile's condition ControlPlaneHealthy is true. server is where the hub looks for the member.
func (j *joiner) waitHealthy(ctx context.Context, server string) error {
	const condition = inventoryv1alpha1.ClusterConditionControlPlaneHealthy
	fmt.Fprintf(j.Out, "hub: waiting for condition %s\n", condition)
	var last *metav1.Condition
	err := waiting.Until(ctx, poll, j.Timeout, func(ctx context.Context) (bool, error) {
		profile, err := j.profile(ctx)
		switch {
		case err != nil:
			return false, err
		case profile == nil:
			return false, fmt.Errorf("hub: ClusterProfile %s has been deleted", j.profileName())
		}
		last = apimeta.FindStatusCondition(profile.Status.Conditions, condition)
		return last != nil && last.Status == metav1.ConditionTrue, nil
	})
	switch {
	case wait.Interrupted(err) && ctx.Err() == nil:
		return fmt.Errorf("hub: ClusterProfile %s is joined, but its condition %s was not True within %s: %s", j.profileName(), condition, j.Timeout, notHealthy(last, server, err))
	case err != nil:
		return err
	}
	fmt.Fprintf(j.Out, "hub: clusterprofile %s is healthy\n", j.profileName())
	return nil
}

// notHealthy says why a member is not healthy, and what to do. last is its condition, err the end of the wait.
func notHealthy(last *metav1.Condition, server string, err error) string {
	if last == nil {
		return fmt.Sprintf("no controller has set it yet (%v); see --wait and --timeout", err)
	}
	why := fmt.Sprintf("it is %s (%s): %s", last.Status, last.Reason, last.Message)
	if unreachable.Has(last.Reason) {
		return why + fmt.Sprintf("\nYou reach the member, and the hub does not, at %s. If the hub needs another address for it, run the same command again with --member-server=URL", server)
	}
	return why + "; see --wait and --timeout"
}
