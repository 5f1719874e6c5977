// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package strategy holds what the strategies of all stored resources have in common.
package strategy

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
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

// AllowUnconditionalUpdate implements rest.RESTUpdateStrategy: a PUT names the resourceVersion it is based on.
func (Namespaced) AllowUnconditionalUpdate(context.Context) bool { return false }

// WarningsOnCreate implements rest.RESTCreateStrategy.
func (Namespaced) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// WarningsOnUpdate implements rest.RESTUpdateStrategy.
func (Namespaced) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// Canonicalize implements rest.RESTCreateStrategy and rest.RESTUpdateStrategy.
func (Namespaced) Canonicalize(runtime.Object) {}

// Main is the part of the strategy of a resource that has a subresource status, and leaves that alone.
type Main struct {
	Namespaced

	version schema.GroupVersion
}

// NewMain returns a Main for a type of version, which typer knows.
func NewMain(typer runtime.ObjectTyper, version schema.GroupVersion) Main {
	return Main{Namespaced: New(typer), version: version}
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (m Main) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetFields(m.version, "status")
}

// Status is the part of the strategy of a subresource status, and leaves everything else alone.
type Status struct {
	Namespaced

	version schema.GroupVersion
}

// NewStatus returns a Status for a type of version, which typer knows.
func NewStatus(typer runtime.ObjectTyper, version schema.GroupVersion) Status {
	return Status{Namespaced: New(typer), version: version}
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (s Status) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetFields(s.version, "metadata", "spec")
}

func resetFields(version schema.GroupVersion, names ...string) map[fieldpath.APIVersion]*fieldpath.Set {
	set := fieldpath.NewSet()
	for _, name := range names {
		set.Insert(fieldpath.MakePathOrDie(name))
	}
	return map[fieldpath.APIVersion]*fieldpath.Set{fieldpath.APIVersion(version.String()): set}
}

// KeepMetadata undoes all changes of an object's metadata but those of its managed fields, as an
// update of the status of a custom resource does.
func KeepMetadata(changed, old *metav1.ObjectMeta) {
	managedFields := changed.ManagedFields
	old.DeepCopyInto(changed)
	changed.ManagedFields = managedFields
}
