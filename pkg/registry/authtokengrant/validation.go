// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokengrant

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	registryvalidation "clusterpass.dev/pkg/registry/internal/validation"
)

const (
	// reservedDomain is the prefix of labels and annotations that only the server sets.
	reservedDomain = "clusterpass.dev/"
	// abandon is the only value of AnnotationAbandonMember.
	abandon = "true"
	// maxMemberObjects bounds the objects that one grant can own on a member while its roles are
	// being replaced: its ServiceAccount, its Secret, and a role and a binding for every old and
	// new Role and ClusterRole.
	maxMemberObjects = 2 + 2*2*2*multiclusterv1alpha1.MaxRoles
)

// The kinds of objects that a grant owns on a member: namespaced and cluster-scoped ones.
var (
	namespacedKinds = []string{"ServiceAccount", "Secret", "Role", "RoleBinding"}
	clusterKinds    = []string{"ClusterRole", "ClusterRoleBinding"}
)

// validateUpdate is for users. They may change only the metadata, except for reserved keys.
func validateUpdate(grant, old *v1alpha1.AuthTokenGrant) field.ErrorList {
	metadata := field.NewPath("metadata")
	errs := validateReserved(grant.Labels, old.Labels, metadata.Child("labels"))
	errs = append(errs, validateAnnotations(grant.Annotations, old.Annotations, metadata.Child("annotations"))...)
	errs = append(errs, validateFinalizers(grant, old, metadata.Child("finalizers"))...)
	if !apiequality.Semantic.DeepEqual(grant.Spec, old.Spec) {
		errs = append(errs, field.Forbidden(field.NewPath("spec"), "is immutable: only an AuthTokenRequest changes it"))
	}
	return errs
}

// validateFinalizers prevents that users lose the record of working tokens. The finalizer may be
// removed when the grant never had a token, when its tokens have no rights any more, or with
// AnnotationAbandonMember.
func validateFinalizers(grant, old *v1alpha1.AuthTokenGrant, path *field.Path) field.ErrorList {
	removed := slices.Contains(old.Finalizers, v1alpha1.GrantFinalizer) && !slices.Contains(grant.Finalizers, v1alpha1.GrantFinalizer)
	ended := old.Status.RightsEndedTime != nil || old.Status.ExpirationCeiling == nil ||
		grant.Annotations[v1alpha1.AnnotationAbandonMember] == abandon
	if !removed || old.DeletionTimestamp != nil && ended {
		return nil
	}
	return field.ErrorList{field.Forbidden(path, v1alpha1.GrantFinalizer+
		" is removed by the controller manager when the grant is deleted and its tokens have ended; "+
		"if the member cluster is gone for ever, delete the grant and annotate it with "+v1alpha1.AnnotationAbandonMember+"=true")}
}

// validateAnnotations allows users to set and remove AnnotationAbandonMember, and no other reserved
// annotation.
func validateAnnotations(annotations, old map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, err := range validateReserved(annotations, old, path) {
		if err.Field != path.Key(v1alpha1.AnnotationAbandonMember).String() {
			errs = append(errs, err)
		}
	}
	if value, ok := annotations[v1alpha1.AnnotationAbandonMember]; ok && value != abandon {
		errs = append(errs, field.NotSupported(path.Key(v1alpha1.AnnotationAbandonMember), value, []string{abandon}))
	}
	return errs
}

// validateReserved refuses changes of reserved keys: to add, change or remove them.
func validateReserved(keys, old map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, key := range sets.List(sets.KeySet(keys).Union(sets.KeySet(old))) {
		value, ok := keys[key]
		oldValue, oldOK := old[key]
		if strings.HasPrefix(key, reservedDomain) && (ok != oldOK || value != oldValue) {
			errs = append(errs, field.Forbidden(path.Key(key), "keys of clusterpass.dev are the server's to set"))
		}
	}
	return errs
}

func validateInternalCreate(grant *v1alpha1.AuthTokenGrant) field.ErrorList {
	errs := validation.ValidateObjectMeta(&grant.ObjectMeta, true, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	errs = append(errs, validateSpec(&grant.Spec, field.NewPath("spec"))...)
	return append(errs, validateStatus(&grant.Status, field.NewPath("status"))...)
}

func validateInternalUpdate(grant, old *v1alpha1.AuthTokenGrant) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validation.ValidateImmutableField(grant.Spec.ClusterProfile, old.Spec.ClusterProfile, spec.Child("clusterProfile"))
	errs = append(errs, validation.ValidateImmutableField(grant.Spec.ServiceAccount, old.Spec.ServiceAccount, spec.Child("serviceAccount"))...)
	errs = append(errs, validateSpec(&grant.Spec, spec)...)
	return append(errs, validateStatus(&grant.Status, field.NewPath("status"))...)
}

