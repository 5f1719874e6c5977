// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// Group is a group of selected clusters.
type Group struct {
	// Name is the name of the decision group. It is empty for clusters that no group selects.
	Name string
	// Clusters are sorted best first, or by name if the placement says so.
	Clusters []types.NamespacedName
}

// groups divide selected clusters.
type groups struct {
	named []namedGroup
	// size is the maximum number of clusters in a group, or a percentage of all.
	size    int
	percent bool
	byName  bool
}

type namedGroup struct {
	name string
	selectors
}

var percentage = regexp.MustCompile("^[0-9]{1,9}%$")

func compileGroups(strategy *v1alpha1.DecisionStrategy, path *field.Path) (groups, field.ErrorList) {
	sortBy := cmp.Or(strategy.SortBy, v1alpha1.SortByScore)
	g := groups{size: 100, percent: true, byName: sortBy == v1alpha1.SortByClusterName}
	errs := oneOf(sortBy, path.Child("sortBy"), v1alpha1.SortByScore, v1alpha1.SortByClusterName)
	path = path.Child("groupStrategy")
	if size := strategy.GroupStrategy.ClustersPerDecisionGroup; size != nil {
		g.size, g.percent = int(size.IntVal), size.Type == intstr.String
		if g.percent {
			if !percentage.MatchString(size.StrVal) {
				errs = append(errs, field.Invalid(path.Child("clustersPerDecisionGroup"), size.StrVal,
					fmt.Sprintf("neither a number nor a percentage: %s", percentage)))
			}
			g.size, _ = strconv.Atoi(strings.TrimSuffix(size.StrVal, "%"))
		}
	}
	for i := range strategy.GroupStrategy.DecisionGroups {
		group, path := &strategy.GroupStrategy.DecisionGroups[i], path.Child("decisionGroups").Index(i)
		for _, problem := range validation.IsValidLabelValue(group.GroupName) {
			errs = append(errs, field.Invalid(path.Child("groupName"), group.GroupName, problem))
		}
		selector := &group.GroupClusterSelector
		compiled, selectorErrs := compileSelectors(&selector.LabelSelector, &selector.ClaimSelector, path.Child("groupClusterSelector"))
		errs = append(errs, selectorErrs...)
		g.named = append(g.named, namedGroup{group.GroupName, compiled})
	}
	return g, errs
}

// divide returns the groups of the clusters, which are sorted best first. Without clusters, it
// returns one empty group.
func (g *groups) divide(selected []*entry) []Group {
	size := g.size
	if g.percent {
		size = int(math.Ceil(float64(g.size) / 100 * float64(len(selected))))
	}
	if size <= 0 || size > len(selected) {
		size = len(selected)
	}
	var divided []Group
	rest := selected
	for i := range g.named {
		var taken []*entry
		taken, rest = g.named[i].split(rest)
		divided = append(divided, g.chunks(g.named[i].name, taken, size)...)
	}
	divided = append(divided, g.chunks("", rest, size)...)
	if len(divided) == 0 {
		return []Group{{}}
	}
	return divided
}

// split returns the clusters that the group selects, and the others.
func (n *namedGroup) split(from []*entry) (taken, rest []*entry) {
	for _, e := range from {
		if n.matches(e) {
			taken = append(taken, e)
		} else {
			rest = append(rest, e)
		}
	}
	return taken, rest
}

func (g *groups) chunks(name string, entries []*entry, size int) []Group {
	if len(entries) == 0 {
		return nil
	}
	clusters := namesOf(entries)
	if g.byName {
		slices.SortFunc(clusters, compareNames)
	}
	var chunks []Group
	for chunk := range slices.Chunk(clusters, size) {
		chunks = append(chunks, Group{name, chunk})
	}
	return chunks
}

func namesOf(entries []*entry) []types.NamespacedName {
	names := make([]types.NamespacedName, len(entries))
	for i, e := range entries {
		names[i] = e.NamespacedName
	}
	return names
}
