// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"maps"
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
	predicates   predicates
	tolerations  tolerations
	prioritizers []weighted
	// number is how many clusters to select; nil for all.
	number        *int32
	missing       v1alpha1.MissingScorePolicy
	stabilization v1alpha1.Stabilization
	// spreadWeight is the weight of the prioritiser Spread.
	spreadWeight      int64
	spreadConstraints []v1alpha1.SpreadConstraint
	groups            groups
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
		placement:         types.NamespacedName{Namespace: placement.Namespace, Name: placement.Name},
		namespaces:        sets.New(namespaces...),
		tolerations:       spec.Tolerations,
		number:            spec.NumberOfClusters,
		missing:           cmp.Or(spec.MissingScore, v1alpha1.MissingScoreLast),
		stabilization:     spec.Stabilization,
		evaluates:         Evaluates(placement),
		spreadConstraints: spec.SpreadPolicy.SpreadConstraints,
	}
	var predicateErrs, prioritizerErrs, groupErrs field.ErrorList
	p.predicates, predicateErrs = compilePredicates(spec.Predicates, path.Child("predicates"))
	p.prioritizers, p.spreadWeight, prioritizerErrs = compilePrioritizers(&spec.PrioritizerPolicy, path.Child("prioritizerPolicy"))
	p.groups, groupErrs = compileGroups(&spec.DecisionStrategy, path.Child("decisionStrategy"))
	errs := slices.Concat(predicateErrs,
		validateTolerations(spec.Tolerations, path.Child("tolerations")),
		prioritizerErrs,
		validateSpread(spec.SpreadPolicy.SpreadConstraints, path.Child("spreadPolicy", "spreadConstraints")),
		groupErrs,
		validateNumbers(spec, path),
		oneOf(p.missing, path.Child("missingScore"), v1alpha1.MissingScoreLast, v1alpha1.MissingScoreExclude, v1alpha1.MissingScoreZero))
	if len(errs) > 0 {
		return nil, errs
	}
	return p, nil
}

// oneOf returns an error if value is none of those allowed.
func oneOf[T ~string](value T, path *field.Path, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

// Evaluates returns whether the placement has CEL expressions: if so, Compile and passes may take
// long.
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
	return errs
}

// compilePrioritizers returns all prioritisers with a weight, except for Spread, whose weight it
// returns: its scores depend on the clusters that are already selected. If a built-in prioritiser
// is listed twice, the last entry counts. Several add-on scores add up.
func compilePrioritizers(
	policy *v1alpha1.PrioritizerPolicy, path *field.Path,
) (prioritizers []weighted, spread int64, errs field.ErrorList) {
	mode := cmp.Or(policy.Mode, v1alpha1.PrioritizerPolicyAdditive)
	errs = oneOf(mode, path.Child("mode"), v1alpha1.PrioritizerPolicyAdditive, v1alpha1.PrioritizerPolicyExact)
	weights := map[string]int64{}
	if mode == v1alpha1.PrioritizerPolicyAdditive {
		weights[v1alpha1.PrioritizerBalance], weights[v1alpha1.PrioritizerSteady] = 1, 1
	}
	var addOns []weighted
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
			addOns = append(addOns, weighted{source, int64(weight)})
		}
	}
	for _, p := range builtIns {
		if weight := weights[p.name()]; weight != 0 {
			prioritizers = append(prioritizers, weighted{p, weight})
		}
	}
	return append(prioritizers, addOns...), weights[v1alpha1.PrioritizerSpread], errs
}

// builtIns are the built-in prioritisers except for Spread.
var builtIns = []prioritizer{
	balance{},
	steady{},
	allocatable{v1alpha1.PrioritizerResourceAllocatableCPU, string(corev1.ResourceCPU)},
	allocatable{v1alpha1.PrioritizerResourceAllocatableMemory, string(corev1.ResourceMemory)},
}

// compileCoordinate returns the source of scores, or nil if it is built in. A source with weight 0
// may have any name.
func compileCoordinate(coordinate *v1alpha1.ScoreCoordinate, weight int32, path *field.Path) (prioritizer, field.ErrorList) {
	coordinateType := cmp.Or(coordinate.Type, v1alpha1.ScoreCoordinateBuiltIn)
	switch {
	case coordinateType == v1alpha1.ScoreCoordinateAddOn && coordinate.AddOn == nil:
		return nil, field.ErrorList{field.Required(path.Child("addOn"), "")}
	case coordinateType == v1alpha1.ScoreCoordinateAddOn:
		return addOn{AddOnScore: *coordinate.AddOn}, nil
	case coordinateType == v1alpha1.ScoreCoordinateBuiltIn && weight != 0:
		names := sets.New(v1alpha1.PrioritizerSpread)
		for _, p := range builtIns {
			names.Insert(p.name())
		}
		return nil, oneOf(coordinate.BuiltIn, path.Child("builtIn"), sets.List(names)...)
	}
	return nil, oneOf(coordinateType, path.Child("type"), v1alpha1.ScoreCoordinateBuiltIn, v1alpha1.ScoreCoordinateAddOn)
}

// accept returns whether the cluster meets all hard requirements, and if so until when. A refused
// cluster stays refused until something other than the time changes.
func (p *Policy) accept(c *candidate) (until int64, ok bool) {
	until, ok = p.predicates.accept(c)
	if !ok {
		return 0, false
	}
	tolerated, ok := p.tolerations.accept(c)
	return min(until, tolerated), ok
}

// AffectedBy returns whether a change can make the policy decide otherwise, or earlier or later:
// only then is a pass worth while. It evaluates no expressions: a policy that has some is affected
// by every change of its candidates.
func (p *Policy) AffectedBy(change *Change) bool {
	before, after := p.isCandidate(change.before), p.isCandidate(change.after)
	if p.evaluates || !before || !after {
		return before || after
	}
	eligible := false
	for _, selected := range []bool{false, true} {
		until, accepted := p.accept(&candidate{entry: change.before, now: change.now, selected: selected})
		later, accepts := p.accept(&candidate{entry: change.after, now: change.now, selected: selected})
		// If the cluster is only accepted for longer, nothing is to be done now.
		if accepted != accepts || until > later {
			return true
		}
		eligible = eligible || accepts
	}
	return eligible && (p.readsOtherwise(change) || p.dividesOtherwise(change.before, change.after))
}

func (p *Policy) isCandidate(e *entry) bool { return e != nil && p.namespaces.Has(e.Namespace) }

// readsOtherwise returns whether any prioritiser reads something else.
func (p *Policy) readsOtherwise(change *Change) bool {
	for i := range p.prioritizers {
		before := p.prioritizers[i].read(&candidate{entry: change.before, now: change.now})
		after := p.prioritizers[i].read(&candidate{entry: change.after, now: change.now})
		// A reading that is only valid for longer is the same.
		if after.until = min(before.until, after.until); before != after {
			return true
		}
	}
	return false
}

// dividesOtherwise returns whether the cluster may belong to another topology or group.
func (p *Policy) dividesOtherwise(before, after *entry) bool {
	return (len(p.spreadConstraints) > 0 || len(p.groups.named) > 0) &&
		(!maps.Equal(before.Labels, after.Labels) || !maps.Equal(before.Properties, after.Properties))
}
