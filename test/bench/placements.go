// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

const (
	// placedProfiles clusters are in pools. Most placements choose from a pool each, the others from
	// all.
	placedProfiles = 1000
	pools          = 100
	poolSize       = placedProfiles / pools
	poolPlacements = 90
	widePlacements = 10
	// poolNumber is how many clusters of its pool a placement selects.
	poolNumber = 3
	// wideNumber is how many the others select.
	wideNumber = 10
	// heartbeats is how often everything is renewed.
	heartbeats = 2
	// settledPoll is how often it is looked whether everything was written.
	settledPoll = 20 * time.Millisecond

	labelPool = "pool"
	scoreName = "speed"
)

// placementsResult is what was found of placements.
type placementsResult struct {
	// Passes are in-process: ours is a pass after one change, theirs a full one.
	Passes []comparison `json:"passes"`
	// Changes are through a hub: ours is from a change to the last decision that it touches, theirs
	// from a change to its own watch event.
	Changes []changeResult `json:"changes"`
	// Heartbeats is how many updates without a meaning were sent, and HeartbeatCost what came of them.
	Heartbeats    int  `json:"heartbeats"`
	HeartbeatCost cost `json:"heartbeatCost"`
}

// changeResult is what one kind of change came to.
type changeResult struct {
	comparison
	// PerChange is what one took, on average.
	PerChange cost `json:"perChange"`
}

// cost is what the controller manager has done.
type cost struct {
	// Passes are decisions upon a placement.
	Passes float64 `json:"passes"`
	// DecisionWrites are of PlacementDecisions, StatusWrites of the status of Placements.
	DecisionWrites float64 `json:"decisionWrites"`
	StatusWrites   float64 `json:"statusWrites"`
}

// placements measures what changes of a fleet take until decisions show them.
type placements struct {
	settings
	metrics
	client *client
	seen   *watched
	// labelled and scored count the changes that were to be seen in a decision.
	labelled, scored atomic.Int64
}

func measurePlacements(ctx context.Context, s settings, env *environment) (*placementsResult, error) {
	passes, err := measurePasses(ctx, s)
	if err != nil {
		return nil, err
	}
	result := &placementsResult{Passes: passes}
	// The watches end before what they watch does.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.progress("placements: starting a hub with %d ClusterProfiles and %d Placements", placedProfiles, poolPlacements+widePlacements)
	b, _, err := startPlacements(ctx, s, env)
	if err != nil {
		return nil, err
	}
	for _, m := range b.changes() {
		s.progress("placements: %s", m.name)
		found, err := b.measureChange(ctx, m)
		if err != nil {
			return nil, err
		}
		result.Changes = append(result.Changes, found)
	}
	s.progress("placements: heartbeats")
	result.Heartbeats = heartbeats * 2 * placedProfiles
	result.HeartbeatCost, err = b.measureHeartbeats(ctx)
	return result, err
}

// changes returns the kinds of changes: each is the next one's opposite, or better than all before.
func (b *placements) changes() []measurement {
	unread := steady(func(ctx context.Context, i int) error {
		i %= placedProfiles
		value := fmt.Sprint("v", time.Now().UnixNano())
		return b.until(ctx, merge(profilePath(fleetNamespace, i), `{"metadata":{"annotations":{"bench":%q}}}`, value), func() bool {
			return b.seen.annotation(profileName(i)) == value
		})
	})
	label := func(ctx context.Context, _ int) error {
		// The best cluster of a pool leaves it, and comes back with the next call.
		i := int(b.labelled.Add(1)) - 1
		pool := i / 2 % poolPlacements
		best := best(pool)
		value := []string{"none", poolName(pool)}[i%2]
		return b.until(ctx, merge(profilePath(fleetNamespace, best), `{"metadata":{"labels":{"pool":%q}}}`, value), func() bool {
			return (b.seen.first(poolName(pool)) == profileName(best)) == (i%2 == 1)
		})
	}
	score := func(ctx context.Context, _ int) error {
		// The worst cluster of a pool becomes the best of all, and the worst again with the next call.
		i := int(b.scored.Add(1)) - 1
		pool := i / 2 % poolPlacements
		worst := pool
		value := []int{100, scoreOf(worst)}[i%2]
		return b.until(ctx, merge(scorePath(worst)+"/status", `{"status":{"scores":[{"name":"speed","value":%d}]}}`, value), func() bool {
			return b.allShow(pool, profileName(worst), i%2 == 0)
		})
	}
	return []measurement{
		b.timed(measurement{name: "a label", concurrency: 1, sides: [2]workload{steady(label), unread}}),
		b.timed(measurement{name: "a score", concurrency: 1, sides: [2]workload{steady(score), unread}}),
	}
}

