// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// Policy is a compiled Placement. It is immutable, and several plans may use it.
type Policy struct {
	placement    types.NamespacedName
	namespaces   sets.Set[string]
	filters      []filter
	prioritizers []weighted
	// number is how many clusters to select; nil for all.
	number        *int32
	missing       v1alpha1.MissingScorePolicy
	stabilization v1alpha1.Stabilization
	spread        spread
	groups        groups
	// evaluates says that there are CEL expressions.
	evaluates bool
}

// weighted is a prioritiser with its weight, which is not 0.
type weighted struct {
	prioritizer
	weight int64
}

// Compile returns the policy of a placement that selects from the clusters of these namespaces, or
// all errors in its spec.
func Compile(placement *v1alpha1.Placement, namespaces []string) (*Policy, field.ErrorList) {
	spec, path := placement.Spec.DeepCopy(), field.NewPath("spec")
	p := &Policy{
		placement:     types.NamespacedName{Namespace: placement.Namespace, Name: placement.Name},
		namespaces:    sets.New(namespaces...),
		number:        spec.NumberOfClusters,
		missing:       cmp.Or(spec.MissingScore, v1alpha1.MissingScoreLast),
		stabilization: spec.Stabilization,
	}
	byPredicates, predicateErrs := compilePredicates(spec.Predicates, path.Child("predicates"))
	byTaints, tolerationErrs := compileTolerations(spec.Tolerations, path.Child("tolerations"))
	p.filters, p.evaluates = []filter{byPredicates, byTaints}, Evaluates(placement)
	var prioritizerErrs, spreadErrs, groupErrs field.ErrorList
	p.prioritizers, p.spread.weight, prioritizerErrs = compilePrioritizers(&spec.PrioritizerPolicy, path.Child("prioritizerPolicy"))
	p.spread.constraints, spreadErrs = compileSpread(spec.SpreadPolicy.SpreadConstraints, path.Child("spreadPolicy", "spreadConstraints"))
	p.groups, groupErrs = compileGroups(&spec.DecisionStrategy, path.Child("decisionStrategy"))
	errs := append(append(predicateErrs, tolerationErrs...), prioritizerErrs...)
	errs = append(append(append(errs, spreadErrs...), groupErrs...), validateNumbers(spec, path)...)
	if len(errs) > 0 {
		return nil, errs
	}
	return p, nil
}

// Evaluates returns whether the policy has CEL expressions: if so, a pass may take long.
func (p *Policy) Evaluates() bool { return p.evaluates }

// Evaluates returns whether the placement has CEL expressions: if so, Compile may take long.
func Evaluates(placement *v1alpha1.Placement) bool {
	return slices.ContainsFunc(placement.Spec.Predicates, func(one v1alpha1.ClusterPredicate) bool {
		return len(one.RequiredClusterSelector.CelSelector.CelExpressions) > 0
	})
}

func validateNumbers(spec *v1alpha1.PlacementSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if number := ptr.Deref(spec.NumberOfClusters, 0); number < 0 {
		errs = append(errs, field.Invalid(path.Child("numberOfClusters"), number, "less than 0"))
	}
	if advantage := spec.Stabilization.MinimumAdvantage; advantage < 0 {
		errs = append(errs, field.Invalid(path.Child("stabilization", "minimumAdvantage"), advantage, "less than 0"))
	}
	if dwell := spec.Stabilization.DwellSeconds; dwell < 0 || dwell > v1alpha1.MaxDwellSeconds {
		errs = append(errs,
			field.Invalid(path.Child("stabilization", "dwellSeconds"), dwell, fmt.Sprintf("not from 0 to %d", v1alpha1.MaxDwellSeconds)))
	}
	switch spec.MissingScore {
	case "", v1alpha1.MissingScoreLast, v1alpha1.MissingScoreExclude, v1alpha1.MissingScoreZero:
	default:
		all := []v1alpha1.MissingScorePolicy{v1alpha1.MissingScoreLast, v1alpha1.MissingScoreExclude, v1alpha1.MissingScoreZero}
		errs = append(errs, field.NotSupported(path.Child("missingScore"), spec.MissingScore, all))
	}
	return errs
}

