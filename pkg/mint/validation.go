// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	apimachineryvalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/bounds"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/hub"
)

const (
	// maxRoleName leaves room for the prefix and the UID in the name of a binding.
	maxRoleName = 190
	// maxAudience bounds the length of one audience, in bytes.
	maxAudience = 1024
	// reservedDomain is the prefix of labels and annotations that only clusterpass sets.
	reservedDomain = "clusterpass.dev/"
)

// Validate returns the errors in r, by field. r must have its defaults.
func (m *Minter) Validate(r *v1alpha1.AuthTokenRequest) field.ErrorList {
	errs := ValidateReserved(r.Labels, nil, "server", field.NewPath("metadata", "labels"))
	errs = append(errs, ValidateReserved(r.Annotations, nil, "server", field.NewPath("metadata", "annotations"))...)
	spec := field.NewPath("spec")
	errs = append(errs, validateTarget(r.Spec.TargetClusterProfile, spec.Child("targetClusterProfile"))...)
	errs = append(errs, validateServiceAccountName(r.Spec.ServiceAccountName, spec.Child("serviceAccountName"))...)
	errs = append(errs, m.ValidateRights(&r.Spec, spec)...)
	return append(errs, validateExpiration(r.Spec.ExpirationSeconds, spec.Child("expirationSeconds"))...)
}

// ValidateRights returns the errors in spec, by fields under path. It does not check its target,
// the ServiceAccount's name, and the lifetime of the token.
func (m *Minter) ValidateRights(spec *v1alpha1.AuthTokenRequestSpec, path *field.Path) field.ErrorList {
	errs := m.validateNamespace(spec.ServiceAccountNamespace, path.Child("serviceAccountNamespace"))
	errs = append(errs, m.validateRoles(grant.Roles(spec.ClusterRoles, nil), path.Child("clusterRoles"))...)
	errs = append(errs, m.validateRoles(grant.Roles(nil, spec.Roles), path.Child("roles"))...)
	return append(errs, validateAudiences(spec.Audiences, path.Child("audiences"))...)
}

// ValidateReserved returns an error for each key of clusterpass.dev that keys add, change or remove
// against old. whose says who sets those keys.
func ValidateReserved(keys, old map[string]string, whose string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, key := range sets.List(sets.KeySet(keys).Union(sets.KeySet(old))) {
		value, ok := keys[key]
		oldValue, oldOK := old[key]
		if strings.HasPrefix(key, reservedDomain) && (ok != oldOK || value != oldValue) {
			errs = append(errs, field.Forbidden(path.Key(key), "keys of clusterpass.dev are the "+whose+"'s to set"))
		}
	}
	return errs
}

func validateTarget(target v1alpha1.ClusterProfileReference, fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	groups := []string{v1alpha1.GroupName, v1alpha1.SchemeGroupVersion.String()}
	if target.APIGroup != groups[0] && target.APIGroup != groups[1] {
		errs = append(errs, field.NotSupported(fldPath.Child("apiGroup"), target.APIGroup, groups))
	}
	if target.Kind != "ClusterProfile" {
		errs = append(errs, field.NotSupported(fldPath.Child("kind"), target.Kind, []string{"ClusterProfile"}))
	}
	if target.Name == "" {
		errs = append(errs, field.Required(fldPath.Child("name"), "name of a ClusterProfile"))
	}
	errs = append(errs, invalid(content.IsPathSegmentName(target.Name), target.Name, fldPath.Child("name"))...)
	messages := apimachineryvalidation.ValidateNamespaceName(target.Namespace, false)
	return append(errs, invalid(messages, target.Namespace, fldPath.Child("namespace"))...)
}

// invalid returns an error for each of the messages that a check of value has returned.
func invalid(messages []string, value string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, message := range messages {
		errs = append(errs, field.Invalid(path, value, message))
	}
	return errs
}

func validateServiceAccountName(name string, fldPath *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(fldPath, "name of a ServiceAccount on the member cluster")}
	}
	return invalid(apimachineryvalidation.ValidateServiceAccountName(name, false), name, fldPath)
}

func (m *Minter) validateNamespace(namespace string, fldPath *field.Path) field.ErrorList {
	if namespace == "" {
		return field.ErrorList{field.Required(fldPath, "namespace on the member cluster")}
	}
	if hub.ReservedNamespaces.Has(namespace) && !m.AllowedNamespaces.Has(namespace) {
		return field.ErrorList{field.Forbidden(fldPath, fmt.Sprintf("namespace %q of a member cluster is reserved", namespace))}
	}
	return invalid(apimachineryvalidation.ValidateNamespaceName(namespace, false), namespace, fldPath)
}

