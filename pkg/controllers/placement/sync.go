// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/rights"
	"clusterpass.dev/pkg/decision"
	"clusterpass.dev/pkg/scheduling"
)

// reviewPeriod is after how long an author is asked for again who chooses from other namespaces.
const reviewPeriod = 5 * time.Minute

// plan is how a placement is followed.
type plan struct {
	// policy and plan are nil while the placement has mistakes.
	policy *scheduling.Policy
	plan   *scheduling.Plan
	// uid and generation of the placement, and namespaces, that they are for, and when the author was asked for these.
	uid        types.UID
	generation int64
	namespaces sets.Set[string]
	reviewed   time.Time
	mistakes   field.ErrorList
	// moved is when clusters were last selected, or ceased to be. The status may not say so yet.
	moved *metav1.MicroTime
	// stale says that a pass is due, whatever the time, and unreviewed that the author is to be asked before.
	stale, unreviewed bool
	// written are the resource versions of the slices as they were written last, by name.
	written map[string]string
}

// sync sees to one placement, and returns when to do so again.
func (c *Controller) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
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
	if p.policy == nil {
		return 0, c.tellMistakes(ctx, placement, p.mistakes)
	}
	if next := p.plan.Next(now); !c.isStale(p) && (next.IsZero() || next.After(now)) {
		return until(now, next, p), nil
	}
	result, err := c.decide(ctx, placement, p, now)
	if err != nil {
		c.setStale(p)
		if errors.Is(err, errTaken) {
			err = errors.Join(err, c.tellTaken(ctx, placement, err))
		}
		return 0, err
	}
	return until(now, result.Next, p), nil
}

// until returns how long nothing is to be done, zero for as long as nothing changes.
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
	c.mu.Lock()
	delete(c.plans, name)
	c.mu.Unlock()
	c.fleet.SetDecision(name.AsNamespacedName(), scheduling.Decision{})
}

// isStale says whether a pass is due, and from then on that it is not.
func (c *Controller) isStale(p *plan) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	stale := p.stale
	p.stale = false
	return stale
}

func (c *Controller) setStale(p *plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.stale = true
}

