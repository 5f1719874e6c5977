// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/pager"
	"k8s.io/klog/v2"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
)

const (
	// grantPage bounds the grants in one answer of the hub.
	grantPage = 500
	// namedGrants bounds the grants that an event names.
	namedGrants = 5
)

// removeOrphans removes from a member what carries this hub's id and belongs to no grant, or is not
// named by the grant that it belongs to.
//
// A grant is stored before anything is made for it. So what was found before grants are listed, and
// belongs to none of those, belongs to none at all, and the cache of grants only says whether to
// look.
func (c *Controller) removeOrphans(
	ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, client *member.Client, found, again *grant.Found,
) error {
	if len(orphans(again, byUID(c.cached()))) == 0 {
		c.left(profile.UID, 0)
		return nil
	}
	stored, err := c.stored(ctx)
	if err != nil {
		return fmt.Errorf("grants as they are stored: %w", err)
	}
	doomed := slices.DeleteFunc(orphans(again, stored), func(o grant.Object) bool { return !found.Has(o) })
	removable := doomed[:min(len(doomed), c.MaxRemovals)]
	for i, o := range removable {
		if err := grant.RemoveExactly(ctx, client.Kubernetes(), o); err != nil {
			c.left(profile.UID, len(doomed)-i)
			return client.Error(err, "remove what belongs to no grant")
		}
		removals.Inc()
	}
	c.left(profile.UID, len(doomed)-len(removable))
	c.recordRemoved(ctx, profile, removable, len(doomed)-len(removable))
	return nil
}

// orphans returns what was found that no grant names, in the order in which to remove it. Grants
// that are being deleted are revoked elsewhere.
func orphans(found *grant.Found, grants map[types.UID]*v1alpha1.AuthTokenGrant) []grant.Object {
	return slices.DeleteFunc(found.Objects(), func(o grant.Object) bool {
		g, ok := grants[o.Grant]
		return ok && (g.DeletionTimestamp != nil || slices.Contains(grant.AllObjects(g), o.MemberObject))
	})
}

func byUID(grants []*v1alpha1.AuthTokenGrant) map[types.UID]*v1alpha1.AuthTokenGrant {
	all := make(map[types.UID]*v1alpha1.AuthTokenGrant, len(grants))
	for _, g := range grants {
		all[g.UID] = g
	}
	return all
}

// stored lists all grants without a cache.
func (c *Controller) stored(ctx context.Context) (map[types.UID]*v1alpha1.AuthTokenGrant, error) {
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return c.Client.ClusterpassV1alpha1().AuthTokenGrants(metav1.NamespaceAll).List(ctx, options)
	})
	pages.PageSize = grantPage
	all := map[types.UID]*v1alpha1.AuthTokenGrant{}
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
		g, ok := o.(*v1alpha1.AuthTokenGrant)
		if !ok {
			return fmt.Errorf("a %T among the grants", o)
		}
		all[g.UID] = g
		return nil
	})
	return all, err
}

// recordRemoved records events on the ClusterProfile about what was removed, and what was not.
func (c *Controller) recordRemoved(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, removed []grant.Object, left int) {
	if len(removed) == 0 {
		return
	}
	uids := sets.New[string]()
	for _, o := range removed {
		uids.Insert(string(o.Grant))
	}
	names := sets.List(uids)
	names = names[:min(len(names), namedGrants)]
	klog.FromContext(ctx).Info("Removed what belongs to no grant", "objects", len(removed), "grants", len(uids), "first", names, "left", left)
	c.Recorder.Eventf(profile, nil, corev1.EventTypeNormal, "OrphansRemoved", "Sweep",
		"%d objects on the member cluster belonged to no grant of this hub, or were not named by theirs: grant UIDs %s",
		len(removed), strings.Join(names, ", "))
	if left > 0 {
		c.Recorder.Eventf(profile, nil, corev1.EventTypeWarning, "OrphansLeft", "Sweep",
			"%d more are left for the next sweep: one removes at most %d. Check that no grants were lost by mistake", left, c.MaxRemovals)
	}
}
