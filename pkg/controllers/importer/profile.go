// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package importer

import (
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
)

// labelsOf returns the labels of the profile of a Cluster. Karmada knows the id of a member; that
// of others comes from the health controller.
func labelsOf(platform *Platform, cluster *unstructured.Unstructured) map[string]string {
	labels := map[string]string{v1alpha2.LabelClusterManager: platform.Manager}
	if id, _, _ := unstructured.NestedString(cluster.Object, "spec", "id"); id != "" {
		labels[v1alpha2.LabelInventoryMemberID] = id
	}
	return labels
}

// ownerOf returns the reference by which the hub's garbage collector deletes the profile of a
// Cluster, even where this controller does not run.
func ownerOf(cluster *unstructured.Unstructured) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: cluster.GetAPIVersion(), Kind: cluster.GetKind(), Name: cluster.GetName(), UID: cluster.GetUID(),
	}
}

// owners returns the references of a profile to Clusters of the kind of cluster.
func owners(profile *inventoryv1alpha1.ClusterProfile, cluster *unstructured.Unstructured) []metav1.OwnerReference {
	kind := cluster.GroupVersionKind().GroupKind()
	var found []metav1.OwnerReference
	for _, owner := range profile.OwnerReferences {
		if schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind() == kind {
			found = append(found, owner)
		}
	}
	return found
}

// isStale returns whether a profile belongs to another Cluster than cluster, which has its name.
func isStale(profile *inventoryv1alpha1.ClusterProfile, cluster *unstructured.Unstructured) bool {
	return slices.ContainsFunc(owners(profile, cluster), func(owner metav1.OwnerReference) bool { return owner.UID != cluster.GetUID() })
}

// metadataPatch returns the patch that restores the labels and the owner of a profile, or nil if it
// has them. Other labels and owners stay.
func metadataPatch(platform *Platform, cluster *unstructured.Unstructured, profile *inventoryv1alpha1.ClusterProfile) []byte {
	change := map[string]any{}
	labels := map[string]string{}
	for key, value := range labelsOf(platform, cluster) {
		if profile.Labels[key] != value {
			labels[key] = value
		}
	}
	if len(labels) > 0 {
		change["labels"] = labels
	}
	if len(owners(profile, cluster)) == 0 {
		change["ownerReferences"] = append(slices.Clone(profile.OwnerReferences), ownerOf(cluster))
	}
	if len(change) == 0 {
		return nil
	}
	change["uid"], change["resourceVersion"] = profile.UID, profile.ResourceVersion
	patch, err := json.Marshal(map[string]any{"metadata": change})
	if err != nil {
		return nil // strings can be marshalled
	}
	return patch
}

// withEntry returns list with entry in place of the one that has its name, or at its end.
func withEntry(list []inventoryv1alpha1.AccessProvider, entry *inventoryv1alpha1.AccessProvider) []inventoryv1alpha1.AccessProvider {
	i := slices.IndexFunc(list, func(each inventoryv1alpha1.AccessProvider) bool { return each.Name == entry.Name })
	if i < 0 {
		return append(list, *entry)
	}
	list[i] = *entry
	return list
}
