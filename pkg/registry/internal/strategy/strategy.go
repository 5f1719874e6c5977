// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package strategy holds what the strategies of all stored resources have in common.
package strategy

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"clusterpass.dev/apis/multicluster/v1alpha2"
)

// Namespaced is the part of a strategy in which a namespaced resource behaves as a custom
// resource does. A strategy embeds it and adds what it prepares and validates.
type Namespaced struct {
	runtime.ObjectTyper
	names.NameGenerator
}

// New returns a Namespaced for the types that typer knows.
func New(typer runtime.ObjectTyper) Namespaced {
	return Namespaced{ObjectTyper: typer, NameGenerator: names.SimpleNameGenerator}
}

// NamespaceScoped implements rest.RESTCreateStrategy.
func (Namespaced) NamespaceScoped() bool { return true }

// AllowCreateOnUpdate implements rest.RESTUpdateStrategy: a PUT creates nothing. Server-side
// apply does, whatever is returned here.
func (Namespaced) AllowCreateOnUpdate(context.Context) bool { return false }

// AllowUnconditionalUpdate implements rest.RESTUpdateStrategy: a PUT names the resourceVersion it
// is based on.
func (Namespaced) AllowUnconditionalUpdate(context.Context) bool { return false }

// WarningsOnCreate implements rest.RESTCreateStrategy.
func (Namespaced) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// WarningsOnUpdate implements rest.RESTUpdateStrategy.
func (Namespaced) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// Canonicalize implements rest.RESTCreateStrategy and rest.RESTUpdateStrategy.
func (Namespaced) Canonicalize(runtime.Object) {}

// Main is the part of the strategy of a resource that has a subresource status, and leaves that
// alone.
type Main struct {
	Namespaced

	version schema.GroupVersion
	reset   []fieldpath.Path
}

// NewMain returns a Main for a type of version, which typer knows. Field managers own neither the
// status nor the fields of reset.
func NewMain(typer runtime.ObjectTyper, version schema.GroupVersion, reset ...fieldpath.Path) Main {
	return Main{Namespaced: New(typer), version: version, reset: append(reset, fieldpath.MakePathOrDie("status"))}
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (m Main) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetFields(m.version, m.reset...)
}

// Status is the strategy of a subresource status: of everything else, only the managed fields
// change, as with a custom resource.
type Status[T metav1.ObjectMetaAccessor] struct {
	Namespaced

	version  schema.GroupVersion
	keepSpec func(changed, old T)
	validate func(T) field.ErrorList
}

// NewStatus returns a Status for a type of version, which typer knows. keepSpec sets the spec of an
// object to that of the old one, and validate returns what is wrong with the status of one.
func NewStatus[T metav1.ObjectMetaAccessor](
	typer runtime.ObjectTyper, version schema.GroupVersion, keepSpec func(changed, old T), validate func(T) field.ErrorList,
) Status[T] {
	return Status[T]{Namespaced: New(typer), version: version, keepSpec: keepSpec, validate: validate}
}

// PrepareForUpdate implements rest.RESTUpdateStrategy.
func (s Status[T]) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	changed, was := To[T](obj), To[T](old)
	keepMetadata(changed, was)
	s.keepSpec(changed, was)
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (s Status[T]) ValidateUpdate(_ context.Context, obj, _ runtime.Object) field.ErrorList {
	return s.validate(To[T](obj))
}

// To returns an object as the type that the NewFunc of a store returns, and panics for any other.
func To[T any](obj runtime.Object) T {
	//nolint:forcetypeassert,errcheck // A strategy cannot return an error, and the store holds nothing else.
	return obj.(T)
}

// IsV1alpha2 returns whether ctx comes from a request in multicluster.x-k8s.io/v1alpha2, which
// refuses more than v1alpha1.
func IsV1alpha2(ctx context.Context) bool {
	info, ok := genericapirequest.RequestInfoFrom(ctx)
	return ok && info.APIGroup == v1alpha2.GroupName && info.APIVersion == v1alpha2.SchemeGroupVersion.Version
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (s Status[T]) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetFields(s.version, fieldpath.MakePathOrDie("metadata"), fieldpath.MakePathOrDie("spec"))
}

func resetFields(version schema.GroupVersion, paths ...fieldpath.Path) map[fieldpath.APIVersion]*fieldpath.Set {
	return map[fieldpath.APIVersion]*fieldpath.Set{fieldpath.APIVersion(version.String()): fieldpath.NewSet(paths...)}
}

// keepMetadata undoes all changes of an object's metadata but those of its managed fields, as an
// update of the status of a custom resource does.
func keepMetadata(changed, old metav1.ObjectMetaAccessor) {
	managedFields := changed.GetObjectMeta().GetManagedFields()
	//nolint:forcetypeassert,errcheck // The metadata of a stored object is nothing else.
	*changed.GetObjectMeta().(*metav1.ObjectMeta) = *old.GetObjectMeta().(*metav1.ObjectMeta).DeepCopy()
	changed.GetObjectMeta().SetManagedFields(managedFields)
}
