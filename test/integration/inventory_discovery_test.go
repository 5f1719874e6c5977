// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/test/testenv"
)

// served is what discovery is to say of a resource or subresource.
type served struct {
	kind, singular, verbs, shortNames, categories string
	namespaced                                    bool
}

const (
	allVerbs   = "create " + grantVerbs
	grantVerbs = "delete deletecollection get list patch update watch"
)

// servedResources are all resources and subresources by group-version and then by name.
var servedResources = map[string]map[string]served{
	"multicluster.x-k8s.io/v1alpha2": {
		"clusterprofiles":        {"multicluster.x-k8s.io/v1alpha2 ClusterProfile", "clusterprofile", allVerbs, "cp", "clusterpass", true},
		"clusterprofiles/status": {"multicluster.x-k8s.io/v1alpha2 ClusterProfile", "", "get patch update", "", "", true},
		"clusterprofiles/token":  {"multicluster.x-k8s.io/v1alpha1 AuthTokenRequest", "", "create", "", "", true},
		"placementdecisions":     {"multicluster.x-k8s.io/v1alpha2 PlacementDecision", "placementdecision", allVerbs, "pd", "clusterpass", true},
	},
	"multicluster.x-k8s.io/v1alpha1": {
		"clusterprofiles":        {"multicluster.x-k8s.io/v1alpha1 ClusterProfile", "clusterprofile", allVerbs, "cp", "clusterpass", true},
		"clusterprofiles/status": {"multicluster.x-k8s.io/v1alpha1 ClusterProfile", "", "get patch update", "", "", true},
		"clusterprofiles/token":  {"multicluster.x-k8s.io/v1alpha1 AuthTokenRequest", "", "create", "", "", true},
		"placementdecisions":     {"multicluster.x-k8s.io/v1alpha1 PlacementDecision", "placementdecision", allVerbs, "pd", "clusterpass", true},
		"authtokenrequests":      {"multicluster.x-k8s.io/v1alpha1 AuthTokenRequest", "authtokenrequest", "create", "atr", "", true},
	},
	"clusterpass.dev/v1alpha1": {
		// Grants are made by requests, not by users.
		"authtokengrants":        {"clusterpass.dev/v1alpha1 AuthTokenGrant", "authtokengrant", grantVerbs, "atg", "clusterpass", true},
		"authtokengrants/status": {"clusterpass.dev/v1alpha1 AuthTokenGrant", "", "get patch update", "", "", true},
		"authtokenrequests":      {"clusterpass.dev/v1alpha1 AuthTokenRequest", "authtokenrequest", "create", "atr", "", true},
		"clustercredentialsets": {"clusterpass.dev/v1alpha1 ClusterCredentialSet",
			"clustercredentialset", allVerbs, "ccs", "clusterpass", true},
		"clustercredentialsets/status": {"clusterpass.dev/v1alpha1 ClusterCredentialSet", "", "get patch update", "", "", true},
		"clustercredentialsets/token":  {"clusterpass.dev/v1alpha1 AuthTokenRequest", "", "create", "", "", true},
		"clustercredentialsets/author": {"clusterpass.dev/v1alpha1 ClusterCredentialSet", "", "create", "", "", true},
		"clusterscores":                {"clusterpass.dev/v1alpha1 ClusterScore", "clusterscore", allVerbs, "cscore", "clusterpass", true},
		"clusterscores/status":         {"clusterpass.dev/v1alpha1 ClusterScore", "", "get patch update", "", "", true},
		"placements":                   {"clusterpass.dev/v1alpha1 Placement", "placement", allVerbs, "pl", "clusterpass", true},
		"placements/status":            {"clusterpass.dev/v1alpha1 Placement", "", "get patch update", "", "", true},
	},
}

// preferredVersions are the versions of the groups that clients use unless they name another.
var preferredVersions = map[string]string{multicluster: "v1alpha2", "clusterpass.dev": "v1alpha1"}

func sorted(words []string) string {
	return strings.Join(slices.Sorted(slices.Values(words)), " ")
}

