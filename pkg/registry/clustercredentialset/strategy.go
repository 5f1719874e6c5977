// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/registry/author"
	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
)

// Rights tells what is wrong with what is asked for on member clusters.
type Rights interface {
	// ValidateRights returns what is wrong with spec, but for its target and the ServiceAccount's
	// name, by fields under path. The lifetime of the token is not looked at.
	ValidateRights(spec *multiclusterv1alpha1.AuthTokenRequestSpec, path *field.Path) field.ErrorList
}

// strategy is for the main resource: it leaves the status alone, and notes the author.
type strategy struct {
	registrystrategy.Main
	rights Rights
	// writer is whose decisions count by default, a username.
	writer  string
	masters MastersPolicy
}

func newStrategy(typer runtime.ObjectTyper, rights Rights, options Options) strategy {
	main := registrystrategy.NewMain(typer, v1alpha1.SchemeGroupVersion, author.Field)
	return strategy{main, rights, options.DecisionWriter, options.Masters}
}

func newStatusStrategy(typer runtime.ObjectTyper) registrystrategy.Status[*v1alpha1.ClusterCredentialSet] {
	return registrystrategy.NewStatus(typer, v1alpha1.SchemeGroupVersion,
		func(changed, old *v1alpha1.ClusterCredentialSet) { changed.Spec = old.Spec },
		func(obj *v1alpha1.ClusterCredentialSet) field.ErrorList {
			return validateStatus(&obj.Status, field.NewPath("status"))
		})
}

var _ interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
	rest.RESTDeleteStrategy
	rest.ResetFieldsStrategy
} = strategy{}

// PrepareForCreate implements rest.RESTCreateStrategy: a create doesn't set the status, nor
// somebody else as the author.
func (s strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	set := toSet(obj)
	s.defaultWriters(&set.Spec.Clusters)
	set.Status = v1alpha1.ClusterCredentialSetStatus{}
	set.Generation = 1
	set.Spec.Author = author.Of(ctx)
	if !slices.Contains(set.Finalizers, v1alpha1.CredentialSetFinalizer) {
		set.Finalizers = append(set.Finalizers, v1alpha1.CredentialSetFinalizer)
	}
}

// PrepareForUpdate implements rest.RESTUpdateStrategy: the status stays, the generation counts
// changes of the spec, and who makes one is the author from then on.
func (s strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	set, oldSet := toSet(obj), toSet(old)
	set.Status = oldSet.Status
	set.Spec.Author = oldSet.Spec.Author
	if clusters := &set.Spec.Clusters; clusters.DecisionKey == "" &&
		apiequality.Semantic.DeepEqual(clusters.DecisionWriters, oldSet.Spec.Clusters.DecisionWriters) {
		// They go with the key, also for who has never written them.
		clusters.DecisionWriters = nil
	}
	// A set of an earlier release stays as it is until something else of it changes.
	if !apiequality.Semantic.DeepEqual(set.Spec, oldSet.Spec) {
		s.defaultWriters(&set.Spec.Clusters)
	}
	if !apiequality.Semantic.DeepEqual(set.Spec, oldSet.Spec) {
		set.Generation = oldSet.Generation + 1
		set.Spec.Author = author.Of(ctx)
	}
}

// defaultWriters says whose decisions count where that is not said.
func (s strategy) defaultWriters(clusters *v1alpha1.ClusterSelection) {
	if clusters.DecisionKey != "" && len(clusters.DecisionWriters) == 0 {
		clusters.DecisionWriters = []string{s.writer}
	}
}

// WarningsOnCreate implements rest.RESTCreateStrategy.
func (s strategy) WarningsOnCreate(_ context.Context, obj runtime.Object) []string {
	return s.masters.warn(toSet(obj))
}

// WarningsOnUpdate implements rest.RESTUpdateStrategy.
func (s strategy) WarningsOnUpdate(_ context.Context, obj, old runtime.Object) []string {
	set, oldSet := toSet(obj), toSet(old)
	if set.Generation == oldSet.Generation {
		return nil
	}
	warnings := s.masters.warn(set)
	next, was := &set.Spec.Clusters, &oldSet.Spec.Clusters
	if was.DecisionKey != "" && len(was.DecisionWriters) == 0 && len(next.DecisionWriters) > 0 {
		warnings = append(warnings, fmt.Sprintf("spec.clusters.decisionWriters: from now on only PlacementDecisions written by %s count; "+
			"until now those of any writer did", strings.Join(next.DecisionWriters, ", ")))
	}
	return warnings
}

// Validate implements rest.RESTCreateStrategy.
func (s strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return append(s.validateCreate(toSet(obj)), s.masters.refuse(toSet(obj))...)
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (s strategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	set, oldSet := toSet(obj), toSet(old)
	errs := s.validateUpdate(set, oldSet)
	if set.Generation != oldSet.Generation {
		how := ". Or review it, and become its author first: " + credentialset.ShowCommand(oldSet)
		errs = append(errs, author.CheckWhole(ctx, set.Spec.Author, oldSet.Spec.Author, how)...)
	}
	return errs
}

// toSet panics for any other type than that which NewFunc of the store returns.
func toSet(obj runtime.Object) *v1alpha1.ClusterCredentialSet {
	return registrystrategy.To[*v1alpha1.ClusterCredentialSet](obj)
}
