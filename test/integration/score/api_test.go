// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package score

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	applyv1alpha1 "clusterpass.dev/pkg/generated/applyconfiguration/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

const (
	// admin has all rights; keeper those of clusterpass:score-keeper in namespace default; viewer
	// those of view there.
	admin, keeper, viewer, stranger = "admin", "keeper", "viewer", "stranger"
	namespace                       = "default"
)

func custom(name, profile, resourceName string) *v1alpha1.ClusterScore {
	return &v1alpha1.ClusterScore{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       v1alpha1.ClusterScoreSpec{ClusterProfileName: profile, ResourceName: resourceName},
	}
}

func bind(t *testing.T, user, role string) {
	t.Helper()
	testenv.Bind(t, shared.Hub.Kube(t), namespace, user+"-"+strings.ReplaceAll(role, ":", "-"), testenv.UserSubject(user), role)
}

// A score is kept by whomever the hub allows.
func TestScore_Keeper(t *testing.T) {
	bind(t, keeper, "clusterpass:score-keeper")
	bind(t, viewer, "view")
	scores := hub(t, keeper).ClusterpassV1alpha1().ClusterScores(namespace)
	created := testenv.Create(t, scores, custom("latency", "bravelion", "latency"))

	t.Run("with a status that only the subresource sets", func(t *testing.T) {
		created.Status.Scores = []v1alpha1.ClusterScoreItem{{Name: "example.com/latency", Value: ptr.To(int32(40))}}
		created.Labels = map[string]string{"kept": "no"}
		updated := testenv.UpdateStatus(t, scores, created)
		assert.Len(t, updated.Status.Scores, 1)
		assert.Empty(t, updated.Labels)
		updated.Status, updated.Labels = v1alpha1.ClusterScoreStatus{}, map[string]string{"kept": "yes"}
		updated = testenv.Update(t, scores, updated)
		assert.Len(t, updated.Status.Scores, 1)
		assert.Equal(t, "yes", updated.Labels["kept"])
	})

	t.Run("by several appliers, each its own figures", func(t *testing.T) {
		for manager, name := range map[string]string{"first": "cost", "second": "carbon"} {
			apply := applyv1alpha1.ClusterScore("latency", namespace).WithStatus(applyv1alpha1.ClusterScoreStatus().
				WithValues(applyv1alpha1.ClusterValue().WithName(name).WithValue(resource.MustParse("3"))))
			testenv.Must[*v1alpha1.ClusterScore](t)(scores.ApplyStatus(t.Context(), apply, metav1.ApplyOptions{FieldManager: manager}))
		}
		got := testenv.Get(t, scores, "latency")
		assert.Len(t, got.Status.Values, 2)
		assert.Len(t, got.Status.Scores, 1)
	})

	t.Run("and by nobody else", func(t *testing.T) {
		for _, user := range []string{viewer, stranger} {
			theirs := hub(t, user).ClusterpassV1alpha1().ClusterScores(namespace)
			_, createErr := theirs.Create(t.Context(), custom("forged", "bravelion", "usage"), metav1.CreateOptions{})
			patch := []byte(`{"status":{"scores":[]}}`)
			_, statusErr := theirs.Patch(t.Context(), "latency", types.MergePatchType, patch, metav1.PatchOptions{}, "status")
			deleteErr := theirs.Delete(t.Context(), "latency", metav1.DeleteOptions{})
			for verb, err := range map[string]error{"create": createErr, "patch of the status": statusErr, "delete": deleteErr} {
				assert.True(t, apierrors.IsForbidden(err), "%s by %s: %v", verb, user, err)
			}
			_, err := theirs.Get(t.Context(), "latency", metav1.GetOptions{})
			assert.Equal(t, user == viewer, err == nil, "get by %s: %v", user, err)
		}
	})
}

