// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
)

var toProfile = registrystrategy.To[*inventoryv1alpha1.ClusterProfile]

// strategy is for the main resource: it keeps the status.
type strategy struct {
	registrystrategy.Main
}

func newStrategy(typer runtime.ObjectTyper) strategy {
	return strategy{registrystrategy.NewMain(typer, inventoryv1alpha1.GroupVersion)}
}

func newStatusStrategy(typer runtime.ObjectTyper) registrystrategy.Status[*inventoryv1alpha1.ClusterProfile] {
	return registrystrategy.NewStatus(typer, inventoryv1alpha1.GroupVersion,
		func(changed, old *inventoryv1alpha1.ClusterProfile) { changed.Spec = old.Spec },
		func(obj *inventoryv1alpha1.ClusterProfile) field.ErrorList {
			return validateStatus(&obj.Status, field.NewPath("status"))
		})
}

// AddDefaults makes scheme decode a profile without conditions as one with an empty list.
// Otherwise, upstream's type would encode the missing list as null, which no CRD returns.
func AddDefaults(scheme *runtime.Scheme) {
	scheme.AddTypeDefaultingFunc(&inventoryv1alpha1.ClusterProfile{}, func(obj any) {
		if profile, ok := obj.(*inventoryv1alpha1.ClusterProfile); ok && profile.Status.Conditions == nil {
			profile.Status.Conditions = []metav1.Condition{}
		}
	})
}

// PrepareForCreate implements rest.RESTCreateStrategy: a create doesn't set the status.
func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	profile := toProfile(obj)
	profile.Status = inventoryv1alpha1.ClusterProfileStatus{Conditions: []metav1.Condition{}}
	profile.Generation = 1
}

// PrepareForUpdate implements rest.RESTUpdateStrategy: the status stays, and the generation counts
// changes of the spec.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	profile, oldProfile := toProfile(obj), toProfile(old)
	profile.Status = oldProfile.Status
	if !apiequality.Semantic.DeepEqual(profile.Spec, oldProfile.Spec) {
		profile.Generation = oldProfile.Generation + 1
	}
}

// Validate implements rest.RESTCreateStrategy.
func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validateCreate(toProfile(obj))
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validateUpdate(toProfile(obj), toProfile(old))
}
