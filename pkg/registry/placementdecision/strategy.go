// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placementdecision

import (
	"context"
	"maps"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/bounds"
	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
	registryvalidation "clusterpass.dev/pkg/registry/internal/validation"
)

// maxDecisions is the limit of upstream's CRD for one slice.
const maxDecisions = 100

type strategy struct {
	registrystrategy.Namespaced
}

// PrepareForCreate implements rest.RESTCreateStrategy: the user who creates a decision is its
// writer.
func (strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	decision := toDecision(obj)
	decision.Generation = 1
	setWriter(decision, userOf(ctx))
}

// PrepareForUpdate implements rest.RESTUpdateStrategy. The generation counts all changes outside
// the metadata. The user becomes the writer by changing the decisions, the decision's labels or its
// controller, or by setting the annotation to their own name. Nobody can set it to another name.
func (strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	decision, oldDecision := toDecision(obj), toDecision(old)
	same := decision.SchedulerName == oldDecision.SchedulerName &&
		apiequality.Semantic.DeepEqual(decision.Decisions, oldDecision.Decisions)
	if !same {
		decision.Generation = oldDecision.Generation + 1
	}
	writer := userOf(ctx)
	same = same && apiequality.Semantic.DeepEqual(keys(decision), keys(oldDecision)) &&
		apiequality.Semantic.DeepEqual(metav1.GetControllerOf(decision), metav1.GetControllerOf(oldDecision))
	if same && decision.Annotations[v1alpha1.AnnotationDecisionWriter] != writer {
		writer = oldDecision.Annotations[v1alpha1.AnnotationDecisionWriter]
	}
	setWriter(decision, writer)
}

// keys returns the labels of a decision that name its placement and the slice's place in the
// decision.
func keys(decision *inventoryv1alpha1.PlacementDecision) map[string]string {
	keys := maps.Clone(decision.Labels)
	maps.DeleteFunc(keys, func(key, _ string) bool { return !strings.HasPrefix(key, inventoryv1alpha1.Group+"/") })
	return keys
}

// setWriter sets the writer of a decision. It removes the annotation if the name is empty or too
// long.
func setWriter(decision *inventoryv1alpha1.PlacementDecision, writer string) {
	if writer == "" || len(writer) > v1alpha1.MaxDecisionWriter {
		delete(decision.Annotations, v1alpha1.AnnotationDecisionWriter)
		return
	}
	metav1.SetMetaDataAnnotation(&decision.ObjectMeta, v1alpha1.AnnotationDecisionWriter, writer)
}

// userOf returns the username of a request, empty if it has none.
func userOf(ctx context.Context) string {
	user, ok := genericapirequest.UserFrom(ctx)
	if !ok {
		return ""
	}
	return user.GetName()
}

// Validate implements rest.RESTCreateStrategy.
func (strategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	decision := toDecision(obj)
	errs := validation.ValidateObjectMeta(&decision.ObjectMeta, true, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	errs = append(errs, validateDecisions(decision.Decisions, field.NewPath("decisions"))...)
	if registrystrategy.IsV1alpha2(ctx) {
		errs = append(errs, validateV1alpha2References(decision.Decisions, field.NewPath("decisions"))...)
	}
	return errs
}

// ValidateUpdate implements rest.RESTUpdateStrategy. Like a CRD's, the validation ratchets:
// v1alpha2 accepts references that were stored through v1alpha1 while the list of decisions does
// not change.
func (strategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	decisions := toDecision(obj).Decisions
	errs := validateDecisions(decisions, field.NewPath("decisions"))
	if registrystrategy.IsV1alpha2(ctx) && !apiequality.Semantic.DeepEqual(decisions, toDecision(old).Decisions) {
		errs = append(errs, validateV1alpha2References(decisions, field.NewPath("decisions"))...)
	}
	return errs
}

// validateV1alpha2References returns what v1alpha2 refuses in decisions and validateDecisions
// accepts.
func validateV1alpha2References(decisions []inventoryv1alpha1.ClusterDecision, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range decisions {
		if bounds.Enough(errs) {
			break
		}
		reference, at := decisions[i].ClusterProfileRef, path.Index(i).Child("clusterProfileRef")
		if reference.Name != "" {
			errs = append(errs, registryvalidation.Name(reference.Name, utilvalidation.DNS1123SubdomainMaxLength,
				utilvalidation.IsDNS1123Subdomain, at.Child("name"))...)
		}
		if reference.Namespace != "" {
			errs = append(errs, registryvalidation.Name(reference.Namespace, utilvalidation.DNS1123LabelMaxLength,
				utilvalidation.IsDNS1123Label, at.Child("namespace"))...)
		}
	}
	return errs
}

// validateDecisions refuses a missing list, and accepts an empty one.
func validateDecisions(decisions []inventoryv1alpha1.ClusterDecision, path *field.Path) field.ErrorList {
	if decisions == nil {
		return field.ErrorList{field.Required(path, "may be empty")}
	}
	if len(decisions) > maxDecisions {
		return field.ErrorList{field.TooMany(path, len(decisions), maxDecisions)}
	}
	var errs field.ErrorList
	for i := range decisions {
		if decisions[i].ClusterProfileRef.Name == "" {
			errs = append(errs, field.Required(path.Index(i).Child("clusterProfileRef", "name"), ""))
		}
	}
	return errs
}

// toDecision converts obj. It panics if NewFunc of the store returns another type.
var toDecision = registrystrategy.To[*inventoryv1alpha1.PlacementDecision]