// planFor returns the plan of a placement, a new one where that has changed, or the namespaces it may choose from.
func (c *Controller) planFor(ctx context.Context, placement *v1alpha1.Placement, now time.Time) (*plan, error) {
	name := cache.MetaObjectToName(placement)
	c.mu.Lock()
	known := c.plans[name]
	c.mu.Unlock()
	if known != nil && known.uid != placement.UID {
		// Another one has its name now. What the old one had selected was not this one's choice.
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
	made := &plan{uid: placement.UID, generation: placement.Generation, namespaces: namespaces, reviewed: reviewed, stale: true, written: map[string]string{}}
	if known != nil {
		made.moved, made.written = known.moved, known.written
	}
	if made.policy, made.mistakes = scheduling.Compile(placement, sets.List(namespaces)); made.policy != nil {
		made.plan = scheduling.NewPlan(c.fleet, made.policy)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plans[name] = made
	return made, nil
}

// namespacesOf returns the namespaces a placement chooses from, and when its author was asked for others than its own: those
// count whose ClusterProfiles the author may list.
func (c *Controller) namespacesOf(ctx context.Context, placement *v1alpha1.Placement, known *plan, now time.Time) (sets.Set[string], time.Time, error) {
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
		if set := setOf(namespace); set == "" || !slices.Contains(placement.Spec.ClusterSets, set) {
			continue
		}
		ok := namespace.Name == placement.Namespace
		if !ok {
			ok, err = rights.Of(ctx, c.Hub, placement.Spec.Author, authorizationv1.ResourceAttributes{
				Namespace: namespace.Name, Verb: "list", Group: inventoryv1alpha1.Group, Version: inventoryv1alpha1.Version, Resource: "clusterprofiles",
			})
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

// isUnreviewed says whether an author is to be asked again, and from then on that it is not.
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

// decide makes a decision, and writes it down.
func (c *Controller) decide(ctx context.Context, placement *v1alpha1.Placement, p *plan, now time.Time) (*scheduling.Result, error) {
	passes.Inc()
	result := p.plan.Run(now)
	want, groups := divide(placement, result.Groups)
	have, err := c.slicesOf(placement)
	if err != nil {
		return nil, err
	}
	if err := c.write(ctx, p, steps(placement, have, want)); err != nil {
		return nil, err
	}
	if p.moved == nil {
		p.moved = placement.Status.LastMoveTime
	}
	if result.Moved {
		p.moved = &metav1.MicroTime{Time: now.Truncate(time.Microsecond)}
		c.tellMove(placement, have, want)
	}
	is := scheduling.Decision{Clusters: result.Decisions}
	if p.moved != nil {
		is.MovedAt = p.moved.Time
	}
	c.fleet.SetDecision(nameOf(placement), is)
	return &result, c.tell(ctx, placement, p, &result, groups)
}

// slicesOf returns the PlacementDecisions that a placement owns, as of the last event, in their order.
func (c *Controller) slicesOf(placement *v1alpha1.Placement) ([]*inventoryv1alpha1.PlacementDecision, error) {
	key := labels.Set{inventoryv1alpha1.DecisionKeyLabel: DecisionKey(placement.Name)}
	all, err := c.decisions.PlacementDecisions(placement.Namespace).List(key.AsSelector())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(decision.Sorted(all), func(slice *inventoryv1alpha1.PlacementDecision) bool {
		return !metav1.IsControlledBy(slice, placement) || slice.DeletionTimestamp != nil
	}), nil
}

// stored returns the decision in the slices that are there.
func stored(placement *v1alpha1.Placement, have []*inventoryv1alpha1.PlacementDecision) scheduling.Decision {
	was := scheduling.Decision{Clusters: decision.AllClusters(have)}
	if moved := placement.Status.LastMoveTime; moved != nil {
		was.MovedAt = moved.Time
	}
	return was
}

// write takes steps one after another.
func (c *Controller) write(ctx context.Context, p *plan, todo []step) error {
	for _, s := range todo {
		written, err := c.take(ctx, s)
		if err != nil {
			return err
		}
		writes.Inc()
		c.mu.Lock()
		if written == nil {
			delete(p.written, s.have.Name)
		} else {
			p.written[written.Name] = written.ResourceVersion
		}
		c.mu.Unlock()
	}
	return nil
}

// take returns the slice as it was written, nil for one that was deleted.
func (c *Controller) take(ctx context.Context, s step) (*inventoryv1alpha1.PlacementDecision, error) {
	switch {
	case s.want == nil:
		err := c.Inventory.ApisV1alpha1().PlacementDecisions(s.have.Namespace).Delete(ctx, s.have.Name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return nil, err
	case s.have == nil:
		written, err := c.Inventory.ApisV1alpha1().PlacementDecisions(s.want.Namespace).Create(ctx, s.want, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil, c.explainTaken(ctx, s.want, err)
		}
		return written, err
	default:
		next := s.have.DeepCopy()
		for key, value := range s.want.Labels {
			metav1.SetMetaDataLabel(&next.ObjectMeta, key, value)
		}
		next.Decisions, next.SchedulerName = s.want.Decisions, s.want.SchedulerName
		return c.Inventory.ApisV1alpha1().PlacementDecisions(next.Namespace).Update(ctx, next, metav1.UpdateOptions{})
	}
}

// errTaken says that a PlacementDecision of the name of a slice is another's.
var errTaken = errors.New("it is another's, and left alone")

// explainTaken returns err where the slice is the placement's, and only newer than the cache.
func (c *Controller) explainTaken(ctx context.Context, want *inventoryv1alpha1.PlacementDecision, err error) error {
	have, getErr := c.Inventory.ApisV1alpha1().PlacementDecisions(want.Namespace).Get(ctx, want.Name, metav1.GetOptions{})
	if getErr == nil && (metav1.GetControllerOfNoCopy(have) == nil || metav1.GetControllerOfNoCopy(have).UID != want.OwnerReferences[0].UID) {
		return fmt.Errorf("PlacementDecision %s: %w", want.Name, errTaken)
	}
	return err
}
