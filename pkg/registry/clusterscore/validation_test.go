// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterscore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// where returns type and field of each error.
func where(errs field.ErrorList) []string {
	found := []string{}
	for _, err := range errs {
		found = append(found, string(err.Type)+" "+err.Field)
	}
	return found
}

func TestValidateCreate(t *testing.T) {
	spec := func(cluster, resourceName string) func(*v1alpha1.ClusterScore) {
		return func(s *v1alpha1.ClusterScore) {
			s.Spec = v1alpha1.ClusterScoreSpec{ClusterProfileName: cluster, ResourceName: resourceName}
		}
	}
	for _, tc := range []struct {
		name   string
		change func(*v1alpha1.ClusterScore)
		want   []string
	}{
		{"a score as it should be", func(*v1alpha1.ClusterScore) {}, nil},
		{"names with dots", spec("lion.eu", "latency.example.com"), nil},
		{"an empty spec", spec("", ""), []string{"FieldValueRequired spec.clusterProfileName", "FieldValueRequired spec.resourceName"}},
		{"a profile in another namespace", spec("fleet/bravelion", "usage"), []string{"FieldValueInvalid spec.clusterProfileName"}},
		{"a resource name that is none", spec("bravelion", "Usage"), []string{"FieldValueInvalid spec.resourceName"}},
		{"a name that is none", func(s *v1alpha1.ClusterScore) { s.Name = "a b" }, []string{"FieldValueInvalid metadata.name"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := score()
			tc.change(s)
			assert.ElementsMatch(t, tc.want, where(validateCreate(s)))
		})
	}
}

// What a score is about never changes.
func TestValidateUpdate(t *testing.T) {
	changed := score()
	changed.Spec = v1alpha1.ClusterScoreSpec{ClusterProfileName: "whale", ResourceName: "latency"}
	want := []string{"FieldValueInvalid spec.clusterProfileName", "FieldValueInvalid spec.resourceName"}
	assert.Equal(t, want, where(validateUpdate(changed, score())))
	assert.Empty(t, validateUpdate(score(), score()))
}

func TestValidateStatus_Names(t *testing.T) {
	for name, want := range map[string]bool{
		"cpu":                                  true,
		"nvidia.com/gpu":                       true,
		"nvidia.com/gpu@Tesla-T4":              true,
		"nvidia.com/gpu@NVIDIA-H100_80GB.HBM3": true,
		"nvidia.com/gpu@Tesla-T4:largest-node": true,
		"cpu:pending":                          true,
		"example.com/latency:p99":              true,
		"":                                     false,
		"two words":                            false,
		"nvidia.com/gpu@":                      false,
		"nvidia.com/gpu@a b":                   false,
		"nvidia.com/gpu@a@b":                   false,
		"@Tesla-T4":                            false,
		"cpu:":                                 false,
		"cpu:Pending":                          false,
		"cpu:pending:more":                     false,
		":pending":                             false,
		"a/b/c":                                false,
		"cpu@" + strings.Repeat("a", 64):       false,
	} {
		t.Run("name "+name, func(t *testing.T) {
			value, item := v1alpha1.ClusterValue{Name: name, Value: &resource.Quantity{}}, v1alpha1.ClusterScoreItem{Name: name, Value: new(int32)}
			path := field.NewPath("status")
			values := validateStatus(&v1alpha1.ClusterScoreStatus{Values: []v1alpha1.ClusterValue{value}}, path)
			scores := validateStatus(&v1alpha1.ClusterScoreStatus{Scores: []v1alpha1.ClusterScoreItem{item}}, path)
			if want {
				assert.Empty(t, append(values, scores...))
				return
			}
			assert.NotEmpty(t, values)
			assert.Subset(t, []string{"FieldValueInvalid status.values[0].name", "FieldValueRequired status.values[0].name"}, where(values))
			assert.Subset(t, []string{"FieldValueInvalid status.scores[0].name", "FieldValueRequired status.scores[0].name"}, where(scores))
		})
	}
}

func TestValidateStatus(t *testing.T) {
	figures := func(names ...string) *v1alpha1.ClusterScoreStatus {
		status := &v1alpha1.ClusterScoreStatus{}
		for _, name := range names {
			status.Values = append(status.Values, v1alpha1.ClusterValue{Name: name, Value: &resource.Quantity{}})
			status.Scores = append(status.Scores, v1alpha1.ClusterScoreItem{Name: name, Value: new(int32)})
		}
		return status
	}
	many := make([]string, 257)
	for i := range many {
		many[i] = fmt.Sprintf("n%d", i)
	}
	type scores = []v1alpha1.ClusterScoreItem
	condition := metav1.Condition{Type: "Collected", Status: metav1.ConditionTrue, LastTransitionTime: metav1.Now()}
	for _, tc := range []struct {
		name   string
		status *v1alpha1.ClusterScoreStatus
		want   []string
	}{
		{"nothing is known", &v1alpha1.ClusterScoreStatus{}, nil},
		{"as much as there may be", figures(many[:256]...), nil},
		{"more than there may be", figures(many...), []string{"FieldValueTooMany status.values", "FieldValueTooMany status.scores"}},
		{"scores at the bounds",
			&v1alpha1.ClusterScoreStatus{Scores: scores{{Name: "a", Value: ptr.To(int32(-100))}, {Name: "b", Value: ptr.To(int32(100))}}}, nil},
		{"scores beyond the bounds",
			&v1alpha1.ClusterScoreStatus{Scores: scores{{Name: "a", Value: ptr.To(int32(-101))}, {Name: "b", Value: ptr.To(int32(101))}}},
			[]string{"FieldValueInvalid status.scores[0].value", "FieldValueInvalid status.scores[1].value"}},
		{"figures that are not said, which are unknown and not zero",
			&v1alpha1.ClusterScoreStatus{Values: []v1alpha1.ClusterValue{{Name: "a"}}, Scores: scores{{Name: "a"}}},
			[]string{"FieldValueRequired status.values[0].value", "FieldValueRequired status.scores[0].value"}},
		{"a name twice", figures("a", "a"),
			[]string{"FieldValueDuplicate status.values[1].name", "FieldValueDuplicate status.scores[1].name"}},
		{"a condition without a reason", &v1alpha1.ClusterScoreStatus{Conditions: []metav1.Condition{condition}},
			[]string{"FieldValueRequired status.conditions[0].reason"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.ElementsMatch(t, tc.want, where(validateStatus(tc.status, field.NewPath("status"))))
		})
	}
}