// validateSpec checks what readers of a grant rely on. Whether a request may ask for it was checked
// before.
func validateSpec(spec *v1alpha1.AuthTokenGrantSpec, path *field.Path) field.ErrorList {
	profile, account := path.Child("clusterProfile"), path.Child("serviceAccount")
	errs := validateName(spec.ClusterProfile.Namespace, validation.ValidateNamespaceName, profile.Child("namespace"))
	errs = append(errs, validateName(spec.ClusterProfile.Name, validation.NameIsDNSSubdomain, profile.Child("name"))...)
	if spec.ClusterProfile.UID == "" {
		errs = append(errs, field.Required(profile.Child("uid"), ""))
	}
	errs = append(errs, validateName(spec.ServiceAccount.Namespace, validation.ValidateNamespaceName, account.Child("namespace"))...)
	errs = append(errs, validateName(spec.ServiceAccount.Name, validation.ValidateServiceAccountName, account.Child("name"))...)
	errs = append(errs, validateClusterRoles(spec.ClusterRoles, path.Child("clusterRoles"))...)
	errs = append(errs, validateRoles(spec.Roles, path.Child("roles"))...)
	errs = append(errs, validateAudiences(spec.Audiences, path.Child("audiences"))...)
	return append(errs, validateRequester(&spec.Requester, path.Child("requester"))...)
}

func validateName(name string, check validation.ValidateNameFunc, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return registryvalidation.Invalid(check(name, false), name, path)
}

func validateClusterRoles(roles []multiclusterv1alpha1.ClusterRole, path *field.Path) field.ErrorList {
	errs := registryvalidation.Count(len(roles), multiclusterv1alpha1.MaxRoles, path)
	seen := sets.New[string]()
	for i, role := range roles {
		errs = append(errs, registryvalidation.Key(role.Name, seen, path.Index(i).Child("name"))...)
		errs = append(errs, validateRules(role.Rules, path.Index(i).Child("rules"))...)
	}
	return errs
}

func validateRoles(roles []multiclusterv1alpha1.Role, path *field.Path) field.ErrorList {
	errs := registryvalidation.Count(len(roles), multiclusterv1alpha1.MaxRoles, path)
	seen := sets.New[string]()
	for i, role := range roles {
		errs = append(errs, validateName(role.Namespace, validation.ValidateNamespaceName, path.Index(i).Child("namespace"))...)
		errs = append(errs, validateRules(role.Rules, path.Index(i).Child("rules"))...)
		switch key := role.Namespace + "/" + role.Name; {
		case role.Name == "":
			errs = append(errs, field.Required(path.Index(i).Child("name"), ""))
		case seen.Has(key):
			errs = append(errs, field.Duplicate(path.Index(i), key))
		default:
			seen.Insert(key)
		}
	}
	return errs
}

func validateRules(rules []rbacv1.PolicyRule, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range rules {
		if len(rules[i].Verbs) == 0 {
			errs = append(errs, field.Required(path.Index(i).Child("verbs"), ""))
		}
	}
	return errs
}

func validateAudiences(audiences []string, path *field.Path) field.ErrorList {
	errs := registryvalidation.Count(len(audiences), multiclusterv1alpha1.MaxAudiences, path)
	seen := sets.New[string]()
	for i, audience := range audiences {
		errs = append(errs, registryvalidation.Key(audience, seen, path.Index(i))...)
	}
	return errs
}

func validateRequester(requester *v1alpha1.Requester, path *field.Path) field.ErrorList {
	if requester.Username == "" {
		return field.ErrorList{field.Required(path.Child("username"), "")}
	}
	return nil
}

func validateStatus(status *v1alpha1.AuthTokenGrantStatus, path *field.Path) field.ErrorList {
	errs := registryvalidation.Conditions(status.Conditions, path.Child("conditions"))
	errs = append(errs, validateMemberObjects(status.MemberObjects, path.Child("memberObjects"))...)
	if status.ObservedGeneration < 0 {
		errs = append(errs, field.Invalid(path.Child("observedGeneration"), status.ObservedGeneration, "must not be negative"))
	}
	if status.LastRequester != nil {
		errs = append(errs, validateRequester(status.LastRequester, path.Child("lastRequester"))...)
	}
	if status.AccessProvider != nil && status.AccessProvider.Name == "" {
		errs = append(errs, field.Required(path.Child("accessProvider", "name"), ""))
	}
	if messages := utilvalidation.IsValidLabelValue(string(status.MemberUID)); len(messages) > 0 {
		errs = append(errs, field.Invalid(path.Child("memberUID"), status.MemberUID, strings.Join(messages, "; ")))
	}
	return errs
}

func validateMemberObjects(objects []v1alpha1.MemberObject, path *field.Path) field.ErrorList {
	errs := registryvalidation.Count(len(objects), maxMemberObjects, path)
	for i := range objects {
		errs = append(errs, validateMemberObject(&objects[i], path.Index(i))...)
	}
	return errs
}

func validateMemberObject(object *v1alpha1.MemberObject, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case slices.Contains(namespacedKinds, object.Kind):
		errs = validateName(object.Namespace, validation.ValidateNamespaceName, path.Child("namespace"))
	case !slices.Contains(clusterKinds, object.Kind):
		errs = append(errs, field.NotSupported(path.Child("kind"), object.Kind, slices.Concat(namespacedKinds, clusterKinds)))
	case object.Namespace != "":
		errs = append(errs, field.Invalid(path.Child("namespace"), object.Namespace, object.Kind+" is in no namespace"))
	}
	if object.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	return errs
}
