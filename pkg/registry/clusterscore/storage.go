// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterscore

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/registry/internal/bounded"
	"clusterpass.dev/pkg/registry/internal/selection"
	"clusterpass.dev/pkg/registry/internal/table"
)

const resourceField = "spec.resourceName"

var scoreKind = v1alpha1.SchemeGroupVersion.WithKind("ClusterScore")

var selected = selection.New(scoreKind, resourceField, map[string]func(*v1alpha1.ClusterScore) string{
	"spec.clusterProfileName": func(score *v1alpha1.ClusterScore) string { return score.Spec.ClusterProfileName },
	resourceField:             func(score *v1alpha1.ClusterScore) string { return score.Spec.ResourceName },
})

// AddFieldLabelConversion makes scheme accept the field selectors of ClusterScores.
func AddFieldLabelConversion(scheme *runtime.Scheme) error { return selected.AddConversion(scheme) }

// NewREST returns the storage of clusterscores and of clusterscores/status. In scheme, the Go type
// must be registered both for v1alpha1 and for the internal version, and AddFieldLabelConversion
// must have been called.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter) (*bounded.Store, *bounded.Status, error) {
	main := newStrategy(scheme)
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &v1alpha1.ClusterScore{} },
		NewListFunc:               func() runtime.Object { return &v1alpha1.ClusterScoreList{} },
		PredicateFunc:             selected.Match,
		DefaultQualifiedResource:  v1alpha1.Resource("clusterscores"),
		SingularQualifiedResource: v1alpha1.Resource("clusterscore"),
		CreateStrategy:            main,
		UpdateStrategy:            main,
		DeleteStrategy:            main,
		ResetFieldsStrategy:       main,
		TableConvertor: table.New(columns, func(score *v1alpha1.ClusterScore) []any {
			return cells(score, time.Now())
		}),
	}
	options := &generic.StoreOptions{RESTOptions: optsGetter, AttrFunc: selected.Attributes, TriggerFunc: selected.Triggers()}
	if err := store.CompleteWithOptions(options); err != nil {
		return nil, nil, err
	}
	return bounded.New(store, "cscore"), bounded.NewStatus(store, newStatusStrategy(scheme)), nil
}

var columns = []metav1.TableColumnDefinition{
	{Name: "Cluster", Type: "string", Description: "ClusterProfile that the values and scores are of."},
	{Name: "Resource", Type: "string", Description: "Resource name by which placements find the scores."},
	{Name: "Valid Until", Type: "string", Description: "Time until values and scores become unknown, unless they are renewed."},
}

func cells(score *v1alpha1.ClusterScore, now time.Time) []any {
	validity := "<none>"
	if until := score.Status.ValidUntil; until != nil {
		left := until.Sub(now).Round(time.Second)
		validity = "in " + duration.HumanDuration(left)
		if left < 0 {
			validity = "expired " + duration.HumanDuration(-left) + " ago"
		}
	}
	return []any{score.Spec.ClusterProfileName, score.Spec.ResourceName, validity}
}
