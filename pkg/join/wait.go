// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"fmt"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/waiting"
)

// poll is how often a wait looks.
const poll = 500 * time.Millisecond

// unreachable are the reasons for which the hub gets no connection to a member.
var unreachable = sets.New("Timeout", "ConnectionRefused", "Unreachable", "TLSFailed")

const (
	// reasonReady is why a member is healthy, by the controller manager.
	reasonReady = "Ready"
	// reasonRejoined is in place of it until the member was probed by the address that it is joined
	// with now. The status stays True: a new address is no reason for placements to drop a cluster.
	reasonRejoined = "Rejoined"
)

// doubtHealth adds to status, with which the profile gets another way to the member, that its
// condition ControlPlaneHealthy is of the one before. The controller manager probes then, and
// writes the reason anew. Nothing else would tell the two conditions apart: where the member is
// healthy by both ways, nothing changes.
func (j *joiner) doubtHealth(ctx context.Context, o *Options, status map[string]any) error {
	profile, err := j.profile(ctx)
	if err != nil || profile == nil {
		return err
	}
	healthy := apimeta.FindStatusCondition(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	switch {
	case healthy == nil || healthy.Status != metav1.ConditionTrue:
		return nil
	case healthy.Reason == reasonReady && leadsAnotherWay(profile, &o.Member):
	case healthy.Reason == reasonRejoined: // nobody has probed it since
	default:
		return nil
	}
	doubtful := *healthy
	doubtful.Reason, doubtful.Message = reasonRejoined, "The member was joined with another address, CA or proxy, and not probed with it yet"
	condition, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&doubtful)
	status["conditions"] = []any{condition}
	return err
}

// leadsAnotherWay returns whether our access provider of a profile does not lead to the member as m
// does.
func leadsAnotherWay(profile *inventoryv1alpha1.ClusterProfile, m *Member) bool {
	for i := range profile.Status.AccessProviders {
		if cluster := profile.Status.AccessProviders[i].Cluster; profile.Status.AccessProviders[i].Name == configv1alpha1.DefaultProviderName {
			return cluster.TLSServerName != m.Endpoint.TLSServerName || cluster.ProxyURL != m.Endpoint.ProxyURL || leadsElsewhere(profile, m)
		}
	}
	return true
}

// waitHealthy waits until the profile's condition ControlPlaneHealthy is true. server is where the
// hub looks for the member.
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
		return last != nil && last.Status == metav1.ConditionTrue && last.Reason != reasonRejoined, nil
	})
	switch {
	case wait.Interrupted(err) && ctx.Err() == nil:
		return fmt.Errorf("hub: ClusterProfile %s is joined, but its condition %s was not True within %s: %s",
			j.profileName(), condition, j.Timeout, notHealthy(last, server, err))
	case err != nil:
		return err
	}
	fmt.Fprintf(j.Out, "hub: clusterprofile %s is healthy\n", j.profileName())
	return nil
}

// notHealthy says why a member is not healthy, and what to do. last is its condition, err the end
// of the wait.
func notHealthy(last *metav1.Condition, server string, err error) string {
	if last == nil {
		return fmt.Sprintf("no controller has set it yet (%v); see --wait and --timeout", err)
	}
	why := fmt.Sprintf("it is %s (%s): %s", last.Status, last.Reason, last.Message)
	if unreachable.Has(last.Reason) {
		return why + fmt.Sprintf("\nYou reach the member, and the hub does not, at %s. "+
			"If the hub needs another address for it, run the same command again with --member-server=URL", server)
	}
	return why + "; see --wait and --timeout"
}
