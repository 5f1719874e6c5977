// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placementdecision

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha2"
	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
	"clusterpass.dev/test/integration/parity"
	"clusterpass.dev/test/registrytest"
)

type placementDecision = inventoryv1alpha1.PlacementDecision

// The strategy comes to the verdict of the CRD.
func TestStrategy_Parity(t *testing.T) {
	scheme := runtime.NewScheme()
	require.NoError(t, inventoryv1alpha1.AddToScheme(scheme))
	require.NoError(t, v1alpha2.AddToScheme(scheme))
	metav1.AddToGroupVersion(scheme, inventoryv1alpha1.GroupVersion)
	registrytest.Parity(t, parity.PlacementDecisions, scheme, strategy{registrystrategy.New(scheme)}, nil)
}

func TestStrategy_Generation(t *testing.T) {
	s := strategy{}
	decision := &placementDecision{Decisions: []inventoryv1alpha1.ClusterDecision{}}
	s.PrepareForCreate(t.Context(), decision)
	require.Equal(t, int64(1), decision.Generation)

	for _, tc := range []struct {
		name   string
		change func(*placementDecision)
		want   int64
	}{
		{"a decision counts", func(d *placementDecision) {
			d.Decisions = append(d.Decisions, inventoryv1alpha1.ClusterDecision{Reason: "room"})
		}, 2},
		{"a scheduler counts", func(d *placementDecision) { d.SchedulerName = "kueue" }, 2},
		{"a label doesn't", func(d *placementDecision) { d.Labels = map[string]string{"a": "b"} }, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			updated := decision.DeepCopy()
			tc.change(updated)
			s.PrepareForUpdate(t.Context(), updated, decision)
			assert.Equal(t, tc.want, updated.Generation)
		})
	}
}

func TestStrategy_Writer(t *testing.T) {
	const controller, mallory = "system:serviceaccount:clusterpass-system:clusterpass-controller-manager", "mallory"
	const annotation, key, index = v1alpha1.AnnotationDecisionWriter, inventoryv1alpha1.DecisionKeyLabel, inventoryv1alpha1.DecisionIndexLabel
	as := func(name string) context.Context {
		return genericapirequest.WithUser(t.Context(), &user.DefaultInfo{Name: name})
	}
	decision := func(writer string) *placementDecision {
		d := &placementDecision{
			ObjectMeta: metav1.ObjectMeta{Name: "train", Labels: map[string]string{key: "train", "team": "a"}},
			Decisions:  []inventoryv1alpha1.ClusterDecision{{ClusterProfileRef: inventoryv1alpha1.ClusterProfileReference{Name: "bravelion"}}},
		}
		if writer != "" {
			d.Annotations = map[string]string{annotation: writer}
		}
		return d
	}
	for name, test := range map[string]struct{ claims, user, want string }{
		"is who creates it":                    {"", mallory, mallory},
		"is nobody else, whatever is claimed":  {controller, mallory, mallory},
		"is nobody where there is no user":     {controller, "", ""},
		"is nobody whose name is far too long": {controller, strings.Repeat("m", v1alpha1.MaxDecisionWriter+1), ""},
	} {
		t.Run("the writer "+name, func(t *testing.T) {
			d := decision(test.claims)
			strategy{}.PrepareForCreate(as(test.user), d)
			assert.Equal(t, test.want, d.Annotations[annotation])
		})
	}

	for name, test := range map[string]struct {
		was, user string
		change    func(*placementDecision)
		want      string
	}{
		"who changes the clusters": {controller, mallory,
			func(d *placementDecision) { d.Decisions[0].ClusterProfileRef.Name = "smartfish" }, mallory},
		"who changes the key":           {controller, mallory, func(d *placementDecision) { d.Labels[key] = "other" }, mallory},
		"who adds an index":             {controller, mallory, func(d *placementDecision) { d.Labels[index] = "7" }, mallory},
		"who takes the keys away":       {controller, mallory, func(d *placementDecision) { d.Labels = nil }, mallory},
		"who names the scheduler":       {controller, mallory, func(d *placementDecision) { d.SchedulerName = "other" }, mallory},
		"who says so, without a change": {mallory, controller, func(d *placementDecision) { d.Annotations[annotation] = controller }, controller},
		"not who says so for another":   {mallory, mallory, func(d *placementDecision) { d.Annotations[annotation] = controller }, mallory},
		"not who takes the name away":   {controller, mallory, func(d *placementDecision) { d.Annotations = nil }, controller},
		"not who changes another label": {controller, mallory, func(d *placementDecision) { d.Labels["team"] = "b" }, controller},
		"not who adds an owner": {controller, mallory,
			func(d *placementDecision) { d.OwnerReferences = make([]metav1.OwnerReference, 1) }, controller},
		"who gives it to another controller": {controller, mallory, func(d *placementDecision) {
			d.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(d, v1alpha1.SchemeGroupVersion.WithKind("Placement"))}
		}, mallory},
		"nobody, of an earlier release":     {"", mallory, func(d *placementDecision) { d.Labels["team"] = "b" }, ""},
		"who changes an earlier release's":  {"", mallory, func(d *placementDecision) { d.Decisions = d.Decisions[:0] }, mallory},
		"who says so of an earlier release": {"", controller, func(d *placementDecision) { *d = *decision(controller) }, controller},
	} {
		t.Run("after an update the writer is "+name, func(t *testing.T) {
			old, d := decision(test.was), decision(test.was)
			test.change(d)
			strategy{}.PrepareForUpdate(as(test.user), d, old)
			assert.Equal(t, test.want, d.Annotations[annotation])
		})
	}
}

// Errors name the field.
func TestStrategy_ValidateErrors(t *testing.T) {
	bravelion := inventoryv1alpha1.ClusterDecision{ClusterProfileRef: inventoryv1alpha1.ClusterProfileReference{Name: "bravelion"}}
	decision := &placementDecision{Decisions: []inventoryv1alpha1.ClusterDecision{bravelion, {}}}
	errs := strategy{}.ValidateUpdate(t.Context(), decision, decision)
	require.Len(t, errs, 1)
	assert.Equal(t, "decisions[1].clusterProfileRef.name: Required value", errs[0].Error())

	decision.Decisions = make([]inventoryv1alpha1.ClusterDecision, 101)
	errs = strategy{}.ValidateUpdate(t.Context(), decision, decision)
	require.Len(t, errs, 1)
	assert.Equal(t, "decisions: Too many: 101: must have at most 100 items", errs[0].Error())
}

func TestTable(t *testing.T) {
	decision := &placementDecision{
		ObjectMeta:    metav1.ObjectMeta{Name: "train", Annotations: map[string]string{v1alpha1.AnnotationDecisionWriter: "kim"}},
		Decisions:     make([]inventoryv1alpha1.ClusterDecision, 2),
		SchedulerName: "kueue",
	}
	printed, err := convertor.ConvertToTable(t.Context(), decision, nil)
	require.NoError(t, err)
	require.Len(t, printed.Rows, 1)
	assert.Equal(t, []any{"train", int64(2), "kueue", "<unknown>", "kim"}, printed.Rows[0].Cells)
	printed.DeepCopy()

	inLater := genericapirequest.WithRequestInfo(t.Context(), &genericapirequest.RequestInfo{
		APIGroup: v1alpha2.GroupName, APIVersion: v1alpha2.SchemeGroupVersion.Version,
	})
	printed, err = convertor.ConvertToTable(inLater, decision, nil)
	require.NoError(t, err)
	assert.Equal(t, []any{"train", "kueue", "<unknown>", int64(2), "kim"}, printed.Rows[0].Cells, "upstream's columns come first")
}
