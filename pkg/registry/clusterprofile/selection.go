// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"fmt"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// The fields that a field selector may name.
const (
	nameField      = "metadata.name"
	namespaceField = "metadata.namespace"
	managerField   = "spec.clusterManager.name"
)

// AddFieldLabelConversion makes scheme accept the field selectors of ClusterProfiles.
func AddFieldLabelConversion(scheme *runtime.Scheme) error {
	kind := inventoryv1alpha1.GroupVersion.WithKind(inventoryv1alpha1.ClusterProfileKind)
	return scheme.AddFieldLabelConversionFunc(kind, func(label, value string) (string, string, error) {
		switch label {
		case nameField, namespaceField, managerField:
			return label, value, nil
		default:
			return "", "", fmt.Errorf("%q is not a known field selector: only %q, %q, %q", label, nameField, namespaceField, managerField)
		}
	})
}

// getAttrs returns what selectors of labels and fields look at.
func getAttrs(obj runtime.Object) (labels.Set, fields.Set, error) {
	profile, ok := obj.(*inventoryv1alpha1.ClusterProfile)
	if !ok {
		return nil, nil, fmt.Errorf("a ClusterProfile expected, not a %T", obj)
	}
	set := generic.AddObjectMetaFieldsSet(make(fields.Set, 3), &profile.ObjectMeta, true)
	set[managerField] = profile.Spec.ClusterManager.Name
	return profile.Labels, set, nil
}

func match(label labels.Selector, field fields.Selector) storage.SelectionPredicate {
	return storage.SelectionPredicate{
		Label:       label,
		Field:       field,
		GetAttrs:    getAttrs,
		IndexFields: []string{managerField},
	}
}

// triggers spare a watch of one manager's profiles the events of the others'.
var triggers = storage.IndexerFuncs{
	managerField: func(obj runtime.Object) string {
		return toProfile(obj).Spec.ClusterManager.Name
	},
}
