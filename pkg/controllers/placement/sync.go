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

// plan is how a placement is followed. The queue gives a placement to one worker at a time. That
// worker owns all fields but events and policy.
type plan struct {
	// events is what events have made due and no worker has seen yet. Controller.mu guards it.
	events due
	// due is what the worker has to do.
	due due

	// uid and generation are those of the placement, and namespaces those that it selects from; nil
	// before they were first reviewed. reviewed is when the author's access to them was last reviewed,
	// zero if it needs no review.
	uid        types.UID
	generation int64
	namespaces sets.Set[string]
	reviewed   time.Time

	// compiled says that the spec of generation is compiled for namespaces. Either it has mistakes,
	// or schedule follows it.
	compiled bool
	mistakes field.ErrorList
	schedule *scheduling.Plan
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

// due is what is due for a placement.
type due struct {
	// review is a review of the author, before anything else. pass is a pass of the scheduler, and
	// slices a comparison of the slices with its result.
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
	p, err := c.planFor(placement)
	if err != nil {
		return 0, err
	}
	if err := c.review(ctx, placement, p, now); err != nil {
		return 0, err
	}
	if wait := c.compile(placement, p); wait > 0 {
		return wait, nil
	}
	if len(p.mistakes) > 0 {
		return 0, c.updateMisconfigured(ctx, placement, p)
	}
	wait := c.pass(placement, p, now)
	// A share that is used up puts off a pass that is due. If none is, slices that somebody has
	// changed are repaired nevertheless.
	if wait > 0 && (p.due.pass || !p.due.slices) {
		return wait, nil
	}
	if p.due.slices {
		if inSync, err := c.syncDecisions(ctx, placement, p, now); err != nil || !inSync {
			return unseenPeriod, err
		}
		p.due.slices = false
	}
	if wait > 0 {
		return wait, nil
	}
	return until(now, p.schedule.NextPass(now, evaluateNothing), p), nil
}

func evaluateNothing() bool { return false }

// until returns after how long to reconcile again, zero if only a change makes that necessary.
func until(now, next time.Time, p *plan) time.Duration {
	if !p.reviewed.IsZero() && (next.IsZero() || next.Sub(now) > reviewPeriod) {
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
	delete(c.plans, name)
	c.mu.Unlock()
	c.fleet.SetDecision(name.AsNamespacedName(), scheduling.Decision{})
}

// planFor returns the plan of a placement, which may be new, with what events have made due.
func (c *Controller) planFor(placement *v1alpha1.Placement) (*plan, error) {
	name := cache.MetaObjectToName(placement)
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.plans[name]
	if p == nil || p.uid != placement.UID {
		decided, err := c.lastDecided(placement)
		if err != nil {
			return nil, err
		}
		if p != nil {
			// Another placement has the name now. It did not select what the old one did.
			c.fleet.SetDecision(name.AsNamespacedName(), scheduling.Decision{})
		}
		p = &plan{uid: placement.UID, decided: decided, unseen: unseen{}}
		c.plans[name] = p
	}
	p.due = due{
		review: p.due.review || p.events.review,
		pass:   p.due.pass || p.events.pass,
		slices: p.due.slices || p.events.slices,
	}
	p.events = due{}
	return p, nil
}

// review updates the namespaces that a placement selects from, if their review is due. It has the
// plan start again if these, or the spec, have changed.
func (c *Controller) review(ctx context.Context, placement *v1alpha1.Placement, p *plan, now time.Time) error {
	sameSpec := p.namespaces != nil && p.generation == placement.Generation
	if sameSpec && !p.due.review && (p.reviewed.IsZero() || now.Sub(p.reviewed) < reviewPeriod) {
		return nil
	}
	namespaces, reviewed, err := c.namespacesOf(ctx, placement, now)
	if err != nil {
		return err
	}
	p.due.review, p.reviewed = false, reviewed
	if !sameSpec || !p.namespaces.Equal(namespaces) {
		p.generation, p.namespaces, p.compiled = placement.Generation, namespaces, false
		p.due.pass = true
	}
	return nil
}

// compile compiles the spec that the plan is for, once. If the expressions of the namespace have
// used up their share, it returns how long to wait.
func (c *Controller) compile(placement *v1alpha1.Placement, p *plan) (wait time.Duration) {
	if p.compiled {
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
	policy, mistakes := scheduling.Compile(placement, sets.List(p.namespaces))
	c.mu.Lock()
	defer c.mu.Unlock()
	p.compiled, p.policy, p.mistakes = true, policy, mistakes
	if policy != nil {
		p.schedule = scheduling.NewPlan(c.fleet, policy)
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

// pass runs the scheduler, if a pass is due. If the expressions of the namespace have used up their
// share, it returns how long to wait.
func (c *Controller) pass(placement *v1alpha1.Placement, p *plan, now time.Time) (wait time.Duration) {
	name, more := cache.MetaObjectToName(placement), func() bool { return true }
	if scheduling.Evaluates(placement) {
		began := c.Clock.Now()
		if wait := c.shares.enter(name, began); wait > 0 {
			return wait
		}
		defer func() { c.shares.leave(placement.Namespace, began, c.Clock.Now()) }()
		more = func() bool { return c.Clock.Since(began) < mostEvaluation }
	}
	if next := p.schedule.NextPass(now, more); !p.due.pass && (next.IsZero() || next.After(now)) {
		return 0
	}
	result, finished := p.schedule.RunWhile(now, more)
	if !finished {
		return c.shares.again(name)
	}
	c.keepResult(placement, p, &result, now)
	return 0
}

// keepResult stores the result of a pass.
func (c *Controller) keepResult(placement *v1alpha1.Placement, p *plan, result *scheduling.Result, now time.Time) {
	passes.Inc()
	p.moved = cmp.Or(p.moved, placement.Status.LastMoveTime)
	if result.Moved {
		p.moved = &metav1.MicroTime{Time: now.Truncate(time.Microsecond)}
		c.recordMove(placement, p.decided, result.Decisions)
	}
	p.result, p.decided = result, result.Decisions
	p.due.pass, p.due.slices = false, true
	c.fleet.SetDecision(cache.MetaObjectToName(placement).AsNamespacedName(), scheduling.NewDecision(p.decided, p.moved))
}
