// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterscore

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	registryvalidation "clusterpass.dev/pkg/registry/internal/validation"
)

func validateCreate(score *v1alpha1.ClusterScore) field.ErrorList {
	errs := validation.ValidateObjectMeta(&score.ObjectMeta, true, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	spec := field.NewPath("spec")
	errs = append(errs, validateDNSName(score.Spec.ClusterProfileName, spec.Child("clusterProfileName"))...)
	return append(errs, validateDNSName(score.Spec.ResourceName, spec.Child("resourceName"))...)
}

func validateUpdate(score, old *v1alpha1.ClusterScore) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validation.ValidateImmutableField(score.Spec.ClusterProfileName, old.Spec.ClusterProfileName, spec.Child("clusterProfileName"))
	return append(errs, validation.ValidateImmutableField(score.Spec.ResourceName, old.Spec.ResourceName, spec.Child("resourceName"))...)
}

func validateDNSName(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return registryvalidation.Invalid(utilvalidation.IsDNS1123Subdomain(name), name, path)
}

func validateStatus(status *v1alpha1.ClusterScoreStatus, path *field.Path) field.ErrorList {
	errs := validateValues(status.Values, path.Child("values"))
	errs = append(errs, validateScores(status.Scores, path.Child("scores"))...)
	return append(errs, registryvalidation.Conditions(status.Conditions, path.Child("conditions"))...)
}

func validateValues(values []v1alpha1.ClusterValue, path *field.Path) field.ErrorList {
	errs := registryvalidation.Count(len(values), v1alpha1.MaxScores, path)
	seen := sets.New[string]()
	for i := range values {
		errs = append(errs, validateName(values[i].Name, seen, path.Index(i).Child("name"))...)
		if values[i].Value == nil {
			errs = append(errs, field.Required(path.Index(i).Child("value"), "omit the item if its value is unknown"))
		}
	}
	return errs
}

func validateScores(scores []v1alpha1.ClusterScoreItem, path *field.Path) field.ErrorList {
	errs := registryvalidation.Count(len(scores), v1alpha1.MaxScores, path)
	seen := sets.New[string]()
	for i := range scores {
		errs = append(errs, validateName(scores[i].Name, seen, path.Index(i).Child("name"))...)
		switch value := scores[i].Value; {
		case value == nil:
			errs = append(errs, field.Required(path.Index(i).Child("value"), "omit the item if its value is unknown"))
		case *value < v1alpha1.LeastScore || *value > v1alpha1.MostScore:
			errs = append(errs, field.Invalid(path.Index(i).Child("value"), *value,
				utilvalidation.InclusiveRangeError(v1alpha1.LeastScore, v1alpha1.MostScore)))
		}
	}
	return errs
}

// validateName accepts NAME[@TYPE][:ASPECT]. Each part has a maximum length.
func validateName(name string, seen sets.Set[string], path *field.Path) field.ErrorList {
	if errs := registryvalidation.Key(name, seen, path); len(errs) > 0 {
		return errs
	}
	rest, aspect, hasAspect := strings.Cut(name, ":")
	rest, device, hasDevice := strings.Cut(rest, "@")
	errs := registryvalidation.Invalid(utilvalidation.IsQualifiedName(rest), name, path)
	if hasDevice {
		errs = append(errs, registryvalidation.Invalid(utilvalidation.IsValidLabelValue(device), name, path)...)
	}
	if hasDevice && device == "" {
		errs = append(errs, field.Invalid(path, name, "a type must follow the @"))
	}
	if hasAspect {
		errs = append(errs, registryvalidation.Invalid(utilvalidation.IsDNS1123Label(aspect), name, path)...)
	}
	return errs
}
