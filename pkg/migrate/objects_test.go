// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clienttesting "k8s.io/client-go/testing"
)

// All is kept but what the hub sets.
func TestExportForm(t *testing.T) {
	live := object(t, stored)
	form := exportForm(live)
	metadata, _, err := unstructured.NestedMap(form.Object, "metadata")
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"name", "namespace", "labels", "annotations", "finalizers", "ownerReferences"},
		slices.Collect(maps.Keys(metadata)))
	assert.Equal(t, live.Object["spec"], form.Object["spec"])
	assert.Equal(t, live.Object["status"], form.Object["status"])
	assert.NotEmpty(t, live.GetUID(), "the original has changed")
}

// Differences are those that matter.
func TestDiffers(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*unstructured.Unstructured)
		want   []string
	}{
		"what only the hub sets": {func(o *unstructured.Unstructured) {
			o.SetUID("other")
			o.SetResourceVersion("99")
			o.SetManagedFields(nil)
		}, nil},
		"who has written it, which the server says": {func(o *unstructured.Unstructured) {
			annotations := o.GetAnnotations()
			annotations["clusterpass.dev/decision-writer"], annotations["clusterpass.dev/creator"] = "kim", "kim"
			o.SetAnnotations(annotations)
		}, nil},
		"empty and absent": {func(o *unstructured.Unstructured) {
			set(o, []any{}, "status", "properties")
			set(o, map[string]any{}, "status", "version")
		}, nil},
		"a fraction of a second, which a typed server does not keep": {func(o *unstructured.Unstructured) {
			joined := map[string]any{"type": "Joined", "status": "True", "reason": "Joined", "message": ""}
			joined["lastTransitionTime"] = "2026-01-02T04:04:05.25+01:00"
			set(o, []any{joined}, "status", "conditions")
		}, nil},
		"labels":      {func(o *unstructured.Unstructured) { o.SetLabels(nil) }, []string{"labels"}},
		"annotations": {func(o *unstructured.Unstructured) { o.SetAnnotations(map[string]string{"a": "b"}) }, []string{"annotations"}},
		"finalizers":  {func(o *unstructured.Unstructured) { o.SetFinalizers(nil) }, []string{"finalizers"}},
		"owners":      {func(o *unstructured.Unstructured) { o.SetOwnerReferences(nil) }, []string{"ownerReferences"}},
		"the spec":    {func(o *unstructured.Unstructured) { set(o, "other", "spec", "displayName") }, []string{"spec"}},
		"spec and status": {func(o *unstructured.Unstructured) {
			set(o, "other", "spec", "displayName")
			set(o, "v1.37.2", "status", "version", "kubernetes")
		}, []string{"spec", "status"}},
		"what an extension has": {func(o *unstructured.Unstructured) {
			set(o, []any{map[string]any{"name": "kubeconfig-secretreader", "cluster": map[string]any{
				"server":     "https://bravelion.example.com",
				"extensions": []any{map[string]any{"name": "client.authentication.k8s.io/exec", "extension": map[string]any{"z": int64(1)}}},
			}}}, "status", "accessProviders")
		}, []string{"status"}},
	} {
		t.Run(name, func(t *testing.T) {
			changed := object(t, stored)
			test.change(changed)
			got, err := kinds[0].differences(object(t, stored), changed)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
	t.Run("decisions", func(t *testing.T) {
		const decision = "{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: PlacementDecision, metadata: {name: d}, decisions: []}"
		changed := object(t, decision)
		set(changed, []any{map[string]any{"clusterProfileRef": map[string]any{"name": "bravelion"}}}, "decisions")
		set(changed, "scheduler", "schedulerName")
		got, err := kinds[1].differences(object(t, decision), changed)
		require.NoError(t, err)
		assert.Equal(t, []string{"decisions", "schedulerName"}, got)
	})
}

func set(o *unstructured.Unstructured, value any, path ...string) {
	utilruntime.Must(unstructured.SetNestedField(o.Object, value, path...))
}

// A field that would be lost is an error.
func TestKind_SectionsUnknownField(t *testing.T) {
	live := object(t, stored)
	set(live, "x", "spec", "flavour")
	_, err := kinds[0].sections(exportForm(live))
	require.ErrorContains(t, err, `default/bravelion: strict decoding error: unknown field "spec.flavour"`)
}

func TestChanges(t *testing.T) {
	at := func(name, uid, version string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"namespace": "default", "name": name, "uid": uid, "resourceVersion": version},
		}}
	}
	before := []objectID{identify(at("a", "1", "10")), identify(at("b", "2", "11")), identify(at("c", "3", "12")),
		identify(at("d", "4", "13"))}
	assert.Empty(t,
		changes(before, []*unstructured.Unstructured{at("d", "4", "13"), at("c", "3", "12"), at("b", "2", "11"), at("a", "1", "10")}))
	assert.Equal(t, []string{"default/b has changed", "default/c has changed", "default/d is gone", "default/e is new"},
		changes(before, []*unstructured.Unstructured{at("a", "1", "10"), at("b", "2", "20"), at("c", "9", "12"), at("e", "5", "21")}))
}

func TestMigration_ListCRD(t *testing.T) {
	earlier, later := profileCRD(), laterCRD()
	for name, test := range map[string]struct {
		crd *apiextensionsv1.CustomResourceDefinition
		// forwarded is whether the hub forwards to clusterpass each time that it is asked; then it
		// goes on as the last time.
		forwarded []bool
		err       string
	}{
		"a hub that forwards nothing to clusterpass": {crd: earlier, forwarded: []bool{false}},
		"one that does for a moment is waited for":   {crd: earlier, forwarded: []bool{true, false}},
		"one that goes on forwarding has no answer":  {crd: earlier, forwarded: []bool{true}, err: "not in 1s: the hub forwards requests"},
		"one that forwards meanwhile may have lied":  {crd: earlier, forwarded: []bool{false, true}, err: "the hub forwards requests"},
		"one that forwards v1alpha2, of a definition that serves that alone": {crd: later, forwarded: []bool{true},
			err: "the hub forwards requests for multicluster.x-k8s.io/v1alpha2"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newFakeHub(t)
			version, _ := readVersion(test.crd)
			ours := &metav1.APIResourceList{GroupVersion: version.String(), APIResources: []metav1.APIResource{{Name: ourResource}}}
			asked := 0
			hub.kube.PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) {
				hub.kube.Resources = nil
				if test.forwarded[min(asked, len(test.forwarded)-1)] {
					hub.kube.Resources = []*metav1.APIResourceList{ours}
				}
				asked++
				return false, nil, nil
			})
			_, err := hub.migration(t).listCRD(t.Context(), &foundKind{kind: kinds[0], crd: test.crd})
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			assert.LessOrEqual(t, asked, 3)
		})
	}
}
