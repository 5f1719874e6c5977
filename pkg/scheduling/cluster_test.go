// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/taints"
)

func TestNewCluster(t *testing.T) {
	t.Parallel()
	meta := metav1.ObjectMeta{Namespace: "fleet", Name: "one", Labels: map[string]string{"env": "prod"}}
	profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: meta}
	profile.Status.Properties = []inventoryv1alpha1.Property{{Name: "zone", Value: "b"}}
	profile.Status.Version.Kubernetes = "v1.37.2"
	profile.Status.Conditions = []metav1.Condition{{Type: inventoryv1alpha1.ClusterConditionControlPlaneHealthy, Status: metav1.ConditionTrue}}
	score := func(name, resourceName string, created time.Time, value int32) *v1alpha1.ClusterScore {
		return &v1alpha1.ClusterScore{
			ObjectMeta: metav1.ObjectMeta{Namespace: "fleet", Name: name, CreationTimestamp: metav1.NewTime(created)},
			Spec:       v1alpha1.ClusterScoreSpec{ClusterProfileName: "one", ResourceName: resourceName},
			Status: v1alpha1.ClusterScoreStatus{
				Values:     []v1alpha1.ClusterValue{{Name: "cpu", Value: ptr.To(resource.MustParse("4"))}, {Name: "nothing"}},
				Scores:     []v1alpha1.ClusterScoreItem{{Name: "cpu", Value: &value}, {Name: "nothing"}},
				ValidUntil: ptr.To(metav1.NewTime(start)),
			},
		}
	}
	cluster, err := NewCluster(profile, []*v1alpha1.ClusterScore{
		score("young", "usage", start, 1), score("a", "usage", start.Add(-time.Hour), 2),
		score("b", "usage", start.Add(-time.Hour), 3), score("other", "latency", start, 4),
	})
	require.NoError(t, err)
	assert.Equal(t, "fleet/one", cluster.String())
	assert.Equal(t, map[string]string{"env": "prod"}, cluster.Labels)
	assert.Equal(t, map[string]string{"zone": "b"}, cluster.Properties)
	assert.Equal(t, "v1.37.2", cluster.KubernetesVersion)
	assert.Empty(t, cluster.Taints, "a healthy cluster has none")
	usage := cluster.Scores["usage"]
	assert.Equal(t, map[string]int32{"cpu": 2}, usage.Scores, "the first that was created counts; what has no value is unknown")
	assert.Len(t, usage.Values, 1)
	assert.Equal(t, map[string]int32{"cpu": 4}, cluster.Scores["latency"].Scores)
	assert.Equal(t, start, usage.ValidUntil)
}

func TestNewCluster_Taints(t *testing.T) {
	t.Parallel()
	since, local := metav1.NewTime(start), metav1.NewTime(start.Local())
	implied := func(key string) []v1alpha1.ClusterTaint {
		return []v1alpha1.ClusterTaint{{Key: key, Effect: v1alpha1.TaintEffectNoSelect, TimeAdded: since}}
	}
	for _, test := range []struct {
		name, annotation string
		health           metav1.ConditionStatus
		want             []v1alpha1.ClusterTaint
		mistake          string
	}{
		{name: "a cluster that is not healthy is unavailable", health: metav1.ConditionFalse, want: implied(v1alpha1.TaintUnavailable)},
		{name: "one of unknown health is unreachable", health: metav1.ConditionUnknown, want: implied(v1alpha1.TaintUnreachable)},
		{name: "one that says nothing of its health is unreachable", want: implied(v1alpha1.TaintUnreachable)},
		{
			name: "the annotation has taints", health: metav1.ConditionTrue,
			annotation: `[{"key":"gpu","value":"old","effect":"NoSelectIfNew","timeAdded":"2026-09-01T12:00:00Z"}]`,
			want:       []v1alpha1.ClusterTaint{{Key: "gpu", Value: "old", Effect: v1alpha1.TaintEffectNoSelectIfNew, TimeAdded: local}},
		},
		{name: "an annotation that is no list is a mistake", annotation: `{}`, mistake: "cannot unmarshal object"},
		{name: "a taint of Kubernetes is a mistake", annotation: `[{"key":"gpu","effect":"NoSchedule"}]`,
			mistake: `taint 0: effect "NoSchedule" is none of`},
		{name: "too many taints are a mistake", annotation: "[" + strings.Repeat("{},", taints.MaxTaints) + "{}]",
			mistake: "there are 1001 taints, and at most 1000"},
		{name: "a taint without a key is a mistake", annotation: `[{"effect":"NoSelect"}]`, mistake: `taint 0: key ""`},
		{name: "what the server would not store is a mistake, whoever has stored it",
			annotation: `[{"key":"gpu","effect":"NoSelect","efect":"NoSelectIfNew"}]`, mistake: "unknown field"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Name: "one", CreationTimestamp: since}}
			if test.annotation != "" {
				profile.Annotations = map[string]string{v1alpha1.AnnotationTaints: test.annotation}
			}
			if test.health != "" {
				condition := metav1.Condition{Type: inventoryv1alpha1.ClusterConditionControlPlaneHealthy, Status: test.health}
				condition.LastTransitionTime = since
				profile.Status.Conditions = []metav1.Condition{condition}
			}
			cluster, err := NewCluster(profile, nil)
			if test.mistake != "" {
				assert.ErrorContains(t, err, test.mistake)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, cluster.Taints)
		})
	}
}
