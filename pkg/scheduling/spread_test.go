// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

var region = v1alpha1.SpreadConstraint{TopologyKey: "region", TopologyKeyType: v1alpha1.TopologyKeyLabel}

func TestSpread(t *testing.T) {
	t.Parallel()
	type keys = []v1alpha1.SpreadConstraint
	two, three := ptr.To[int32](2), ptr.To[int32](3)
	zone := v1alpha1.SpreadConstraint{TopologyKey: "zone", TopologyKeyType: v1alpha1.TopologyKeyClaim}
	strict := func(c v1alpha1.SpreadConstraint, skew int32) v1alpha1.SpreadConstraint {
		c.WhenUnsatisfiable, c.MaxSkew = v1alpha1.DoNotSchedule, &skew
		return c
	}
	for _, test := range []struct {
		name string
		// clusters are region and zone of a, b, c and so on, which score less and less; a dot stands for
		// none.
		clusters         string
		keys             keys
		number           *int32
		weight           int32
		advantage, dwell int64
		before, want     string
	}{
		{name: "without constraints the best are selected", clusters: "x1,x1,x1,y1", number: two, want: "ab"},
		{name: "each region has one before any has two", clusters: "x1,x1,x1,y1", keys: keys{region}, number: three, want: "adb"},
		{name: "a soft constraint does not keep anything from being selected", clusters: "x1,x1,x1,y1", keys: keys{region}, want: "adbc"},
		{name: "a hard one does", clusters: "x1,x1,x1,y1", keys: keys{strict(region, 1)}, want: "adb"},
		{name: "a greater skew allows more", clusters: "x1,x1,x1,y1", keys: keys{strict(region, 2)}, want: "abdc"},
		{name: "a cluster of no region is selected last", clusters: ".1,x1,y1", keys: keys{region}, want: "bca"},
		{name: "or never", clusters: ".1,x1,y1", keys: keys{strict(region, 1)}, want: "bc"},
		{name: "properties spread, too", clusters: "x1,x1,x2", keys: keys{zone}, number: two, want: "ac"},
		{name: "the first constraint is the most important", clusters: "x1,x2,y1", keys: keys{region, zone}, number: two, want: "ac"},
		{name: "and the second one counts after it", clusters: "x1,y1,y2", keys: keys{region, zone}, number: two, want: "ac"},
		{name: "hard constraints all have to be kept", clusters: "x1,x2,y1,y2", keys: keys{strict(region, 1), strict(zone, 1)},
			number: two, want: "ad"},
		{name: "within a skew the score decides", clusters: "x1,x1,x1,y1", keys: keys{strict(region, 3)}, number: three, want: "abc"},
		{name: "but Spread may weigh more", clusters: "x1,x1,x1,y1", keys: keys{strict(region, 3)}, weight: 1, number: three, want: "adb"},
		{name: "or less than nothing", clusters: "y1,x1,x1", keys: keys{strict(region, 3)}, weight: -1, number: three, want: "abc"},
		{name: "a selected cluster keeps its advantage within its region", clusters: "x1,x1,y1,y1", keys: keys{region}, number: two,
			advantage: 2, before: "bd", want: "bd"},
		{name: "not against a hard constraint", clusters: "x1,x1,y1", keys: keys{strict(region, 1)},
			number: two, dwell: 60, before: "ab", want: "ac"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fleet := NewFleet()
			for i, at := range strings.Split(test.clusters, ",") {
				cluster := scored(inFleet(string(rune('a'+i))), int32(-i))
				cluster.Properties = map[string]string{"zone": at[1:]}
				if at[0] != '.' {
					cluster.Labels = map[string]string{"region": at[:1]}
				}
				fleet.Set(cluster, start)
			}
			selected(fleet, test.before, 0)
			spec := scoreSpec("gpu", 0)
			spec.NumberOfClusters, spec.SpreadPolicy.SpreadConstraints = test.number, test.keys
			spec.Stabilization = v1alpha1.Stabilization{MinimumAdvantage: test.advantage, DwellSeconds: test.dwell}
			spread := builtIn(v1alpha1.PrioritizerSpread, test.weight)
			spec.PrioritizerPolicy.Configurations = append(spec.PrioritizerPolicy.Configurations, spread)
			assert.Equal(t, test.want, decided(NewPlan(fleet, compile(t, spec)).Run(start)))
		})
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	group := func(name, env string) v1alpha1.DecisionGroup {
		selector := v1alpha1.GroupClusterSelector{LabelSelector: byLabel("env", env).LabelSelector}
		return v1alpha1.DecisionGroup{GroupName: name, GroupClusterSelector: selector}
	}
	type all = []v1alpha1.DecisionGroup
	for _, test := range []struct {
		name   string
		groups all
		size   *intstr.IntOrString
		by     v1alpha1.DecisionSortBy
		want   string
	}{
		{name: "there is one group by default, in the order of rank", want: ":fedcba"},
		{name: "or in the order of names", by: v1alpha1.SortByClusterName, want: ":abcdef"},
		{name: "groups take clusters in their order, and the rest comes last", groups: all{group("canary", "dev"), group("all", "prod")},
			want: "canary:db all:eca :f"},
		{name: "a group that selects nothing is none", groups: all{group("canary", "none")}, want: ":fedcba"},
		{name: "the best are in the first group", size: ptr.To(intstr.FromInt32(4)), want: ":fedc :ba"},
		{name: "a percentage is of all that are selected, rounded up", size: ptr.To(intstr.FromString("20%")),
			groups: all{group("canary", "prod")}, want: "canary:ec canary:a :fd :b"},
		{name: "0 is one group", size: ptr.To(intstr.FromInt32(0)), want: ":fedcba"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fleet := NewFleet()
			for i, env := range []string{"prod", "dev", "prod", "dev", "prod", "test"} {
				cluster := scored(inFleet(string(rune('a'+i))), int32(i))
				cluster.Labels = map[string]string{"env": env}
				fleet.Set(cluster, start)
			}
			spec := scoreSpec("gpu", 10)
			groups := v1alpha1.GroupStrategy{DecisionGroups: test.groups, ClustersPerDecisionGroup: test.size}
			spec.DecisionStrategy = v1alpha1.DecisionStrategy{SortBy: test.by, GroupStrategy: groups}
			result := NewPlan(fleet, compile(t, spec)).Run(start)
			var got []string
			for _, group := range result.Groups {
				got = append(got, group.Name+":"+strings.Join(names(group.Clusters), ""))
			}
			assert.Equal(t, test.want, strings.Join(got, " "))
			assert.Equal(t, "fedcba", decided(result))
		})
	}
}
