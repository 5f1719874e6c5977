// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterscore

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
)

var toScore = registrystrategy.To[*v1alpha1.ClusterScore]

// strategy is for the main resource: it keeps the status.
type strategy struct {
	registrystrategy.Main
}

func newStrategy(typer runtime.ObjectTyper) strategy {
	return strategy{registrystrategy.NewMain(typer, v1alpha1.SchemeGroupVersion)}
}

func newStatusStrategy(typer runtime.ObjectTyper) registrystrategy.Status[*v1alpha1.ClusterScore] {
	return registrystrategy.NewStatus(typer, v1alpha1.SchemeGroupVersion,
		func(changed, old *v1alpha1.ClusterScore) { changed.Spec = old.Spec },
		func(obj *v1alpha1.ClusterScore) field.ErrorList {
			return validateStatus(&obj.Status, field.NewPath("status"))
		})
}

// PrepareForCreate implements rest.RESTCreateStrategy: a create doesn't set the status.
func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	score := toScore(obj)
	score.Status = v1alpha1.ClusterScoreStatus{}
	score.Generation = 1
}

// PrepareForUpdate implements rest.RESTUpdateStrategy: the status stays, and the generation counts
// changes of the spec. Validation refuses all of those.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	score, oldScore := toScore(obj), toScore(old)
	score.Status = oldScore.Status
	if !apiequality.Semantic.DeepEqual(score.Spec, oldScore.Spec) {
		score.Generation = oldScore.Generation + 1
	}
}

// Validate implements rest.RESTCreateStrategy.
func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validateCreate(toScore(obj))
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validateUpdate(toScore(obj), toScore(old))
}
