// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package strategy holds what the strategies of all stored resources have in common.
package strategy

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage/names"
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
