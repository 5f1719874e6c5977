// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placementdecision

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
)

// maxDecisions is the limit of upstream's CRD for one slice.
const maxDecisions = 100

type strategy struct {
	registrystrategy.Namespaced
}

var _ interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
	rest.RESTDeleteStrategy
} = strategy{}

// PrepareForCreate implements rest.RESTCreateStrategy.
func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	toDecision(obj).Generation = 1
}

// PrepareForUpdate implements rest.RESTUpdateStrategy: the generation counts changes of all but the metadata.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	decision, oldDecision := toDecision(obj), toDecision(old)
	same := decision.SchedulerName == oldDecision.SchedulerName &&
		apiequality.Semantic.DeepEqual(decision.Decisions, oldDecision.Decisions)
	if !same {
		decision.Generation = oldDecision.Generation + 1
	}
}

// Validate implements rest.RESTCreateStrategy.
func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	decision := toDecision(obj)
	errs := validation.ValidateObjectMeta(&decision.ObjectMeta, true, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	return append(errs, validateDecisions(decision.Decisions, field.NewPath("decisions"))...)
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (strategy) ValidateUpdate(_ context.Context, obj, _ runtime.Object) field.ErrorList {
	return validateDecisions(toDecision(obj).Decisions, field.NewPath("decisions"))
}

// validateDecisions refuses a missing list, and takes an empty one.
func validateDecisions(decisions []inventoryv1alpha1.ClusterDecision, path *field.Path) field.ErrorList {
	if decisions == nil {
		return field.ErrorList{field.Required(path, "may be empty")}
	}
	if len(decisions) > maxDecisions {
		return field.ErrorList{field.TooMany(path, len(decisions), maxDecisions)}
	}
	var errs field.ErrorList
	for i := range decisions {
		if decisions[i].ClusterProfileRef.Name == "" {
			errs = append(errs, field.Required(path.Index(i).Child("clusterProfileRef", "name"), ""))
		}
	}
	return errs
}

// toDecision panics for any other type than that which NewFunc of the store returns.
func toDecision(obj runtime.Object) *inventoryv1alpha1.PlacementDecision {
	//nolint:forcetypeassert,errcheck // A strategy can't return an error, and the store holds nothing else.
	return obj.(*inventoryv1alpha1.PlacementDecision)
}
