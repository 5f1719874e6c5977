// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/klog/v2"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/member"
)

// identify sets the label inventory-member-id of a profile that has none, once while the controller
// runs: to the UID that join has noted, or else to what its healthy member says.
func (c *Controller) identify(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, o *observed) {
	if o.identified || profile.Labels[v1alpha2.LabelInventoryMemberID] != "" || o.probe.status != metav1.ConditionTrue ||
		c.Clock.Since(o.lastWrite) < c.WriteInterval {
		return
	}
	uid := profile.Annotations[member.MemberUIDAnnotation]
	if uid == "" {
		uid = c.uidOf(ctx, profile)
	}
	if uid == "" || len(validation.IsValidLabelValue(uid)) > 0 {
		return
	}
	patch := fmt.Appendf(nil, `{"metadata":{"uid":%q,"resourceVersion":%q,"labels":{%q:%q}}}`,
		profile.UID, profile.ResourceVersion, v1alpha2.LabelInventoryMemberID, uid)
	_, err := c.Client.ApisV1alpha1().ClusterProfiles(profile.Namespace).Patch(ctx, profile.Name, types.MergePatchType, patch, patchOptions)
	switch {
	case err == nil:
		o.identified, o.lastWrite = true, c.Clock.Now()
	case apierrors.IsConflict(err):
		// The next probe sees the newer profile.
	default:
		o.identified = apierrors.IsForbidden(err) || apierrors.IsInvalid(err)
		klog.FromContext(ctx).Info("The label inventory-member-id of a ClusterProfile was not written",
			"clusterProfile", klog.KObj(profile), "reason", err)
	}
}

// uidOf returns what the member of a profile says it is, empty if it does not.
func (c *Controller) uidOf(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) string {
	client, err := c.Members.For(ctx, profile)
	if err != nil {
		return ""
	}
	uid, err := client.MemberUID(ctx)
	if err != nil {
		return ""
	}
	return string(uid)
}