// The hub's aggregated discovery lists every resource.
func TestDiscovery_Aggregated(t *testing.T) {
	var list apidiscoveryv2.APIGroupDiscoveryList
	getJSON(t, "/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", &list)
	found := map[string]map[string]served{}
	for _, group := range list.Items {
		if preferredVersions[group.Name] == "" {
			continue
		}
		assert.Equal(t, preferredVersions[group.Name], group.Versions[0].Version, group.Name)
		for _, version := range group.Versions {
			gv := group.Name + "/" + version.Version
			require.Equal(t, apidiscoveryv2.DiscoveryFreshnessCurrent, version.Freshness, gv)
			found[gv] = fromAggregated(gv, version.Resources)
		}
	}
	assert.Empty(t, cmp.Diff(servedResources, found, cmp.AllowUnexported(served{})))
	isApps := func(g apidiscoveryv2.APIGroupDiscovery) bool { return g.Name == "apps" }
	assert.True(t, slices.ContainsFunc(list.Items, isApps), "the hub's own groups are gone")
}

func fromAggregated(gv string, resources []apidiscoveryv2.APIResourceDiscovery) map[string]served {
	found := map[string]served{}
	for _, r := range resources {
		namespaced := r.Scope == apidiscoveryv2.ScopeNamespace
		found[r.Resource] = served{kindIn(gv, r.ResponseKind), r.SingularResource, sorted(r.Verbs), sorted(r.ShortNames),
			sorted(r.Categories), namespaced}
		for _, sub := range r.Subresources {
			found[r.Resource+"/"+sub.Subresource] = served{kindIn(gv, sub.ResponseKind), "", sorted(sub.Verbs), "", "", namespaced}
		}
	}
	return found
}

// kindIn returns what discovery says of a group-version, which leaves out the group and version of
// a kind that are its own.
func kindIn(gv string, kind *metav1.GroupVersionKind) string {
	if kind.Group == "" {
		return gv + " " + kind.Kind
	}
	return kind.Group + "/" + kind.Version + " " + kind.Kind
}

// The hub's legacy discovery lists every resource.
func TestDiscovery_Legacy(t *testing.T) {
	for gv, want := range servedResources {
		t.Run(gv, func(t *testing.T) {
			var list metav1.APIResourceList
			getJSON(t, "/apis/"+gv, "application/json", &list)
			found := map[string]served{}
			for _, r := range list.APIResources {
				kind := kindIn(gv, &metav1.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind})
				found[r.Name] = served{kind, r.SingularName, sorted(r.Verbs), sorted(r.ShortNames), sorted(r.Categories), r.Namespaced}
			}
			assert.Empty(t, cmp.Diff(want, found, cmp.AllowUnexported(served{})))
			group, _, _ := strings.Cut(gv, "/")
			var about metav1.APIGroup
			getJSON(t, "/apis/"+group, "application/json", &about)
			assert.Equal(t, preferredVersions[group], about.PreferredVersion.Version)
		})
	}
}

// Kubectl knows the resources.
func TestDiscovery_Kubectl(t *testing.T) {
	hub := shared.Hub.Kubeconfig()
	out := testenv.Must[string](t)(testenv.Kubectl(t.Context(), hub, "", "api-resources", "--no-headers", "-o", "wide"))
	var found [][]string
	for line := range strings.Lines(out) {
		if strings.Contains(line, multicluster) || strings.Contains(line, "clusterpass.dev") {
			found = append(found, strings.Fields(line))
		}
	}
	commaVerbs := strings.ReplaceAll(allVerbs, " ", ",")
	want := [][]string{
		{"authtokengrants", "atg", "clusterpass.dev/v1alpha1", "true", "AuthTokenGrant", strings.ReplaceAll(grantVerbs, " ", ","), "clusterpass"},
		{"authtokenrequests", "atr", "clusterpass.dev/v1alpha1", "true", "AuthTokenRequest", "create"},
		{"authtokenrequests", "atr", "multicluster.x-k8s.io/v1alpha1", "true", "AuthTokenRequest", "create"},
		{"clustercredentialsets", "ccs", "clusterpass.dev/v1alpha1", "true", "ClusterCredentialSet", commaVerbs, "clusterpass"},
		{"clusterprofiles", "cp", "multicluster.x-k8s.io/v1alpha2", "true", "ClusterProfile", commaVerbs, "clusterpass"},
		{"clusterscores", "cscore", "clusterpass.dev/v1alpha1", "true", "ClusterScore", commaVerbs, "clusterpass"},
		{"placementdecisions", "pd", "multicluster.x-k8s.io/v1alpha2", "true", "PlacementDecision", commaVerbs, "clusterpass"},
		{"placements", "pl", "clusterpass.dev/v1alpha1", "true", "Placement", commaVerbs, "clusterpass"},
	}
	byKindAndGroup := func(a, b []string) int { return strings.Compare(a[0]+a[2], b[0]+b[2]) }
	slices.SortFunc(found, byKindAndGroup)
	assert.Equal(t, want, found)
}

