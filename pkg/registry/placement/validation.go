// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	registryvalidation "clusterpass.dev/pkg/registry/internal/validation"
	"clusterpass.dev/pkg/scheduling"
)

const (
	// maxName is the limit of a label's value: PlacementDecisions have a label with the name of their
	// placement.
	maxName = utilvalidation.LabelValueMaxLength
	// maxTolerationValue is the limit of OCM's CRD.
	maxTolerationValue = 1024
)

func validateCreate(placement *v1alpha1.Placement) field.ErrorList {
	metadata := field.NewPath("metadata")
	errs := apivalidation.ValidateObjectMeta(&placement.ObjectMeta, true, apivalidation.NameIsDNSSubdomain, metadata)
	if len(placement.Name) > maxName {
		errs = append(errs, field.TooLong(metadata.Child("name"), "", maxName))
	}
	return append(errs, validateSpec(placement, field.NewPath("spec"))...)
}

// validateUpdate accepts an unchanged spec, which an earlier release may have considered valid.
func validateUpdate(placement, old *v1alpha1.Placement) field.ErrorList {
	if apiequality.Semantic.DeepEqual(placement.Spec, old.Spec) {
		return nil
	}
	return validateSpec(placement, field.NewPath("spec"))
}

// validateSpec compiles the spec with the scheduler's code to find errors, and adds checks that the
// scheduler does not need. It does not compile a spec that is too large.
func validateSpec(placement *v1alpha1.Placement, path *field.Path) field.ErrorList {
	spec := &placement.Spec
	if errs := validateSizes(spec, path); len(errs) > 0 {
		return errs
	}
	_, errs := scheduling.Compile(placement, nil)
	errs = append(errs, validateClusterSets(spec.ClusterSets, path.Child("clusterSets"))...)
	for i := range spec.Predicates {
		requirements := path.Child("predicates").Index(i).Child("requiredClusterSelector", "scoreSelector", "requirements")
		errs = append(errs, validateRequirements(spec.Predicates[i].RequiredClusterSelector.ScoreSelector.Requirements, requirements)...)
	}
	errs = append(errs, validateConfigurations(spec.PrioritizerPolicy.Configurations, path.Child("prioritizerPolicy", "configurations"))...)
	errs = append(errs, validateTopologyKeys(spec.SpreadPolicy.SpreadConstraints, path.Child("spreadPolicy", "spreadConstraints"))...)
	errs = append(errs, validateTolerations(spec.Tolerations, path.Child("tolerations"))...)
	return append(errs, validateGroups(&spec.DecisionStrategy.GroupStrategy, path.Child("decisionStrategy", "groupStrategy"))...)
}

// validateSizes limits what it costs to compile and to store the spec.
func validateSizes(spec *v1alpha1.PlacementSpec, path *field.Path) field.ErrorList {
	errs := validateCount(len(spec.ClusterSets), path.Child("clusterSets"))
	errs = append(errs, validateCount(len(spec.PrioritizerPolicy.Configurations), path.Child("prioritizerPolicy", "configurations"))...)
	errs = append(errs, validateCount(len(spec.Tolerations), path.Child("tolerations"))...)
	groups := path.Child("decisionStrategy", "groupStrategy", "decisionGroups")
	errs = append(errs, validateCount(len(spec.DecisionStrategy.GroupStrategy.DecisionGroups), groups)...)
	return append(errs, validatePredicateSizes(spec.Predicates, path.Child("predicates"))...)
}

func validatePredicateSizes(predicates []v1alpha1.ClusterPredicate, path *field.Path) field.ErrorList {
	errs := validateCount(len(predicates), path)
	total, length := 0, 0
	for i := range predicates {
		selector, path := &predicates[i].RequiredClusterSelector, path.Index(i).Child("requiredClusterSelector")
		errs = append(errs, validateCount(len(selector.ScoreSelector.Requirements), path.Child("scoreSelector", "requirements"))...)
		expressions := path.Child("celSelector", "celExpressions")
		for j, expression := range selector.CelSelector.CelExpressions {
			length += len(expression)
			if len(expression) > v1alpha1.MaxCelExpressionLength {
				errs = append(errs, field.TooLong(expressions.Index(j), "", v1alpha1.MaxCelExpressionLength))
			}
		}
		total += len(selector.CelSelector.CelExpressions)
	}
	if total > v1alpha1.MaxCelExpressions {
		errs = append(errs, field.TooMany(path, total, v1alpha1.MaxCelExpressions))
	}
	if length > v1alpha1.MaxCelExpressionsLength {
		errs = append(errs,
			field.Invalid(path, length, fmt.Sprintf("the CEL expressions have more than %d bytes in total", v1alpha1.MaxCelExpressionsLength)))
	}
	return errs
}

func validateCount(count int, path *field.Path) field.ErrorList {
	return registryvalidation.Count(count, v1alpha1.MaxPlacementItems, path)
}

