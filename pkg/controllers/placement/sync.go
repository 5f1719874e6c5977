// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"context"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/rights"
	"clusterpass.dev/pkg/scheduling"
)

// reviewPeriod is how often the access of an author who chooses from other namespaces is reviewed
// again.
const reviewPeriod = 5 * time.Minute

// placementState is what the controller knows about a placement. The queue gives a placement to one
// worker at a time. That worker owns all fields but fromEvents and policy.
type placementState struct {
	// fromEvents is work that events have caused and no worker has taken over. Controller.mu guards
	// it.
	fromEvents pendingWork
	// pending is work that the worker has taken over and not finished.
	pending pendingWork

	// uid and generation are those of the placement, and namespaces those that it selects from; nil
	// before they were first reviewed. reviewed is when the author's access to them was last reviewed,
	// zero if it needs no review.
	uid        types.UID
	generation int64
	namespaces sets.Set[string]
	reviewed   time.Time

	// compiled says that the spec of generation is compiled for namespaces. Either it has mistakes,
	// or plan applies it.
	compiled bool
	mistakes field.ErrorList
	plan     *scheduling.Plan
	// policy is that of the spec that was compiled last; nil if that has mistakes, or before. Event
	// handlers read it: Controller.mu guards it against writes of the worker.
	policy *scheduling.Policy

	// result is that of the last pass.
	result *scheduling.Result
	// decided are the clusters that the last pass has selected, or those of the slices before the
	// first. moved is when they last changed: the status may lack it.
	decided []types.NamespacedName
	moved   *metav1.MicroTime
	// unseen are writes that the cache lacks.
	unseen unseen
	// lastStatus is the placement as returned by the last write of its status.
	lastStatus *v1alpha1.Placement
}

// pendingWork says what is to be done for a placement.
type pendingWork struct {
	// review is a review of the author, before anything else. pass is a pass of the scheduler. slices
	// is a comparison of the slices with the result of the last pass.
	review, pass, slices bool
}

// reconcile reconciles one placement, and returns after how long to do so again, zero for never.
func (c *Controller) reconcile(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	placement, err := c.Placements.Lister().Placements(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		c.forget(name)
		return 0, nil
	}
	if err != nil || placement.DeletionTimestamp != nil {
		// The garbage collector deletes what it owns.
		return 0, err
	}
	now := c.Clock.Now()
	state, err := c.stateFor(placement)
	if err != nil {
		return 0, err
	}
	if err := c.review(ctx, placement, state, now); err != nil {
		return 0, err
	}
	if wait := c.compile(placement, state); wait > 0 {
		return wait, nil
	}
	if len(state.mistakes) > 0 {
		return 0, c.updateMisconfigured(ctx, placement, state)
	}
	wait := c.pass(placement, state, now)
	// Slices wait for the result of a pending pass. If no pass is pending, slices that somebody has
	// changed are repaired even if the share of the namespace is used up.
	if state.pending.slices && !state.pending.pass {
		switch inSync, err := c.syncDecisions(ctx, placement, state, now); {
		case err != nil:
			return 0, err
		case !inSync:
			return unseenPeriod, nil
		}
		state.pending.slices = false
	}
	if wait > 0 {
		return wait, nil
	}
	return until(now, state.plan.NextPass(now, evaluateNothing), state), nil
}

func evaluateNothing() bool { return false }

// until returns after how long to reconcile again, zero if only a change makes that necessary.
func until(now, next time.Time, state *placementState) time.Duration {
	if !state.reviewed.IsZero() && (next.IsZero() || next.Sub(now) > reviewPeriod) {
		return reviewPeriod
	}
	if next.IsZero() {
		return 0
	}
	return max(next.Sub(now), time.Millisecond)
}

func (c *Controller) forget(name cache.ObjectName) {
	c.shares.forget(name)
	c.mu.Lock()
	delete(c.states, name)
	c.mu.Unlock()
	c.fleet.SetDecision(name.AsNamespacedName(), scheduling.Decision{})
}

// stateFor returns the state of a placement, which may be new. The work that events have caused
// becomes pending.
func (c *Controller) stateFor(placement *v1alpha1.Placement) (*placementState, error) {
	name := cache.MetaObjectToName(placement)
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.states[name]
	if state == nil || state.uid != placement.UID {
		decided, err := c.lastDecided(placement)
		if err != nil {
			return nil, err
		}
		if state != nil {
			// Another placement has the name now. It did not select what the old one did.
			c.fleet.SetDecision(name.AsNamespacedName(), scheduling.Decision{})
		}
		state = &placementState{uid: placement.UID, decided: decided, unseen: unseen{}}
		c.states[name] = state
	}
	state.pending = pendingWork{
		review: state.pending.review || state.fromEvents.review,
		pass:   state.pending.pass || state.fromEvents.pass,
		slices: state.pending.slices || state.fromEvents.slices,
	}
	state.fromEvents = pendingWork{}
	return state, nil
}