// compilePrioritizers returns all prioritisers with a weight, except for Spread, whose weight it
// returns: its scores depend on the clusters that are already selected. If a built-in prioritiser
// is listed twice, the last entry counts. Several add-on scores add up.
func compilePrioritizers(
	policy *v1alpha1.PrioritizerPolicy, path *field.Path,
) (prioritizers []weighted, spread int64, errs field.ErrorList) {
	weights := map[string]int64{}
	switch policy.Mode {
	case "", v1alpha1.PrioritizerPolicyAdditive:
		weights[v1alpha1.PrioritizerBalance], weights[v1alpha1.PrioritizerSteady] = 1, 1
	case v1alpha1.PrioritizerPolicyExact:
	default:
		modes := []v1alpha1.PrioritizerPolicyMode{v1alpha1.PrioritizerPolicyAdditive, v1alpha1.PrioritizerPolicyExact}
		errs = append(errs, field.NotSupported(path.Child("mode"), policy.Mode, modes))
	}
	for i := range policy.Configurations {
		config, path := &policy.Configurations[i], path.Child("configurations").Index(i)
		weight := ptr.Deref(config.Weight, v1alpha1.DefaultWeight)
		if weight < v1alpha1.LeastWeight || weight > v1alpha1.MostWeight {
			errs = append(errs,
				field.Invalid(path.Child("weight"), weight, fmt.Sprintf("not from %d to %d", v1alpha1.LeastWeight, v1alpha1.MostWeight)))
		}
		source, sourceErrs := compileCoordinate(&config.ScoreCoordinate, weight, path.Child("scoreCoordinate"))
		errs = append(errs, sourceErrs...)
		switch {
		case source == nil:
			weights[config.ScoreCoordinate.BuiltIn] = int64(weight)
		case weight != 0:
			prioritizers = append(prioritizers, weighted{source, int64(weight)})
		}
	}
	return append(builtIns(weights), prioritizers...), weights[v1alpha1.PrioritizerSpread], errs
}

// compileCoordinate returns the source of scores, or nil if it is built in. A source with weight 0
// may have any name.
func compileCoordinate(coordinate *v1alpha1.ScoreCoordinate, weight int32, path *field.Path) (prioritizer, field.ErrorList) {
	switch coordinate.Type {
	case "", v1alpha1.ScoreCoordinateBuiltIn:
		if known := builtInNames(); weight != 0 && !known.Has(coordinate.BuiltIn) {
			return nil, field.ErrorList{field.NotSupported(path.Child("builtIn"), coordinate.BuiltIn, sets.List(known))}
		}
		return nil, nil
	case v1alpha1.ScoreCoordinateAddOn:
		if coordinate.AddOn == nil {
			return nil, field.ErrorList{field.Required(path.Child("addOn"), "")}
		}
		return addOn{AddOnScore: *coordinate.AddOn}, nil
	}
	types := []v1alpha1.ScoreCoordinateType{v1alpha1.ScoreCoordinateBuiltIn, v1alpha1.ScoreCoordinateAddOn}
	return nil, field.ErrorList{field.NotSupported(path.Child("type"), coordinate.Type, types)}
}

func builtInPrioritizers() []prioritizer {
	return []prioritizer{
		balance{},
		steady{},
		allocatable{v1alpha1.PrioritizerResourceAllocatableCPU, string(corev1.ResourceCPU)},
		allocatable{v1alpha1.PrioritizerResourceAllocatableMemory, string(corev1.ResourceMemory)},
	}
}

func builtInNames() sets.Set[string] {
	names := sets.New(v1alpha1.PrioritizerSpread)
	for _, p := range builtInPrioritizers() {
		names.Insert(p.name())
	}
	return names
}

func builtIns(weights map[string]int64) []weighted {
	var active []weighted
	for _, p := range builtInPrioritizers() {
		if weight := weights[p.name()]; weight != 0 {
			active = append(active, weighted{p, weight})
		}
	}
	return active
}

// filter returns whether all filters accept the cluster, and if so until when.
func (p *Policy) filter(c *candidate) (until int64, ok bool) {
	until = forever
	for _, f := range p.filters {
		valid, ok := f.passes(c)
		if !ok {
			return 0, false
		}
		until = min(until, valid)
	}
	return until, true
}
