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

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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
	ExistingDecisions []oracleDecision
	Scores            []struct {
		Cluster, ResourceName string
		Scores                map[string]int32
		ValidUntil            time.Time
	}
	Expect oracleAnswer
}

type oracleName struct{ Namespace, Name string }

type oracleDecision struct {
	Placement oracleName
	Clusters  []string
}

type oracleCluster struct {
	Name                  string
	Labels, Claims        map[string]string
	Taints                []v1alpha1.ClusterTaint
	Allocatable, Capacity map[string]resource.Quantity
	Conditions            []metav1.Condition
}

type oracleAnswer struct {
	Status                     string
	PredicateMatched, Filtered []string
	Ranking, Decisions         []string
	TotalScores                map[string]int64
	Prioritizers               []oraclePrioritizer
	NumUnscheduled             int
	RequeueAt                  *time.Time
	Groups                     []oracleGroup
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

// sameAnswer leaves out the order of prioritisers and the difference between empty and absent.
var sameAnswer = gocmp.Options{cmpopts.EquateEmpty(), cmpopts.SortSlices(func(x, y oraclePrioritizer) int {
	return cmp.Or(strings.Compare(x.Name, y.Name), cmp.Compare(x.Weight, y.Weight))
})}

// TestOracle compares with OCM's scheduler. The placements say what OCM takes for granted: a
// missing score is 0, and groups are sorted by name.
func TestOracle(t *testing.T) {
	t.Parallel()
	for _, c := range oracleCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			assert.Empty(t, gocmp.Diff(c.Expect, c.run(), sameAnswer))
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
			NamespacedName: inFleet(o.Name), Labels: o.Labels, Properties: o.Claims, Taints: o.Taints, Conditions: o.Conditions,
		}
		// What can be allocated is no part of a ClusterProfile but an amount among its scores. OCM wants
		// the capacity, too.
		usage := &Figures{Values: map[string]resource.Quantity{}}
		for name, value := range o.Allocatable {
			if _, here := o.Capacity[name]; here {
				usage.Values[name] = value
			}
		}
		cluster.Scores = map[string]*Figures{v1alpha1.UsageResourceName: usage}
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
	decided := map[types.NamespacedName][]types.NamespacedName{}
	for _, existing := range c.ExistingDecisions {
		placement := types.NamespacedName(existing.Placement)
		for _, name := range existing.Clusters {
			decided[placement] = append(decided[placement], inFleet(name))
		}
	}
	for placement, clusters := range decided {
		fleet.SetDecision(placement, Decision{Clusters: clusters})
	}
	return fleet
}

func (c *oracleCase) answer(result *Result, explanations []Explanation, plan *Plan) oracleAnswer {
	answer := oracleAnswer{
		Status: "success", NumUnscheduled: result.Unscheduled, TotalScores: map[string]int64{},
		Ranking: make([]string, result.Eligible), Decisions: names(result.Decisions), Groups: c.groups(result.Groups),
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
		until := instant(tolerated)
		ends := tolerated > 0 && !until.IsZero() && c.decided(e.Cluster.Name)
		if ends && (answer.RequeueAt == nil || until.Before(*answer.RequeueAt)) {
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
	return slices.ContainsFunc(c.ExistingDecisions, func(existing oracleDecision) bool {
		return existing.Placement == c.Placement.oracleName && slices.Contains(existing.Clusters, cluster)
	})
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

func names(clusters []types.NamespacedName) []string {
	names := make([]string, len(clusters))
	for i, cluster := range clusters {
		names[i] = cluster.Name
	}
	return names
}