func validateClusterSets(clusterSets []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, name := range clusterSets {
		errs = append(errs, registryvalidation.Key(name, seen, path.Index(i))...)
		errs = append(errs, registryvalidation.Invalid(utilvalidation.IsValidLabelValue(name), name, path.Index(i))...)
	}
	return errs
}

func validateRequirements(requirements []v1alpha1.ScoreRequirement, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range requirements {
		r, path := &requirements[i], path.Index(i)
		if name := r.ResourceName; name != "" {
			errs = append(errs, registryvalidation.Invalid(utilvalidation.IsDNS1123Subdomain(name), name, path.Child("resourceName"))...)
		}
		if r.AtLeast != nil && r.AtMost != nil && r.AtLeast.Cmp(*r.AtMost) > 0 {
			errs = append(errs, field.Invalid(path.Child("atMost"), r.AtMost.String(), "less than atLeast: nothing is within these bounds"))
		}
	}
	return errs
}

func validateConfigurations(configurations []v1alpha1.PrioritizerConfig, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range configurations {
		score := configurations[i].ScoreCoordinate.AddOn
		if score == nil {
			continue
		}
		path := path.Index(i).Child("scoreCoordinate", "addOn")
		if score.ScoreName == "" {
			errs = append(errs, field.Required(path.Child("scoreName"), ""))
		}
		if name := score.ResourceName; name == "" {
			errs = append(errs, field.Required(path.Child("resourceName"), ""))
		} else {
			errs = append(errs, registryvalidation.Invalid(utilvalidation.IsDNS1123Subdomain(name), name, path.Child("resourceName"))...)
		}
	}
	return errs
}

// validateTopologyKeys validates only labels: properties may have any name.
func validateTopologyKeys(constraints []v1alpha1.SpreadConstraint, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range constraints {
		if key := constraints[i].TopologyKey; key != "" && constraints[i].TopologyKeyType == v1alpha1.TopologyKeyLabel {
			errs = append(errs, registryvalidation.Invalid(utilvalidation.IsQualifiedName(key), key, path.Index(i).Child("topologyKey"))...)
		}
	}
	return errs
}

func validateTolerations(tolerations []v1alpha1.ClusterToleration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range tolerations {
		t, path := &tolerations[i], path.Index(i)
		if t.Key != "" {
			errs = append(errs, registryvalidation.Invalid(utilvalidation.IsQualifiedName(t.Key), t.Key, path.Child("key"))...)
		}
		errs = append(errs, registryvalidation.Length(t.Value, maxTolerationValue, path.Child("value"))...)
		effects := []v1alpha1.TaintEffect{v1alpha1.TaintEffectNoSelect, v1alpha1.TaintEffectPreferNoSelect, v1alpha1.TaintEffectNoSelectIfNew}
		if t.Effect != "" && !slices.Contains(effects, t.Effect) {
			errs = append(errs, field.NotSupported(path.Child("effect"), t.Effect, effects))
		}
	}
	return errs
}

// validateGroups validates the range of percentages. Compile refuses text that is not a percentage.
func validateGroups(strategy *v1alpha1.GroupStrategy, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i := range strategy.DecisionGroups {
		errs = append(errs,
			registryvalidation.Key(strategy.DecisionGroups[i].GroupName, seen, path.Child("decisionGroups").Index(i).Child("groupName"))...)
	}
	if size := strategy.ClustersPerDecisionGroup; size != nil && size.Type == intstr.String {
		// OCM's CRD has the same range.
		if percent, err := strconv.Atoi(strings.TrimSuffix(size.StrVal, "%")); err == nil && (percent < 1 || percent > 100) {
			errs = append(errs, field.Invalid(path.Child("clustersPerDecisionGroup"), size.StrVal, "not from 1% to 100%"))
		}
	}
	return errs
}

func validateStatus(status *v1alpha1.PlacementStatus, path *field.Path) field.ErrorList {
	errs := registryvalidation.Conditions(status.Conditions, path.Child("conditions"))
	for _, counter := range []struct {
		name  string
		value int32
	}{
		{"numberOfSelectedClusters", status.NumberOfSelectedClusters},
		{"numberOfEligibleClusters", status.NumberOfEligibleClusters},
		{"numberOfCandidateClusters", status.NumberOfCandidateClusters},
		{"numberOfStaleClusters", status.NumberOfStaleClusters},
	} {
		errs = append(errs, apivalidation.ValidateNonnegativeField(int64(counter.value), path.Child(counter.name))...)
	}
	groups, seen := path.Child("decisionGroups"), sets.New[int32]()
	for i := range status.DecisionGroups {
		index, path := status.DecisionGroups[i].DecisionGroupIndex, groups.Index(i).Child("decisionGroupIndex")
		errs = append(errs, apivalidation.ValidateNonnegativeField(int64(index), path)...)
		if seen.Has(index) {
			errs = append(errs, field.Duplicate(path, index))
		}
		seen.Insert(index)
	}
	return errs
}