func (b *placements) measureChange(ctx context.Context, m measurement) (changeResult, error) {
	before, err := b.cost(ctx)
	if err != nil {
		return changeResult{}, err
	}
	changed := b.changed()
	c, err := m.run(ctx)
	if err != nil {
		return changeResult{}, err
	}
	after, err := b.cost(ctx)
	if err != nil {
		return changeResult{}, err
	}
	return changeResult{c, after.since(before).by(float64(b.changed() - changed))}, nil
}

// changed counts the changes so far.
func (b *placements) changed() int64 { return b.labelled.Load() + b.scored.Load() }

// measureHeartbeats renews everything that is known, and then changes something that shows: the
// watches are in order.
func (b *placements) measureHeartbeats(ctx context.Context) (cost, error) {
	before, err := b.cost(ctx)
	if err != nil {
		return cost{}, err
	}
	for beat := range heartbeats {
		at := metav1.NewTime(time.Now().Add(time.Duration(beat) * time.Second))
		err := b.all(ctx, func(ctx context.Context, i int) error {
			profile := newProfile(b.seed, i)
			for p := range profile.Status.Properties {
				profile.Status.Properties[p].LastObservedTime = at
			}
			shown := merge(profilePath(fleetNamespace, i)+"/status", `{"status":%s}`, encode(profile.Status))
			if err := b.client.send(ctx, shown, io.Discard); err != nil {
				return err
			}
			until := metav1.NewTime(at.Add(time.Hour)).UTC().Format(time.RFC3339)
			return b.client.send(ctx, merge(scorePath(i)+"/status", `{"status":{"validUntil":%q}}`, until), io.Discard)
		})
		if err != nil {
			return cost{}, err
		}
	}
	// One change of a label and one of a score, each with its opposite, show that all was seen: a
	// label is for one placement, and a score for that and for all wide ones.
	for _, m := range b.changes() {
		if done := runSlice(ctx, 1, limit{calls: 2}, m.sides[ours].warmUp); done.failed > 0 {
			return cost{}, done.err
		}
	}
	const touched = 2 + 2*(1+widePlacements)
	return b.settled(ctx, before, cost{Passes: touched, DecisionWrites: touched, StatusWrites: touched})
}

// settled returns what was done since, but for what was expected, for which it waits.
func (b *placements) settled(ctx context.Context, before, expected cost) (cost, error) {
	var is cost
	err := wait.PollUntilContextTimeout(ctx, settledPoll, seenTimeout, true, func(ctx context.Context) (bool, error) {
		after, err := b.cost(ctx)
		is = after.since(before).since(expected)
		return is.DecisionWrites >= 0 && is.StatusWrites >= 0, err
	})
	if err != nil {
		return is, err
	}
	return is, is.nothing()
}

// allShow says whether all decisions that a pool's cluster can be in have it first, or have another
// one.
func (b *placements) allShow(pool int, cluster string, first bool) bool {
	for i := range widePlacements {
		if (b.seen.first(wideName(i)) == cluster) != first {
			return false
		}
	}
	return (b.seen.first(poolName(pool)) == cluster) == first
}

// until sends a request and waits until what came of it was seen.
func (b *placements) until(ctx context.Context, r request, seen func() bool) error {
	if err := b.client.send(ctx, r, io.Discard); err != nil {
		return err
	}
	return b.seen.wait(ctx, seen)
}

