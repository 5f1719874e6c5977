// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"context"
	"fmt"
	"path"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"clusterpass.dev/pkg/rights"
)

var listAndWatch = []string{"list", "watch"}

// needs are the rights that the dispatcher needs: the ClusterRole clusterpass:multikueue-dispatcher.
var needs = []struct {
	resource, subresource string
	verbs                 []string
}{
	{resource: workloads, subresource: "status", verbs: []string{"patch"}},
	{resource: workloads, verbs: listAndWatch},
	{resource: localQueues, verbs: listAndWatch},
	{resource: admissionChecks, verbs: listAndWatch},
	{resource: multiKueueConfigs, verbs: listAndWatch},
	{resource: multiKueueClusters, verbs: listAndWatch},
}

// waitUsable waits until the hub has Kueue, and the controller manager may nominate. It returns false when ctx has ended before.
func (c *Controller) waitUsable(ctx context.Context) bool {
	said := ""
	err := wait.PollUntilContextCancel(ctx, usablePeriod, true, func(ctx context.Context) (bool, error) {
		why, err := c.unusable(ctx)
		if err != nil {
			why = err.Error()
		}
		if why != said {
			said = why
			klog.FromContext(ctx).V(2).Info("Not nominating clusters for Workloads of Kueue", "reason", why)
		}
		return why == "", nil
	})
	return err == nil
}

// unusable returns why the dispatcher cannot work, empty if it can.
func (c *Controller) unusable(ctx context.Context) (string, error) {
	_, err := c.Hub.Discovery().ServerResourcesForGroupVersion(groupVersion.String())
	if apierrors.IsNotFound(err) {
		return "the hub does not serve " + groupVersion.String(), nil
	}
	if err != nil {
		return "", err
	}
	for _, need := range needs {
		what := authorizationv1.ResourceAttributes{Group: groupVersion.Group, Version: groupVersion.Version, Resource: need.resource, Subresource: need.subresource}
		missing, err := rights.Missing(ctx, c.Hub, what, need.verbs...)
		if err != nil {
			return "", err
		}
		// The rest is not reviewed: if no dispatcher is wanted, this goes on for ever.
		if len(missing) > 0 {
			return fmt.Sprintf("the controller manager may not %s %s", strings.Join(missing, ", "), path.Join(need.resource, need.subresource)), nil
		}
	}
	return "", nil
}
