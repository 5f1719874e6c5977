// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterscore

import (
	"fmt"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// The fields that a field selector may name.
const (
	nameField      = "metadata.name"
	namespaceField = "metadata.namespace"
	profileField   = "spec.clusterProfileName"
	resourceField  = "spec.resourceName"
)

// AddFieldLabelConversion makes scheme accept the field selectors of ClusterScores.
func AddFieldLabelConversion(scheme *runtime.Scheme) error {
	kind := v1alpha1.SchemeGroupVersion.WithKind("ClusterScore")
	return scheme.AddFieldLabelConversionFunc(kind, func(label, value string) (string, string, error) {
		switch label {
		case nameField, namespaceField, profileField, resourceField:
			return label, value, nil
		default:
			return "", "", fmt.Errorf("%q is not a known field selector: only %q, %q, %q, %q",
				label, nameField, namespaceField, profileField, resourceField)
		}
	})
}

// getAttrs returns what selectors of labels and fields look at.
func getAttrs(obj runtime.Object) (labels.Set, fields.Set, error) {
	score, ok := obj.(*v1alpha1.ClusterScore)
	if !ok {
		return nil, nil, fmt.Errorf("a ClusterScore expected, not a %T", obj)
	}
	set := generic.AddObjectMetaFieldsSet(make(fields.Set, 4), &score.ObjectMeta, true)
	set[profileField] = score.Spec.ClusterProfileName
	set[resourceField] = score.Spec.ResourceName
	return score.Labels, set, nil
}

func match(label labels.Selector, field fields.Selector) storage.SelectionPredicate {
	return storage.SelectionPredicate{
		Label:       label,
		Field:       field,
		GetAttrs:    getAttrs,
		IndexFields: []string{resourceField},
	}
}

// triggers spare a watch of one resource name the events of the others'.
var triggers = storage.IndexerFuncs{
	resourceField: func(obj runtime.Object) string { return toScore(obj).Spec.ResourceName },
}
