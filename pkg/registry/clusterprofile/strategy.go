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
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"clusterpass.dev/apis/multicluster/v1alpha2"
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

// statusStrategy is for the subresource status.
type statusStrategy struct {
	registrystrategy.Status[*inventoryv1alpha1.ClusterProfile]
}

func newStatusStrategy(typer runtime.ObjectTyper) statusStrategy {
	return statusStrategy{registrystrategy.NewStatus(typer, inventoryv1alpha1.GroupVersion,
		func(changed, old *inventoryv1alpha1.ClusterProfile) { changed.Spec = old.Spec },
		func(obj *inventoryv1alpha1.ClusterProfile) field.ErrorList {
			return validateStatus(&obj.Status, field.NewPath("status"))
		})}
}

// bothVersions returns fields, which has those of v1alpha1, with the same for v1alpha2.
func bothVersions(fields map[fieldpath.APIVersion]*fieldpath.Set) map[fieldpath.APIVersion]*fieldpath.Set {
	fields[fieldpath.APIVersion(v1alpha2.SchemeGroupVersion.String())] =
		fields[fieldpath.APIVersion(inventoryv1alpha1.GroupVersion.String())]
	return fields
}

// inV1alpha2 returns a copy of status without what v1alpha2 lacks.
func inV1alpha2(status *inventoryv1alpha1.ClusterProfileStatus) inventoryv1alpha1.ClusterProfileStatus {
	known := *status.DeepCopy()
	known.CredentialProviders = nil
	for i := range known.AccessProviders {
		known.AccessProviders[i].Cluster.CertificateAuthority = ""
	}
	return known
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (s strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return bothVersions(s.Main.GetResetFields())
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (s statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return bothVersions(s.Status.GetResetFields())
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (s statusStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	errs := s.Status.ValidateUpdate(ctx, obj, old)
	if registrystrategy.IsV1alpha2(ctx) {
		stored := inV1alpha2(&toProfile(old).Status)
		errs = append(errs, validateV1alpha2Status(&toProfile(obj).Status, &stored, field.NewPath("status"))...)
	}
	return errs
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
// changes of the spec. A request in v1alpha2 removes what that version lacks, as one to a CRD with
// both versions does.
func (strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	profile, oldProfile := toProfile(obj), toProfile(old)
	profile.Status = oldProfile.Status
	if registrystrategy.IsV1alpha2(ctx) {
		profile.Status = inV1alpha2(&oldProfile.Status)
	}
	if !apiequality.Semantic.DeepEqual(profile.Spec, oldProfile.Spec) {
		profile.Generation = oldProfile.Generation + 1
	}
}

// Validate implements rest.RESTCreateStrategy.
func (strategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	errs := validateCreate(toProfile(obj))
	if registrystrategy.IsV1alpha2(ctx) {
		errs = append(errs, validateV1alpha2Manager(toProfile(obj).Spec.ClusterManager.Name)...)
	}
	return errs
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validateUpdate(toProfile(obj), toProfile(old))
}