// Errors in a score name the field.
func TestScore_Invalid(t *testing.T) {
	scores := hub(t, admin).ClusterpassV1alpha1().ClusterScores(namespace)
	stored := testenv.Create(t, scores, custom("strict", "bravelion", "strict"))
	status := func(change func(*v1alpha1.ClusterScoreStatus)) error {
		next := stored.DeepCopy()
		change(&next.Status)
		_, err := scores.UpdateStatus(t.Context(), next, metav1.UpdateOptions{})
		return err
	}
	spec := func(change func(*v1alpha1.ClusterScoreSpec)) error {
		next := stored.DeepCopy()
		change(&next.Spec)
		_, err := scores.Update(t.Context(), next, metav1.UpdateOptions{})
		return err
	}
	_, emptyErr := scores.Create(t.Context(), custom("empty", "", "Not A Name"), metav1.CreateOptions{})
	for name, tc := range map[string]struct {
		err    error
		fields []string
	}{
		"a create without a profile, and with a name that is none": {emptyErr, []string{"spec.clusterProfileName", "spec.resourceName"}},
		"another profile": {spec(func(s *v1alpha1.ClusterScoreSpec) { s.ClusterProfileName = "whale" }),
			[]string{"spec.clusterProfileName"}},
		"another resource name": {spec(func(s *v1alpha1.ClusterScoreSpec) { s.ResourceName = "usage" }), []string{"spec.resourceName"}},
		"a score beyond the bounds": {status(func(s *v1alpha1.ClusterScoreStatus) {
			s.Scores = []v1alpha1.ClusterScoreItem{{Name: "cpu", Value: ptr.To(int32(101))}}
		}), []string{"status.scores[0].value"}},
		"a name twice": {status(func(s *v1alpha1.ClusterScoreStatus) {
			s.Values = []v1alpha1.ClusterValue{{Name: "cpu"}, {Name: "cpu"}}
		}), []string{"status.values[0].value", "status.values[1].name", "status.values[1].value"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.True(t, apierrors.IsInvalid(tc.err), "%v", tc.err)
			var fields []string
			for _, cause := range testenv.Must[apierrors.APIStatus](t)(statusOf(tc.err)).Status().Details.Causes {
				fields = append(fields, cause.Field)
			}
			assert.Equal(t, tc.fields, fields)
		})
	}
}

// statusOf returns err, or that it is none of an API server.
func statusOf(err error) (apierrors.APIStatus, error) {
	if status, ok := err.(apierrors.APIStatus); ok {
		return status, nil
	}
	return nil, err
}

// Kubectl shows and explains scores.
func TestScore_Kubectl(t *testing.T) {
	kubectl := func(input string, args ...string) string {
		return testenv.MustKubectl(t, shared.Hub.Kubeconfig(), input, append(args, "-n", namespace)...)
	}
	for _, name := range []string{"shown", "other"} {
		kubectl("apiVersion: clusterpass.dev/v1alpha1\nkind: ClusterScore\nmetadata: {name: "+name+"}\n"+
			"spec: {clusterProfileName: whale, resourceName: "+name+"}\n", "apply", "--server-side", "-f", "-")
	}
	kubectl("", "patch", "cscore", "shown", "--subresource=status", "--type=merge", "-p", `{"status":{"validUntil":"2020-01-01T00:00:00Z"}}`)
	printed := kubectl("", "get", "cscore", "--field-selector=spec.clusterProfileName=whale,spec.resourceName=shown")
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	require.Len(t, lines, 2)
	assert.Equal(t, "NAME CLUSTER RESOURCE VALID UNTIL AGE", strings.Join(strings.Fields(lines[0]), " "))
	row := strings.Fields(lines[1])
	require.GreaterOrEqual(t, len(row), 6, "%q", row)
	assert.Equal(t, "shown whale shown expired", strings.Join(row[:4], " "))
	for field, want := range map[string]string{
		"spec.resourceName":  "immutable",
		"status.values.name": "NAME[@TYPE][:ASPECT]",
		"status.scores":      "higher, the better",
		"status.validUntil":  "become unknown",
	} {
		explained := kubectl("", "explain", "clusterscores."+field)
		assert.Contains(t, strings.Join(strings.Fields(explained), " "), want, field)
	}
}
