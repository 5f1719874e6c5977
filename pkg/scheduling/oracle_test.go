// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// oracleCase is a case of a placement, with what OCM's scheduler made of it.
type oracleCase struct {
	Name      string
	Now       time.Time
	Clusters  []oracleCluster
	Placement struct {
		oracleName
		Spec v1alpha1.PlacementSpec
	}
	ExistingDecisions []struct {
		Placement oracleName
		Clusters  []string
	}
	Scores []struct {
		Cluster, ResourceName string
		Scores                map[string]int32
		ValidUntil            time.Time
	}
	Expect oracleAnswer
}

type oracleName struct{ Namespace, Name string }

type oracleCluster struct {
	Name                  string
	Labels, Claims        map[string]string
	Taints                []v1alpha1.ClusterTaint
	Allocatable, Capacity map[string]resource.Quantity
	Conditions            []metav1.Condition
}

type oracleAnswer struct {
	Status           string
	PredicateMatched []string
	Filtered         []string
	Ranking          []string
	Decisions        []string
	TotalScores      map[string]int64
	Prioritizers     []oraclePrioritizer
	NumUnscheduled   int
	RequeueAt        *time.Time
	Groups           []oracleGroup
}

type oraclePrioritizer struct {
	Name   string
	Weight int64
	Scores map[string]int64
}

type oracleGroup struct {
	Index  int
	Name   string
	Slices []oracleSlice
}

type oracleSlice struct {
	Name     string
	Clusters []string
}

// TestOracle compares with OCM's scheduler. The placements say what OCM takes for granted: a
// missing score is 0, and groups are sorted by name.
func TestOracle(t *testing.T) {
	t.Parallel()
	for _, c := range oracleCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			got := c.run()
			assert.Equal(t, c.Expect.normalized(), got.normalized())
		})
	}
}

func oracleCases(t *testing.T) []oracleCase {
	t.Helper()
	path := cmp.Or(os.Getenv("PLACEMENT_CASES"), "testdata/placement-cases.json.gz")
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	var source io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		source, err = gzip.NewReader(file)
		require.NoError(t, err)
	}
	var cases []oracleCase
	require.NoError(t, json.NewDecoder(source).Decode(&cases))
	require.NotEmpty(t, cases)
	return cases
}

// run returns what we make of the case. OCM's clusters have no namespace: all are in fleet. OCM
// reads predicates only if there is a cluster to try them on, and tolerations if one matches the
// predicates: see docs/placement.md, "Differences from OCM". So mistakes in what it doesn't read
// are left out.
func (c *oracleCase) run() oracleAnswer {
	meta := metav1.ObjectMeta{Namespace: c.Placement.Namespace, Name: c.Placement.Name}
	placement := &v1alpha1.Placement{ObjectMeta: meta, Spec: c.Placement.Spec}
	placement.Spec.MissingScore = v1alpha1.MissingScoreZero
	placement.Spec.DecisionStrategy.SortBy = v1alpha1.SortByClusterName
	if len(c.Clusters) == 0 {
		placement.Spec.Predicates = nil
	}
	policy, mistakes := Compile(placement, []string{"fleet"})
	if len(mistakes) == 0 {
		return c.follow(policy)
	}
	placement.Spec.Tolerations = nil
	if policy, mistakes = Compile(placement, []string{"fleet"}); len(mistakes) == 0 {
		if answer := c.follow(policy); len(answer.PredicateMatched) == 0 {
			return answer
		}
	}
	return oracleAnswer{Status: "misconfigured", Groups: c.groups([]Group{{}})}
}

func (c *oracleCase) follow(policy *Policy) oracleAnswer {
	plan := NewPlan(c.fleet(), policy)
	result, explanations := plan.Explain(c.Now)
	return c.answer(&result, explanations, plan)
}

func (c *oracleCase) fleet() *Fleet {
	fleet := NewFleet()
	for i := range c.Clusters {
		o := &c.Clusters[i]
		cluster := Cluster{
			NamespacedName: inFleet(o.Name),
			Labels:         o.Labels,
			Properties:     o.Claims,
			Taints:         o.Taints,
			Conditions:     o.Conditions,
			Scores:         map[string]*Figures{},
		}
		// What can be allocated is no part of a ClusterProfile but an amount among its scores. OCM wants
		// the capacity, too.
		usage := &Figures{Values: map[string]resource.Quantity{}}
		for name, value := range o.Allocatable {
			if _, here := o.Capacity[name]; here {
				usage.Values[name] = value
			}
		}
		cluster.Scores[v1alpha1.UsageResourceName] = usage
		for _, score := range c.Scores {
			if score.Cluster == o.Name {
				figures := &Figures{Scores: score.Scores, ValidUntil: score.ValidUntil}
				if score.ResourceName == v1alpha1.UsageResourceName {
					figures.Values = usage.Values
				}
				cluster.Scores[score.ResourceName] = figures
			}
		}
		fleet.Set(cluster, c.Now)
	}
	decisions := map[types.NamespacedName]Decision{}
	for _, existing := range c.ExistingDecisions {
		placement := types.NamespacedName(existing.Placement)
		decision := decisions[placement]
		for _, name := range existing.Clusters {
			decision.Clusters = append(decision.Clusters, inFleet(name))
		}
		decisions[placement] = decision
	}
	for placement, decision := range decisions {
		fleet.SetDecision(placement, decision)
	}
	return fleet
}

