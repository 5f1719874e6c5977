// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"context"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/registry/internal/author"
	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
)

// Rights tells what is wrong with what is asked for on member clusters.
type Rights interface {
	// ValidateRights returns what is wrong with spec, but for its target and the ServiceAccount's name, by fields under path.
	ValidateRights(spec *multiclusterv1alpha1.AuthTokenRequestSpec, path *field.Path) field.ErrorList
}

// strategy is for the main resource: it leaves the status alone, and notes the author.
type strategy struct {
	registrystrategy.Main
	rights Rights
}

// statusStrategy is for the subresource status: it leaves everything else alone.
type statusStrategy struct {
	registrystrategy.Status
}

func newStrategy(typer runtime.ObjectTyper, rights Rights) strategy {
	return strategy{registrystrategy.NewMain(typer, v1alpha1.SchemeGroupVersion), rights}
}

func newStatusStrategy(typer runtime.ObjectTyper) statusStrategy {
	return statusStrategy{registrystrategy.NewStatus(typer, v1alpha1.SchemeGroupVersion)}
}

var _ interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
	rest.RESTDeleteStrategy
	rest.ResetFieldsStrategy
} = strategy{}

var _ interface {
	rest.RESTUpdateStrategy
	rest.ResetFieldsStrategy
} = statusStrategy{}

// GetResetFields implements rest.ResetFieldsStrategy: nobody owns the author, which the server sets.
func (s strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	fields := s.Main.GetResetFields()
	for _, set := range fields {
		set.Insert(fieldpath.MakePathOrDie("spec", "author"))
	}
	return fields
}

// PrepareForCreate implements rest.RESTCreateStrategy: a create doesn't set the status, nor somebody else as the author.
func (strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	set := toSet(obj)
	set.Status = v1alpha1.ClusterCredentialSetStatus{}
	set.Generation = 1
	set.Spec.Author = author.Of(ctx)
	if !slices.Contains(set.Finalizers, v1alpha1.CredentialSetFinalizer) {
		set.Finalizers = append(set.Finalizers, v1alpha1.CredentialSetFinalizer)
	}
}

// PrepareForUpdate implements rest.RESTUpdateStrategy: the status stays, the generation counts changes of the spec, and who makes
// one is the author from then on.
func (strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	set, oldSet := toSet(obj), toSet(old)
	set.Status = oldSet.Status
	set.Spec.Author = oldSet.Spec.Author
	if !apiequality.Semantic.DeepEqual(set.Spec, oldSet.Spec) {
		set.Generation = oldSet.Generation + 1
		set.Spec.Author = author.Of(ctx)
	}
}

// Validate implements rest.RESTCreateStrategy.
func (s strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return s.validateCreate(toSet(obj))
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (s strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return s.validateUpdate(toSet(obj), toSet(old))
}

// PrepareForUpdate implements rest.RESTUpdateStrategy: as with a custom resource, of
// everything but the status only the managed fields change.
func (statusStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	set, oldSet := toSet(obj), toSet(old)
	registrystrategy.KeepMetadata(&set.ObjectMeta, &oldSet.ObjectMeta)
	set.Spec = oldSet.Spec
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (statusStrategy) ValidateUpdate(_ context.Context, obj, _ runtime.Object) field.ErrorList {
	return validateStatus(&toSet(obj).Status, field.NewPath("status"))
}

// toSet panics for any other type than that which NewFunc of the store returns.
func toSet(obj runtime.Object) *v1alpha1.ClusterCredentialSet {
	//nolint:forcetypeassert,errcheck // A strategy can't return an error, and the store holds nothing else.
	return obj.(*v1alpha1.ClusterCredentialSet)
}
