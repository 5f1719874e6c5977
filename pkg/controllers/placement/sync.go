// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
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
	"clusterpass.dev/pkg/decision"
	"clusterpass.dev/pkg/rights"
	"clusterpass.dev/pkg/scheduling"
)

// reviewPeriod is how often the access of an author who chooses from other namespaces is reviewed
// again.
const reviewPeriod = 5 * time.Minute

// plan is how a placement is followed.
type plan struct {
	// compiled is false until the spec was. policy and plan are nil until then, and while the
	// placement has mistakes.
	compiled bool
	policy   *scheduling.Policy
	plan     *scheduling.Plan
	// uid, generation and namespaces are those that the plan was made for, and reviewed is when the
	// author's access to these was reviewed.
	uid        types.UID
	generation int64
	namespaces sets.Set[string]
	reviewed   time.Time
	mistakes   field.ErrorList
	// moved is when the selection last changed. The status may lack it.
	moved *metav1.MicroTime
	// passDue says that a pass is due, and unreviewed that a review of the author is due before it.
	passDue, unreviewed bool
	// unsynced says that the slices may differ from result.
	unsynced bool
	// result is that of the last pass, nil before the first. decided are the clusters that the last
	// pass of this plan, or of the plan before it, has selected.
	result  *scheduling.Result
	decided []types.NamespacedName
	// unseen are writes that the cache lacks.
	unseen unseen
	// lastStatus is the placement as returned by the last write of its status.
	lastStatus *v1alpha1.Placement
}

// reconcile reconciles one placement, and returns after how long to do so again, zero for never.
func (c *Controller) reconcile(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	placement, err := c.placements.Placements(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		c.forget(name)
		return 0, nil
	}
	if err != nil || placement.DeletionTimestamp != nil {
		// The garbage collector deletes what it owns.
		return 0, err
	}
	now := c.Clock.Now()
	p, err := c.planFor(ctx, placement, now)
	if err != nil {
		return 0, err
	}
	if wait := c.compile(placement, p); p.policy == nil {
		return wait, c.updateMisconfigured(ctx, placement, p)
	}
	passDue, unsynced := c.due(p)
	decided, wait := c.pass(placement, p, passDue, now)
	// A share that is used up puts off a pass that is due. If none is, slices that somebody has
	// changed are repaired nevertheless.
	if wait > 0 && (passDue || p.result == nil || !unsynced) {
		c.setDue(p, passDue, unsynced)
		return wait, nil
	}
	if decided || unsynced {
		inSync, err := c.syncDecisions(ctx, placement, p, now)
		if err != nil || !inSync {
			c.setDue(p, false, true)
			return unseenPeriod, err
		}
	}
	if wait > 0 {
		return wait, nil
	}
	return until(now, p.plan.NextPass(now, onlyKnown), p), nil
}

// onlyKnown has a plan look at nothing anew.
func onlyKnown() bool { return false }

// until returns after how long to reconcile again, zero if only a change makes that necessary.
func until(now, next time.Time, p *plan) time.Duration {
	again := time.Duration(0)
	if !next.IsZero() {
		again = max(next.Sub(now), time.Millisecond)
	}
	if !p.reviewed.IsZero() && (again == 0 || again > reviewPeriod) {
		again = reviewPeriod
	}
	return again
}

func (c *Controller) forget(name cache.ObjectName) {
	c.shares.forget(name)
	c.mu.Lock()
	delete(c.plans, name)
	c.mu.Unlock()
	c.fleet.SetDecision(name.AsNamespacedName(), scheduling.Decision{})
}

// due returns whether a pass, and whether a comparison of the slices, is due, and resets both.
func (c *Controller) due(p *plan) (passDue, unsynced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	passDue, unsynced = p.passDue, p.unsynced
	p.passDue, p.unsynced = false, false
	return passDue, unsynced
}

// setDue makes a pass, or a comparison of the slices, due.
func (c *Controller) setDue(p *plan, passDue, unsynced bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.passDue, p.unsynced = p.passDue || passDue, p.unsynced || unsynced
}