func (c *oracleCase) answer(result *Result, explanations []Explanation, plan *Plan) oracleAnswer {
	answer := oracleAnswer{
		Status:         "success",
		TotalScores:    map[string]int64{},
		NumUnscheduled: result.Unscheduled,
		Groups:         c.groups(result.Groups),
		Ranking:        make([]string, result.Eligible),
		Decisions:      names(result.Decisions),
	}
	if result.Stale > 0 {
		answer.Status = "warning"
	}
	for _, prioritizer := range plan.policy.prioritizers {
		answer.Prioritizers = append(answer.Prioritizers, oraclePrioritizer{prioritizer.name(), prioritizer.weight, map[string]int64{}})
	}
	for i := range explanations {
		e := &explanations[i]
		if e.RefusedBy != FilterPredicates {
			answer.PredicateMatched = append(answer.PredicateMatched, e.Cluster.Name)
		}
		// OCM asks this of all clusters that the placement has selected, whether they still match its
		// predicates or not.
		slot, _ := plan.view.find(e.Cluster)
		candidate := plan.candidate(slot)
		tolerated, _ := plan.policy.tolerations.accept(&candidate)
		if until := instant(tolerated); tolerated > 0 && c.decided(e.Cluster.Name) && !until.IsZero() && (answer.RequeueAt == nil || until.Before(*answer.RequeueAt)) {
			answer.RequeueAt = &until
		}
		if e.RefusedBy != "" {
			continue
		}
		answer.Filtered = append(answer.Filtered, e.Cluster.Name)
		answer.Ranking[e.Rank] = e.Cluster.Name
		answer.TotalScores[e.Cluster.Name] = e.Total
		for i, score := range e.Scores {
			// OCM has an entry for a missing score of an add-on, and none for a missing resource.
			if score.Known || strings.HasPrefix(score.Prioritizer, "AddOn/") {
				answer.Prioritizers[i].Scores[e.Cluster.Name] = score.Score
			}
		}
	}
	return answer
}

func (c *oracleCase) decided(cluster string) bool {
	for _, existing := range c.ExistingDecisions {
		if existing.Placement == c.Placement.oracleName && slices.Contains(existing.Clusters, cluster) {
			return true
		}
	}
	return false
}

// groups returns the groups as the PlacementDecisions that OCM's controller writes.
func (c *oracleCase) groups(groups []Group) []oracleGroup {
	written := make([]oracleGroup, len(groups))
	slice := 0
	for i, group := range groups {
		written[i] = oracleGroup{Index: i, Name: group.Name}
		chunks := slices.Collect(slices.Chunk(names(group.Clusters), 100))
		if len(chunks) == 0 {
			chunks = [][]string{{}}
		}
		for _, chunk := range chunks {
			slice++
			written[i].Slices = append(written[i].Slices, oracleSlice{fmt.Sprintf("%s-decision-%d", c.Placement.Name, slice), chunk})
		}
	}
	return written
}

// normalized returns the answer with prioritisers in order and without a difference between empty
// and absent.
func (a oracleAnswer) normalized() oracleAnswer {
	for _, list := range []*[]string{&a.PredicateMatched, &a.Filtered, &a.Ranking, &a.Decisions} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	if len(a.TotalScores) == 0 {
		a.TotalScores = nil
	}
	a.Prioritizers = slices.Clone(a.Prioritizers)
	slices.SortStableFunc(a.Prioritizers, func(x, y oraclePrioritizer) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), cmp.Compare(x.Weight, y.Weight))
	})
	if len(a.Prioritizers) == 0 {
		a.Prioritizers = nil
	}
	if a.RequeueAt != nil {
		at := a.RequeueAt.UTC()
		a.RequeueAt = &at
	}
	return a
}

func names(clusters []types.NamespacedName) []string {
	names := make([]string, len(clusters))
	for i, cluster := range clusters {
		names[i] = cluster.Name
	}
	return names
}