func (m *Minter) validateRoles(roles []grant.Role, fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(roles) > v1alpha1.MaxRoles {
		return append(errs, field.TooMany(fldPath, len(roles), v1alpha1.MaxRoles))
	}
	names := sets.New[string]()
	for i, role := range roles {
		idxPath := fldPath.Index(i)
		keyPath := idxPath.Child("name")
		if !role.OfCluster() {
			keyPath = idxPath
			errs = append(errs, m.validateNamespace(role.Namespace, idxPath.Child("namespace"))...)
		}
		errs = append(errs, validateRoleName(role.Name, idxPath.Child("name"))...)
		errs = append(errs, validateRules(role.Rules, !role.OfCluster(), idxPath.Child("rules"))...)
		if names.Has(role.String()) {
			errs = append(errs, field.Duplicate(keyPath, role.String()))
		}
		names.Insert(role.String())
	}
	return errs
}

// validateRoleName accepts the names that RBAC accepts, with two exceptions: names that would make
// a verb on the hub ambiguous to its reader, and names of roles that clusterpass creates.
func validateRoleName(name string, fldPath *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(fldPath, "name of a role on the member cluster")}
	}
	errs := invalid(content.IsPathSegmentName(name), name, fldPath)
	if strings.Contains(name, "*") {
		errs = append(errs, field.Invalid(fldPath, name, "may not contain '*'"))
	}
	if len(name) > maxRoleName {
		errs = append(errs, field.TooLong(fldPath, name, maxRoleName))
	}
	if strings.HasPrefix(name, grant.Prefix) {
		errs = append(errs,
			field.Forbidden(fldPath, fmt.Sprintf("names that begin with %q are reserved for roles made for one request", grant.Prefix)))
	}
	return errs
}

// validateRules checks what RBAC's own validation checks, until there are enough errors. So a
// request that can never work is refused before the member is called.
func validateRules(rules []rbacv1.PolicyRule, namespaced bool, fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, rule := range rules {
		if bounds.Enough(errs) {
			break
		}
		idxPath := fldPath.Index(i)
		if len(rule.Verbs) == 0 {
			errs = append(errs, field.Required(idxPath.Child("verbs"), "verbs must contain at least one value"))
		}
		switch {
		case len(rule.NonResourceURLs) > 0 && namespaced:
			errs = append(errs,
				field.Invalid(idxPath.Child("nonResourceURLs"), rule.NonResourceURLs, "a Role is namespaced and can't hold non-resource URLs"))
		case len(rule.NonResourceURLs) > 0:
			if len(rule.APIGroups) > 0 || len(rule.Resources) > 0 || len(rule.ResourceNames) > 0 {
				errs = append(errs, field.Invalid(idxPath.Child("nonResourceURLs"), rule.NonResourceURLs,
					"a rule is for resources or for non-resource URLs, not for both"))
			}
		default:
			if len(rule.APIGroups) == 0 {
				errs = append(errs, field.Required(idxPath.Child("apiGroups"), "resource rules must supply at least one API group"))
			}
			if len(rule.Resources) == 0 {
				errs = append(errs, field.Required(idxPath.Child("resources"), "resource rules must supply at least one resource"))
			}
		}
	}
	return errs
}

func validateAudiences(audiences []string, fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(audiences) > v1alpha1.MaxAudiences {
		return append(errs, field.TooMany(fldPath, len(audiences), v1alpha1.MaxAudiences))
	}
	seen := sets.New[string]()
	for i, audience := range audiences {
		idxPath := fldPath.Index(i)
		switch {
		case audience == "":
			errs = append(errs, field.Required(idxPath, "an audience can't be empty"))
		case len(audience) > maxAudience:
			errs = append(errs, field.TooLong(idxPath, audience, maxAudience))
		case strings.Contains(audience, "*"):
			errs = append(errs, field.Invalid(idxPath, audience, "may not contain '*'"))
		case seen.Has(audience):
			errs = append(errs, field.Duplicate(idxPath, audience))
		}
		seen.Insert(audience)
	}
	return errs
}

func validateExpiration(seconds *int64, fldPath *field.Path) field.ErrorList {
	switch {
	case seconds == nil:
		return nil
	case *seconds < v1alpha1.MinExpirationSeconds:
		return field.ErrorList{field.Invalid(fldPath, *seconds, fmt.Sprintf("must be at least %d (10 minutes)", v1alpha1.MinExpirationSeconds))}
	case *seconds > v1alpha1.MaxExpirationSeconds:
		return field.ErrorList{field.Invalid(fldPath, *seconds, fmt.Sprintf("must be at most %d", v1alpha1.MaxExpirationSeconds))}
	}
	return nil
}