// planFor returns the plan of a placement: a new one if its spec, or the namespaces that it may
// choose from, have changed.
func (c *Controller) planFor(ctx context.Context, placement *v1alpha1.Placement, now time.Time) (*plan, error) {
	name := cache.MetaObjectToName(placement)
	c.mu.Lock()
	known := c.plans[name]
	c.mu.Unlock()
	if known != nil && known.uid != placement.UID {
		// Another placement has the name now. It did not select what the old one did.
		c.fleet.SetDecision(nameOf(placement), scheduling.Decision{})
		known = nil
	}
	namespaces, reviewed, err := c.namespacesOf(ctx, placement, known, now)
	if err != nil {
		c.setUnreviewed(known)
		return nil, err
	}
	if known != nil && known.generation == placement.Generation && known.namespaces.Equal(namespaces) {
		known.reviewed = reviewed
		return known, nil
	}
	made := &plan{uid: placement.UID, generation: placement.Generation, namespaces: namespaces, reviewed: reviewed, passDue: true,
		unseen: unseen{}}
	if known == nil {
		have, err := c.slicesOf(placement)
		if err != nil {
			return nil, err
		}
		made.decided = decision.AllClusters(have)
	} else {
		made.moved, made.decided, made.unseen, made.lastStatus = known.moved, known.decided, known.unseen, known.lastStatus
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plans[name] = made
	return made, nil
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
		p.plan = scheduling.NewPlan(c.fleet, policy)
	}
	return 0
}

// namespacesOf returns the namespaces a placement chooses from, and when the author's access to
// them was reviewed. Of namespaces other than the placement's own it returns those whose
// ClusterProfiles the author may list.
func (c *Controller) namespacesOf(
	ctx context.Context, placement *v1alpha1.Placement, known *plan, now time.Time,
) (sets.Set[string], time.Time, error) {
	if len(placement.Spec.ClusterSets) == 0 {
		return sets.New(placement.Namespace), time.Time{}, nil
	}
	if known != nil && known.generation == placement.Generation && now.Sub(known.reviewed) < reviewPeriod && !c.isUnreviewed(known) {
		return known.namespaces, known.reviewed, nil
	}
	all, err := c.namespaces.List(labels.Everything())
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

// isUnreviewed returns whether a review of the author is due, and resets it.
func (c *Controller) isUnreviewed(p *plan) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	unreviewed := p.unreviewed
	p.unreviewed = false
	return unreviewed
}

func (c *Controller) setUnreviewed(p *plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p != nil {
		p.unreviewed = true
	}
}

// pass decides, if a pass is due. If the expressions of the namespace have used up their share, it
// returns how long to wait.
func (c *Controller) pass(placement *v1alpha1.Placement, p *plan, passDue bool, now time.Time) (decided bool, wait time.Duration) {
	name, more := cache.MetaObjectToName(placement), func() bool { return true }
	if scheduling.Evaluates(placement) {
		began := c.Clock.Now()
		if wait := c.shares.enter(name, began); wait > 0 {
			return false, wait
		}
		defer func() { c.shares.leave(placement.Namespace, began, c.Clock.Now()) }()
		more = func() bool { return c.Clock.Since(began) < mostEvaluation }
	}
	if next := p.plan.NextPass(now, more); !passDue && p.result != nil && (next.IsZero() || next.After(now)) {
		return false, 0
	}
	result, finished := p.plan.RunWhile(now, more)
	if !finished {
		return false, c.shares.again(name)
	}
	c.keepResult(placement, p, &result, now)
	return true, 0
}

// keepResult stores the result of a pass.
func (c *Controller) keepResult(placement *v1alpha1.Placement, p *plan, result *scheduling.Result, now time.Time) {
	passes.Inc()
	if p.moved == nil {
		p.moved = placement.Status.LastMoveTime
	}
	if result.Moved {
		p.moved = &metav1.MicroTime{Time: now.Truncate(time.Microsecond)}
		c.recordMove(placement, p.decided, result.Decisions)
	}
	p.decided = result.Decisions
	decided := scheduling.Decision{Clusters: result.Decisions}
	if p.moved != nil {
		decided.MovedAt = p.moved.Time
	}
	p.result = result
	c.fleet.SetDecision(nameOf(placement), decided)
}