// all does something for every profile, some at a time.
func (b *placements) all(ctx context.Context, do call) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range placedProfiles {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// poolOf returns which pool a profile is in.
func poolOf(profile int) int { return profile % pools }

// best returns the profile that is the best of a pool.
func best(pool int) int { return pool + (poolSize-1)*pools }

// scoreOf returns the score of a profile: the later, the better.
func scoreOf(profile int) int { return profile / pools * 10 }

func poolName(pool int) string { return fmt.Sprintf("pool-%03d", pool) }

func scorePath(i int) string {
	return fmt.Sprintf("/apis/%s/namespaces/%s/clusterscores/%s", v1alpha1.SchemeGroupVersion, fleetNamespace, profileName(i))
}

func merge(path, format string, args ...any) request {
	return request{method: http.MethodPatch, path: path, contentType: contentMerge, body: fmt.Sprintf(format, args...)}
}

func wideName(i int) string { return fmt.Sprintf("wide-%d", i) }

// placedProfile returns a profile as that of an inventory is, in its pool.
func (b *placements) placedProfile(i int) *inventoryv1alpha1.ClusterProfile {
	profile := newProfile(b.seed, i)
	profile.Labels[labelPool] = poolName(poolOf(i))
	return profile
}

// poolPlacement returns the placement of the best clusters of a pool.
func poolPlacement(pool int) *v1alpha1.Placement {
	spec := rankedBy(scoreName, scoreName, poolNumber)
	spec.Predicates = []v1alpha1.ClusterPredicate{{RequiredClusterSelector: v1alpha1.ClusterSelector{
		LabelSelector: metav1.LabelSelector{MatchLabels: map[string]string{labelPool: poolName(pool)}},
	}}}
	return &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: poolName(pool)}, Spec: spec}
}

// allPlacements returns those of pools, and those of the best clusters of all.
func allPlacements() []*v1alpha1.Placement {
	var all []*v1alpha1.Placement
	for pool := range poolPlacements {
		all = append(all, poolPlacement(pool))
	}
	for i := range widePlacements {
		all = append(all, &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: wideName(i)}, Spec: rankedBy(scoreName, scoreName, wideNumber)})
	}
	return all
}

func newScore(i int) *v1alpha1.ClusterScore {
	return &v1alpha1.ClusterScore{
		ObjectMeta: metav1.ObjectMeta{Name: profileName(i)},
		Spec:       v1alpha1.ClusterScoreSpec{ClusterProfileName: profileName(i), ResourceName: scoreName},
		Status: v1alpha1.ClusterScoreStatus{
			Scores:     []v1alpha1.ClusterScoreItem{{Name: scoreName, Value: ptr.To(int32(scoreOf(i)))}},
			ValidUntil: ptr.To(metav1.NewTime(time.Now().Add(time.Hour))),
		},
	}
}

// changerRules are what whoever changes the fleet may do.
func changerRules() []rbacv1.PolicyRule {
	verbs := []string{"get", "list", "watch", "create", "update", "patch"}
	theirs := []string{"clusterprofiles", "clusterprofiles/status", "placementdecisions"}
	return []rbacv1.PolicyRule{
		{APIGroups: []string{inventoryv1alpha1.Group}, Resources: theirs, Verbs: verbs},
		{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"placements", "clusterscores", "clusterscores/status"}, Verbs: verbs},
	}
}

// nothing returns an error where something was done for what has no meaning.
func (c cost) nothing() error {
	if c != (cost{}) {
		return fmt.Errorf("heartbeats have caused %+v", c)
	}
	return nil
}

func (c cost) since(before cost) cost {
	return cost{c.Passes - before.Passes, c.DecisionWrites - before.DecisionWrites, c.StatusWrites - before.StatusWrites}
}

func (c cost) by(changes float64) cost {
	return cost{c.Passes / changes, c.DecisionWrites / changes, c.StatusWrites / changes}
}
