// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// contentOf returns Outcome.Content for a stored object.
func contentOf(object *unstructured.Unstructured) map[string]any {
	content := runtime.DeepCopyJSON(object.Object)
	metadata, _ := content["metadata"].(map[string]any)
	// This one is the server's, and pkg/registry/placementdecision says so.
	unstructured.RemoveNestedField(metadata, "annotations", v1alpha1.AnnotationDecisionWriter)
	content["metadata"] = map[string]any{
		"labels":      metadata["labels"],
		"annotations": metadata["annotations"],
		"finalizers":  metadata["finalizers"],
		"generation":  metadata["generation"],
	}
	pruned, _ := withoutZeros(content).(map[string]any)
	return pruned
}

// withoutZeros returns nil for what says nothing. It looks into everything but the extensions of a
// cluster, which are to be kept as they came.
func withoutZeros(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, field := range value {
			if key == "extension" {
				continue
			}
			if value[key] = withoutZeros(field); value[key] == nil {
				delete(value, key)
			}
		}
		if len(value) == 0 {
			return nil
		}
		return value
	case []any:
		for i := range value {
			value[i] = withoutZeros(value[i])
		}
		if len(value) == 0 {
			return nil
		}
		return value
	default:
		if value == nil || reflect.ValueOf(value).IsZero() {
			return nil
		}
		return value
	}
}

// appliedBy returns Outcome.Applied for a stored object.
func appliedBy(object *unstructured.Unstructured) map[string]string {
	owned := map[string]string{}
	for _, entry := range object.GetManagedFields() {
		if entry.Operation == metav1.ManagedFieldsOperationApply {
			owned[entry.Manager+"/"+entry.Subresource] = entry.FieldsV1.String()
		}
	}
	return owned
}
