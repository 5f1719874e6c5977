// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokengrant

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

const (
	profileUIDField = "spec.clusterProfile.uid"
	// metadataFields is how many fields generic.AddObjectMetaFieldsSet sets.
	metadataFields = 2
)

// specFields are the fields of the spec that a field selector may name.
var specFields = map[string]func(*v1alpha1.AuthTokenGrantSpec) string{
	"spec.clusterProfile.namespace": func(spec *v1alpha1.AuthTokenGrantSpec) string { return spec.ClusterProfile.Namespace },
	"spec.clusterProfile.name":      func(spec *v1alpha1.AuthTokenGrantSpec) string { return spec.ClusterProfile.Name },
	profileUIDField:                 profileUID,
	"spec.serviceAccount.namespace": func(spec *v1alpha1.AuthTokenGrantSpec) string { return spec.ServiceAccount.Namespace },
	"spec.serviceAccount.name":      func(spec *v1alpha1.AuthTokenGrantSpec) string { return spec.ServiceAccount.Name },
	"spec.requester.username":       func(spec *v1alpha1.AuthTokenGrantSpec) string { return spec.Requester.Username },
}

func profileUID(spec *v1alpha1.AuthTokenGrantSpec) string { return string(spec.ClusterProfile.UID) }

// AddFieldLabelConversion makes scheme accept the field selectors of AuthTokenGrants.
func AddFieldLabelConversion(scheme *runtime.Scheme) error {
	known := []string{"metadata.name", "metadata.namespace"}
	for name := range specFields {
		known = append(known, name)
	}
	slices.Sort(known)
	kind := v1alpha1.SchemeGroupVersion.WithKind("AuthTokenGrant")
	return scheme.AddFieldLabelConversionFunc(kind, func(label, value string) (string, string, error) {
		if !slices.Contains(known, label) {
			return "", "", fmt.Errorf("%q is not a known field selector: only %q", label, known)
		}
		return label, value, nil
	})
}

// getAttrs returns what selectors of labels and fields look at.
func getAttrs(obj runtime.Object) (labels.Set, fields.Set, error) {
	grant, ok := obj.(*v1alpha1.AuthTokenGrant)
	if !ok {
		return nil, nil, fmt.Errorf("an AuthTokenGrant expected, not a %T", obj)
	}
	set := make(fields.Set, len(specFields)+metadataFields)
	for name, value := range specFields {
		set[name] = value(&grant.Spec)
	}
	return grant.Labels, generic.AddObjectMetaFieldsSet(set, &grant.ObjectMeta, true), nil
}

func match(label labels.Selector, field fields.Selector) storage.SelectionPredicate {
	return storage.SelectionPredicate{
		Label:       label,
		Field:       field,
		GetAttrs:    getAttrs,
		IndexFields: []string{profileUIDField},
	}
}

// triggers spare a watch of one cluster's grants the events of the others'.
var triggers = storage.IndexerFuncs{
	profileUIDField: func(obj runtime.Object) string { return profileUID(&toGrant(obj).Spec) },
}

// indexers find one cluster's grants without a look at the others'.
var indexers = cache.Indexers{
	storage.FieldIndex(profileUIDField): func(obj any) ([]string, error) {
		grant, ok := obj.(*v1alpha1.AuthTokenGrant)
		if !ok {
			return nil, fmt.Errorf("an AuthTokenGrant expected, not a %T", obj)
		}
		return []string{profileUID(&grant.Spec)}, nil
	},
}