// Kubectl prints the columns.
func TestInventory_Columns(t *testing.T) {
	namespace := newNamespace(t)
	profile := testenv.NewProfile("whale", "columns")
	profile.Spec.DisplayName = "Big Whale"
	profile = createProfile(t, namespace, profile)
	profile.Status.Version.Kubernetes = "v1.37.2"
	profile.Status.Conditions = []metav1.Condition{condition("ControlPlaneHealthy", metav1.ConditionTrue)}
	testenv.UpdateStatus(t, profilesIn(t, namespace), profile)
	decision := newDecision("slice", "whale", "shark")
	decision.SchedulerName = "columns"
	testenv.Create(t, decisionsIn(t, namespace), decision)

	tests := map[string]struct {
		args []string
		want []string
	}{
		"one kind by its short name": {
			[]string{"cp"},
			[]string{"NAME DISPLAY NAME MANAGER VERSION HEALTHY AGE", "whale Big Whale columns v1.37.2 True *"},
		},
		"decisions, as upstream does": {[]string{"pd"}, []string{"NAME SCHEDULER AGE", "slice columns *"}},
		"both kinds, wide": {
			[]string{"clusterprofiles,placementdecisions", "-o", "wide"},
			[]string{
				"NAME DISPLAY NAME MANAGER VERSION HEALTHY AGE",
				"clusterprofile.multicluster.x-k8s.io/whale Big Whale columns v1.37.2 True *",
				"NAME SCHEDULER AGE CLUSTERS WRITER",
				"placementdecision.multicluster.x-k8s.io/slice columns * 2 admin",
			},
		},
		"both kinds in v1alpha1, wide": {
			[]string{"clusterprofiles.v1alpha1.multicluster.x-k8s.io,placementdecisions.v1alpha1.multicluster.x-k8s.io", "-o", "wide"},
			[]string{
				"NAME MANAGER VERSION HEALTHY AGE DISPLAY NAME",
				"clusterprofile.multicluster.x-k8s.io/whale columns v1.37.2 True * Big Whale",
				"NAME CLUSTERS SCHEDULER AGE WRITER",
				"placementdecision.multicluster.x-k8s.io/slice 2 columns * admin",
			},
		},
		"a category": {
			[]string{"clusterpass", "-o", "name"},
			[]string{"clusterprofile.multicluster.x-k8s.io/whale", "placementdecision.multicluster.x-k8s.io/slice"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out := testenv.Must[string](t)(testenv.Kubectl(t.Context(), shared.Hub.Kubeconfig(), "",
				append([]string{"get", "-n", namespace}, test.args...)...))
			assert.Equal(t, test.want, rows(out))
		})
	}
}

// rows returns the lines of a table with single spaces, without those that are empty, and with *
// for ages.
func rows(table string) []string {
	var found []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		for i := range fields {
			if age := strings.TrimSuffix(fields[i], "s"); age != fields[i] && strings.Trim(age, "0123456789") == "" {
				fields[i] = "*"
			}
		}
		if len(fields) > 0 {
			found = append(found, strings.Join(fields, " "))
		}
	}
	return found
}
