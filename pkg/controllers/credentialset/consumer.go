// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/credentialset/multikueue"
	"clusterpass.dev/pkg/credentialset"
)

// consume configures the consumer of set for what is selected, and returns the condition about it;
// nil if the set has no consumer.
func (c *Controller) consume(ctx context.Context, set *v1alpha1.ClusterCredentialSet, selected selection) (*metav1.Condition, error) {
	if set.Spec.Consumer.MultiKueue == nil {
		if err := c.dismiss(ctx, set); err != nil {
			return meta.FindStatusCondition(set.Status.Conditions, v1alpha1.MultiKueueReady), err
		}
		return nil, nil //nolint:nilnil // that there is none is an answer
	}
	workers, err := c.workers(ctx, set, selected)
	if err != nil {
		return nil, err
	}
	ready, err := c.kueue.Sync(ctx, set, workers)
	return &ready, err
}

// workers returns the clusters that Kueue can reach, in their order: those whose Secret exists.
func (c *Controller) workers(ctx context.Context, set *v1alpha1.ClusterCredentialSet, selected selection) ([]multikueue.Worker, error) {
	names, err := c.order(ctx, set, selected)
	if err != nil {
		return nil, err
	}
	var workers []multikueue.Worker
	for _, name := range names {
		if !credentialset.KeepsCredentials(set) {
			workers = append(workers, multikueue.Worker{Name: name})
			continue
		}
		secret, err := c.secrets.get(set, name)
		if err != nil {
			return nil, err
		}
		if secret != nil && isOf(secret, set.UID) {
			workers = append(workers, multikueue.Worker{Name: name, Secret: secret.Name})
		}
	}
	return workers, nil
}

// syncConsumer reconciles a set that keeps no credentials. If its author may not select, or it
// selects too many, its consumer keeps its configuration. It returns after how long to do so again.
func (c *Controller) syncConsumer(ctx context.Context, set *v1alpha1.ClusterCredentialSet) (time.Duration, error) {
	chosen, err := c.selected(ctx, set)
	if err != nil {
		return 0, err
	}
	next := set.DeepCopy()
	next.Status.ObservedGeneration = set.Generation
	if chosen.refused != "" {
		next.Status.Selected, next.Status.Ready = 0, 0
		if err := c.setReady(ctx, next, condition(next, ""), chosen); err != nil {
			return 0, err
		}
		c.setAnyDecisionWriter(next)
		c.setAuthorConditions(set, next)
		return refusedPeriod, c.writeStatus(ctx, set, next)
	}
	consumer, consumerErr := c.consume(ctx, set, chosen.clusters)
	next.Status.Selected = int32(len(chosen.clusters)) //nolint:gosec // a hub has no such number of objects
	next.Status.Ready = next.Status.Selected
	ready := condition(next, "")
	if ready.Status == metav1.ConditionTrue {
		ready.Reason = v1alpha1.CredentialSetReasonNoneKept
		ready.Message = "no credentials are kept: Kueue asks for them by its credential plugin"
	}
	if err := c.setReady(ctx, next, ready, chosen); err != nil {
		return 0, err
	}
	setOptional(next, v1alpha1.MultiKueueReady, consumer)
	c.setAnyDecisionWriter(next)
	c.setAuthorConditions(set, next)
	return 0, errors.Join(consumerErr, c.writeStatus(ctx, set, next))
}

// dismiss removes the configuration of consumers for set.
func (c *Controller) dismiss(ctx context.Context, set *v1alpha1.ClusterCredentialSet) error {
	if set.Spec.Consumer.MultiKueue == nil && meta.FindStatusCondition(set.Status.Conditions, v1alpha1.MultiKueueReady) == nil {
		return nil
	}
	err := c.kueue.Remove(ctx, set)
	if blocked, ok := multikueue.IsBlocked(set, err); ok {
		next := set.DeepCopy()
		meta.SetStatusCondition(&next.Status.Conditions, blocked)
		return errors.Join(err, c.writeStatus(ctx, set, next))
	}
	return err
}

// consumerChanged enqueues the set whose consumer's objects have changed, and a set that has its
// name now: it may have waited for their deletion.
func (c *Controller) consumerChanged(uid types.UID, name string) {
	c.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
		if set.UID == uid || cache.MetaObjectToName(set).String() == name {
			c.setQueue.Add(cache.MetaObjectToName(set))
		}
	})
}
