// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

// TestJoiner_StatusReady has a hub say that its lists have keys, or that they have none, or
// nothing.
func TestJoiner_StatusReady(t *testing.T) {
	const applied, merged = "patch", "update"
	for name, test := range map[string]struct{ owned, want string }{
		"lists with keys are applied": {`{"f:status":{"f:accessProviders":{"k:{\"name\":\"ours\"}":{".":{},"f:name":{}}}}}`, applied},
		"a list without is changed":   {`{"f:status":{"f:accessProviders":{}}}`, merged},
		"also if it is another":       {`{"f:status":{"f:accessProviders":{"k:{\"name\":\"ours\"}":{".":{}}},"f:conditions":{}}}`, merged},
		"lists that nobody tells of":  {"", merged},
	} {
		t.Run(name, func(t *testing.T) {
			profile := newObject(profileKind, "a", "b-c")
			profile.Object[statusPart] = map[string]any{
				"accessProviders": []any{map[string]any{"name": "theirs"}, map[string]any{"name": "ours", "old": true}},
				"conditions":      []any{map[string]any{"type": "Theirs"}},
			}
			client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
				map[schema.GroupVersionResource]string{profileKind.GroupVersion().WithResource("clusterprofiles"): "ClusterProfileList"}, profile)
			var calls []string
			client.PrependReactor("patch", "clusterprofiles", func(action clienttesting.Action) (bool, runtime.Object, error) {
				if len(action.(clienttesting.PatchActionImpl).PatchOptions.DryRun) == 0 {
					calls = append(calls, applied)
				}
				answer := profile.DeepCopy()
				if test.owned != "" {
					answer.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: FieldManager, Operation: metav1.ManagedFieldsOperationApply,
						Subresource: statusPart, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(test.owned)}})
				}
				return true, answer, nil
			})
			client.PrependReactor("update", "clusterprofiles", func(clienttesting.Action) (bool, runtime.Object, error) {
				if calls = append(calls, merged); len(calls) == 1 {
					return true, nil, apierrors.NewConflict(schema.GroupResource{}, "b-c", nil) // somebody else was faster
				}
				return false, nil, nil
			})
			j := joinerOf()
			j.hub.dynamic = client
			require.NoError(t, j.statusReady(t.Context(), map[string]any{"accessProviders": []any{map[string]any{"name": "ours"}}}))
			if test.want == applied {
				assert.Equal(t, []string{applied}, calls)
				return
			}
			assert.Equal(t, []string{merged, merged}, calls, "it is tried again after a conflict")
			assertStatus(t, j, map[string]any{
				"accessProviders": []any{map[string]any{"name": "theirs"}, map[string]any{"name": "ours"}},
				"conditions":      []any{map[string]any{"type": "Theirs"}},
			})
			require.NoError(t, j.statusReady(t.Context(), map[string]any{"accessProviders": []any{map[string]any{"name": "ours"}}}))
			assert.Len(t, calls, 2, "what is right is not written")
		})
	}
}

func assertStatus(t *testing.T, j *joiner, want map[string]any) {
	t.Helper()
	now, err := j.hub.get(t.Context(), profileKind, "a", "b-c")
	require.NoError(t, err)
	status, _, err := unstructured.NestedMap(now.Object, statusPart)
	require.NoError(t, err)
	assert.Equal(t, want, status)
}