// review updates the namespaces that a placement selects from, if their review is due. If these or
// the spec have changed, the spec is compiled again.
func (c *Controller) review(ctx context.Context, placement *v1alpha1.Placement, state *placementState, now time.Time) error {
	sameSpec := state.namespaces != nil && state.generation == placement.Generation
	if sameSpec && !state.pending.review && (state.reviewed.IsZero() || now.Sub(state.reviewed) < reviewPeriod) {
		return nil
	}
	namespaces, reviewed, err := c.namespacesOf(ctx, placement, now)
	if err != nil {
		return err
	}
	state.pending.review, state.reviewed = false, reviewed
	if !sameSpec || !state.namespaces.Equal(namespaces) {
		state.generation, state.namespaces, state.compiled = placement.Generation, namespaces, false
		state.pending.pass = true
	}
	return nil
}

// compile compiles the spec for the namespaces, unless that is done. If the expressions of the
// namespace have used up their share, it returns how long to wait.
func (c *Controller) compile(placement *v1alpha1.Placement, state *placementState) (wait time.Duration) {
	if state.compiled {
		return 0
	}
	if scheduling.Evaluates(placement) {
		began := c.Clock.Now()
		if wait := c.shares.enter(cache.MetaObjectToName(placement), began); wait > 0 {
			return wait
		}
		defer func() { c.shares.leave(placement.Namespace, began, c.Clock.Now()) }()
	} else {
		c.shares.forget(cache.MetaObjectToName(placement))
	}
	policy, mistakes := scheduling.Compile(placement, sets.List(state.namespaces))
	c.mu.Lock()
	defer c.mu.Unlock()
	state.compiled, state.policy, state.mistakes = true, policy, mistakes
	if policy != nil {
		state.plan = scheduling.NewPlan(c.fleet, policy)
	}
	return 0
}

// namespacesOf returns the namespaces a placement chooses from, and when the author's access to
// them was reviewed. Of namespaces other than the placement's own it returns those whose
// ClusterProfiles the author may list.
func (c *Controller) namespacesOf(ctx context.Context, placement *v1alpha1.Placement, now time.Time) (sets.Set[string], time.Time, error) {
	if len(placement.Spec.ClusterSets) == 0 {
		return sets.New(placement.Namespace), time.Time{}, nil
	}
	all, err := c.Namespaces.Lister().List(labels.Everything())
	if err != nil {
		return nil, now, err
	}
	namespaces := sets.New[string]()
	for _, namespace := range all {
		if set := scheduling.ClusterSetOf(namespace); set == "" || !slices.Contains(placement.Spec.ClusterSets, set) {
			continue
		}
		ok := namespace.Name == placement.Namespace
		if !ok {
			ok, err = rights.Of(ctx, c.Hub, placement.Spec.Author, scheduling.MayList(namespace.Name))
		}
		if err != nil {
			return nil, now, err
		}
		if ok {
			namespaces.Insert(namespace.Name)
		}
	}
	return namespaces, now, nil
}

// pass runs the scheduler, if a pass is pending or the last result has expired. If the expressions
// of the namespace have used up their share, it returns how long to wait.
func (c *Controller) pass(placement *v1alpha1.Placement, state *placementState, now time.Time) (wait time.Duration) {
	name, mayContinue := cache.MetaObjectToName(placement), func() bool { return true }
	if scheduling.Evaluates(placement) {
		began := c.Clock.Now()
		if wait := c.shares.enter(name, began); wait > 0 {
			return wait
		}
		defer func() { c.shares.leave(placement.Namespace, began, c.Clock.Now()) }()
		mayContinue = func() bool { return c.Clock.Since(began) < maxEvaluation }
	}
	if next := state.plan.NextPass(now, mayContinue); !state.pending.pass && (next.IsZero() || next.After(now)) {
		return 0
	}
	result, finished := state.plan.RunWhile(now, mayContinue)
	if !finished {
		return c.shares.again(name)
	}
	c.keepResult(placement, state, &result, now)
	return 0
}

// keepResult stores the result of a pass.
func (c *Controller) keepResult(placement *v1alpha1.Placement, state *placementState, result *scheduling.Result, now time.Time) {
	passes.Inc()
	state.moved = cmp.Or(state.moved, placement.Status.LastMoveTime)
	if result.Moved {
		state.moved = &metav1.MicroTime{Time: now.Truncate(time.Microsecond)}
		c.recordMove(placement, state.decided, result.Decisions)
	}
	state.result, state.decided = result, result.Decisions
	state.pending.pass, state.pending.slices = false, true
	c.fleet.SetDecision(cache.MetaObjectToName(placement).AsNamespacedName(), scheduling.NewDecision(state.decided, state.moved))
}
