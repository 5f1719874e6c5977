// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
)

// The outcomes of a spec.
const (
	passed        = "passed"
	skippedSpec   = "skipped"
	unknown       = "unknown"
	notConformant = "not conformant"
)

type object = map[string]any

// served is what discovery says.
type served []metav1.APIResource

func (s served) ServerResourcesForGroupVersionWithContext(context.Context, string) (*metav1.APIResourceList, error) {
	if s == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, "")
	}
	return &metav1.APIResourceList{APIResources: s}, nil
}

var all = served{{Name: clusterProfiles, Namespaced: true}, {Name: placementDecisions, Namespaced: true}}

// fakeHub returns a hub with objects whose inventory is namespace fleet, and its client.
func fakeHub(objects ...*unstructured.Unstructured) (*hub, *fake.FakeDynamicClient) {
	kinds := map[schema.GroupVersionResource]string{
		groupVersion.WithResource(clusterProfiles):    "ClusterProfileList",
		groupVersion.WithResource(placementDecisions): "PlacementDecisionList",
	}
	var there []runtime.Object
	for _, o := range objects {
		there = append(there, o)
	}
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, there...)
	return &hub{
		Options:   Options{Namespace: "fleet", DecisionNamespace: "fleet"},
		client:    client,
		discovery: all, deadline: time.Now(),
	}, client
}

// newProfile returns a profile that keeps all rules, after changes.
func newProfile(name string, changes ...func(*unstructured.Unstructured)) *unstructured.Unstructured {
	condition := func(kind string) object {
		return object{"type": kind, "status": "True", "reason": "Test", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}
	}
	made := &unstructured.Unstructured{Object: object{
		"apiVersion": groupVersion.String(), "kind": "ClusterProfile",
		"metadata": object{
			"namespace": "fleet", "name": name, "uid": "uid-of-" + name,
			"labels": object{labelManager: "test", labelMemberID: "id-of-" + name},
		},
		"spec": object{"clusterManager": object{"name": "test"}},
		"status": object{
			"version":    object{"kubernetes": "v1.37.2"},
			"conditions": []any{condition(conditionHealthy), condition(conditionJoined)},
		},
	}}
	for _, change := range changes {
		change(made)
	}
	return made
}

func labelled(key, value string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		labels := o.GetLabels()
		labels[key] = value
		o.SetLabels(labels)
	}
}

func without(fields ...string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) { unstructured.RemoveNestedField(o.Object, fields...) }
}

func in(namespace string) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		o.SetNamespace(namespace)
		o.SetUID(o.GetUID() + "-in-" + "other")
	}
}

// newSlice returns a PlacementDecision.
func newSlice(name, key, index string, clusters ...string) *unstructured.Unstructured {
	labels := object{}
	if key != "" {
		labels[labelKey] = key
	}
	if index != "" {
		labels[labelIndex] = index
	}
	decided := []any{}
	for _, cluster := range clusters {
		decided = append(decided, object{"clusterProfileRef": object{"name": cluster}})
	}
	return &unstructured.Unstructured{Object: object{
		"apiVersion": groupVersion.String(), "kind": "PlacementDecision",
		"metadata":  object{"namespace": "fleet", "name": name, "labels": labels},
		"decisions": decided,
	}}
}

// specOf returns a spec by its ID.
func specOf(t *testing.T, id string) Spec {
	t.Helper()
	for _, spec := range Specs() {
		if spec.ID == id {
			return spec
		}
	}
	t.Fatalf("there is no spec %q", id)
	return Spec{}
}

// expect checks one spec, which needs no watch, and its message.
func expect(t *testing.T, h *hub, id, outcome, words string) {
	t.Helper()
	result := specOf(t, id).run(t.Context(), h)
	expectResult(t, result, outcome, words)
}

func expectResult(t *testing.T, result Result, outcome, words string) {
	t.Helper()
	if said := result.Observed + result.Message; result.Outcome() != outcome || !strings.Contains(said, words) {
		t.Errorf("%s: %s: %s; want %s: %s", result.ID, result.Outcome(), said, outcome, words)
	}
}

// quick has the suite not wait long for what is not to come.
func quick(t *testing.T) {
	t.Helper()
	quiet, settle := quietTime, settleTime
	quietTime, settleTime = 10*time.Millisecond, 50*time.Millisecond
	t.Cleanup(func() { quietTime, settleTime = quiet, settle })
}

func names(count int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("cluster-%03d", i)
	}
	return all
}
