// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Level says whether a hub has to keep a rule to be conformant.
type Level string

const (
	// Required is the level of what the KEPs demand, or what consumers cannot do without.
	Required Level = "Required"
	// Optional is the level of what the KEPs recommend.
	Optional Level = "Optional"
)

// Side says whose rule it is.
type Side string

const (
	// Inventory is the side of cluster managers, which write ClusterProfiles.
	Inventory Side = "inventory"
	// Consumer is the side of those who read ClusterProfiles and reach members.
	Consumer Side = "consumer"
	// Scheduler is the side of those who write PlacementDecisions.
	Scheduler Side = "scheduler"
)

const (
	kep4322 = "https://github.com/kubernetes/enhancements/tree/master/keps/sig-multicluster/4322-cluster-inventory"
	kep5339 = "https://github.com/kubernetes/enhancements/tree/master/keps/sig-multicluster/5339-clusterprofile-plugin-credentials"
	kep5313 = "https://github.com/kubernetes/enhancements/tree/master/keps/sig-multicluster/5313-placement-decision-api"
)

// Spec is one rule and how it is checked.
type Spec struct {
	// ID is short, unique and stable.
	ID       string
	Side     Side
	Level    Level
	Sentence string
	// Ref is the URL of what the rule comes from.
	Ref string

	// check returns what was observed of a rule that is kept. Its error is a violation, a skip, or
	// what kept the suite from telling.
	check func(ctx context.Context, h *hub) (observed string, err error)
}

// Specs returns all specs in the order in which they are run: those that wait come last.
func Specs() []Spec {
	return slices.Concat(inventorySpecs(), consumerSpecs(), accessSpecs(), decisionSpecs(), waitingSpecs())
}

// specTimeout bounds a spec, beside the time that it watches.
const specTimeout = 3 * time.Minute

// run checks a spec.
func (s Spec) run(ctx context.Context, h *hub) Result {
	ctx, cancel := context.WithTimeout(ctx, specTimeout+max(0, time.Until(h.deadline)))
	defer cancel()
	observed, err := s.check(ctx, h)
	result := Result{ID: s.ID, Description: s.Sentence, Ref: s.Ref, Labels: []string{string(s.Side)}, Conformant: true, level: s.Level}
	switch {
	case err == nil:
		result.Passed, result.Observed = true, shorten(observed, maxMessage)
		return result
	case isA[skipError](err):
		result.Skipped = true
	case isA[violationError](err):
		result.Conformant = false
	default:
		result.Failed = true
	}
	result.Message = shorten(err.Error(), maxMessage)
	return result
}

// violationError says how the hub breaks a rule.
type violationError string

func (e violationError) Error() string { return string(e) }

func violated(format string, args ...any) error { return violationError(fmt.Sprintf(format, args...)) }

// skipError says why a rule was not checked.
type skipError string

func (e skipError) Error() string { return string(e) }

func skipped(format string, args ...any) error { return skipError(fmt.Sprintf(format, args...)) }

func isA[T error](err error) bool {
	_, is := errors.AsType[T](err)
	return is
}
