// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placementdecision

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
	"clusterpass.dev/pkg/registry/internal/table"
	"clusterpass.dev/test/integration/parity"
)

const testNamespace = "fleet"

// The same cases meet a real server, with the CRD beside it, in test/integration.
func TestStrategyComesToTheVerdictOfTheCRD(t *testing.T) {
	for _, c := range parity.Cases(t) {
		verdict := c.Ours()
		if c.Resource != parity.PlacementDecisions || (verdict != parity.Accepted && verdict != parity.Refused) {
			continue
		}
		if c.Verb == parity.Create || c.Verb == parity.Update {
			t.Run(c.String(), func(t *testing.T) {
				err := send(t, &c)
				assert.Equal(t, verdict == parity.Accepted, err == nil, "error: %v", err)
			})
		}
	}
}

func TestGeneration(t *testing.T) {
	s := strategy{}
	decision := &inventoryv1alpha1.PlacementDecision{Decisions: []inventoryv1alpha1.ClusterDecision{}}
	s.PrepareForCreate(t.Context(), decision)
	require.Equal(t, int64(1), decision.Generation)

	for _, tc := range []struct {
		name   string
		change func(*inventoryv1alpha1.PlacementDecision)
		want   int64
	}{
		{"a decision counts", func(d *inventoryv1alpha1.PlacementDecision) {
			d.Decisions = append(d.Decisions, inventoryv1alpha1.ClusterDecision{Reason: "room"})
		}, 2},
		{"a scheduler counts", func(d *inventoryv1alpha1.PlacementDecision) { d.SchedulerName = "kueue" }, 2},
		{"a label doesn't", func(d *inventoryv1alpha1.PlacementDecision) { d.Labels = map[string]string{"a": "b"} }, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			updated := decision.DeepCopy()
			tc.change(updated)
			s.PrepareForUpdate(t.Context(), updated, decision)
			assert.Equal(t, tc.want, updated.Generation)
		})
	}
}

func TestErrorsNameTheField(t *testing.T) {
	decision := &inventoryv1alpha1.PlacementDecision{
		Decisions: []inventoryv1alpha1.ClusterDecision{
			{ClusterProfileRef: inventoryv1alpha1.ClusterProfileReference{Name: "bravelion"}}, {},
		},
	}
	errs := strategy{}.ValidateUpdate(t.Context(), decision, decision)
	require.Len(t, errs, 1)
	assert.Equal(t, "decisions[1].clusterProfileRef.name: Required value", errs[0].Error())

	decision.Decisions = make([]inventoryv1alpha1.ClusterDecision, 101)
	errs = strategy{}.ValidateUpdate(t.Context(), decision, decision)
	require.Len(t, errs, 1)
	assert.Equal(t, "decisions: Too many: 101: must have at most 100 items", errs[0].Error())
}

func TestTable(t *testing.T) {
	decision := &inventoryv1alpha1.PlacementDecision{
		ObjectMeta:    metav1.ObjectMeta{Name: "train"},
		Decisions:     make([]inventoryv1alpha1.ClusterDecision, 2),
		SchedulerName: "kueue",
	}
	printed, err := table.New(columns, cells).ConvertToTable(t.Context(), decision, nil)
	require.NoError(t, err)
	require.Len(t, printed.Rows, 1)
	assert.Equal(t, []any{"train", int64(2), "kueue", "<unknown>"}, printed.Rows[0].Cells)
	printed.DeepCopy()
}

func send(t *testing.T, c *parity.Case) error {
	t.Helper()
	obj, err := decode(t, c.Object)
	if err != nil {
		return err
	}
	ctx := genericapirequest.WithNamespace(t.Context(), testNamespace)
	s := strategy{registrystrategy.New(testScheme(t))}
	if c.Verb == parity.Create {
		rest.FillObjectMetaSystemFields(obj)
		return rest.BeforeCreate(s, ctx, obj)
	}
	old, err := decode(t, c.Before)
	require.NoError(t, err)
	old.Namespace = testNamespace
	old.ResourceVersion, obj.ResourceVersion = "1", "1"
	return rest.BeforeUpdate(s, ctx, obj, old)
}

func decode(t *testing.T, object map[string]any) (*inventoryv1alpha1.PlacementDecision, error) {
	t.Helper()
	data, err := json.Marshal(object)
	require.NoError(t, err)
	obj, _, err := serializer.NewCodecFactory(testScheme(t)).UniversalDeserializer().Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	return obj.(*inventoryv1alpha1.PlacementDecision), nil
}

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, inventoryv1alpha1.AddToScheme(scheme))
	metav1.AddToGroupVersion(scheme, inventoryv1alpha1.GroupVersion)
	return scheme
}
