// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/registry/internal/table"
)

var columns = []metav1.TableColumnDefinition{
	{Name: "Manager", Type: "string", Description: "Cluster manager that owns the profile."},
	{Name: "Version", Type: "string", Description: "Kubernetes version of the cluster, if it is known."},
	{Name: "Healthy", Type: "string", Description: "Status of the condition ControlPlaneHealthy, Unknown if there is none."},
	{Name: "Display Name", Type: "string", Priority: table.Wide, Description: "Name of the cluster for people."},
}

func cells(profile *inventoryv1alpha1.ClusterProfile) []any {
	return []any{
		profile.Spec.ClusterManager.Name,
		profile.Status.Version.Kubernetes,
		healthy(profile.Status.Conditions),
		profile.Spec.DisplayName,
	}
}

func healthy(conditions []metav1.Condition) string {
	condition := meta.FindStatusCondition(conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	if condition == nil {
		return string(metav1.ConditionUnknown)
	}
	return string(condition.Status)
}
