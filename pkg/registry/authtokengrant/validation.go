// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokengrant

import (
	"slices"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/mint"
	registryvalidation "clusterpass.dev/pkg/registry/internal/validation"
)

const (
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
func validateUpdate(g, old *v1alpha1.AuthTokenGrant) field.ErrorList {
	metadata := field.NewPath("metadata")
	errs := mint.ValidateReserved(g.Labels, old.Labels, "server", metadata.Child("labels"))
	errs = append(errs, validateAnnotations(g.Annotations, old.Annotations, metadata.Child("annotations"))...)
	errs = append(errs, validateFinalizers(g, old, metadata.Child("finalizers"))...)
	if !apiequality.Semantic.DeepEqual(g.Spec, old.Spec) {
		errs = append(errs, field.Forbidden(field.NewPath("spec"), "is immutable: only an AuthTokenRequest changes it"))
	}
	return errs
}

// validateFinalizers prevents that users lose the record of working tokens. The finalizer may be
// removed when the grant never had a token, when its tokens have no rights any more, or with
// AnnotationAbandonMember.
func validateFinalizers(g, old *v1alpha1.AuthTokenGrant, path *field.Path) field.ErrorList {
	removed := slices.Contains(old.Finalizers, v1alpha1.GrantFinalizer) && !slices.Contains(g.Finalizers, v1alpha1.GrantFinalizer)
	ended := old.Status.RightsEndedTime != nil || old.Status.ExpirationCeiling == nil ||
		g.Annotations[v1alpha1.AnnotationAbandonMember] == abandon
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
	for _, err := range mint.ValidateReserved(annotations, old, "server", path) {
		if err.Field != path.Key(v1alpha1.AnnotationAbandonMember).String() {
			errs = append(errs, err)
		}
	}
	if value, ok := annotations[v1alpha1.AnnotationAbandonMember]; ok && value != abandon {
		errs = append(errs, field.NotSupported(path.Key(v1alpha1.AnnotationAbandonMember), value, []string{abandon}))
	}
	return errs
}

func validateInternalCreate(g *v1alpha1.AuthTokenGrant) field.ErrorList {
	errs := validation.ValidateObjectMeta(&g.ObjectMeta, true, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	errs = append(errs, validateSpec(&g.Spec, field.NewPath("spec"))...)
	return append(errs, validateStatus(&g.Status, field.NewPath("status"))...)
}

func validateInternalUpdate(g, old *v1alpha1.AuthTokenGrant) field.ErrorList {
	spec := field.NewPath("spec")
	errs := validation.ValidateImmutableField(g.Spec.ClusterProfile, old.Spec.ClusterProfile, spec.Child("clusterProfile"))
	errs = append(errs, validation.ValidateImmutableField(g.Spec.ServiceAccount, old.Spec.ServiceAccount, spec.Child("serviceAccount"))...)
	errs = append(errs, validateSpec(&g.Spec, spec)...)
	return append(errs, validateStatus(&g.Status, field.NewPath("status"))...)
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
	errs = append(errs, validateRoles(grant.Roles(spec.ClusterRoles, nil), path.Child("clusterRoles"))...)
	errs = append(errs, validateRoles(grant.Roles(nil, spec.Roles), path.Child("roles"))...)
	errs = append(errs, validateAudiences(spec.Audiences, path.Child("audiences"))...)
	return append(errs, validateRequester(&spec.Requester, path.Child("requester"))...)
}

func validateName(name string, check validation.ValidateNameFunc, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return registryvalidation.Invalid(check(name, false), name, path)
}

func validateRoles(roles []grant.Role, path *field.Path) field.ErrorList {
	errs := registryvalidation.Count(len(roles), multiclusterv1alpha1.MaxRoles, path)
	seen := sets.New[string]()
	for i, role := range roles {
		namePath := path.Index(i).Child("name")
		keyPath := namePath
		if !role.OfCluster() {
			keyPath = path.Index(i)
			errs = append(errs, validateName(role.Namespace, validation.ValidateNamespaceName, path.Index(i).Child("namespace"))...)
		}
		if role.Name == "" {
			errs = append(errs, field.Required(namePath, ""))
		} else {
			errs = append(errs, registryvalidation.Key(role.String(), seen, keyPath)...)
		}
		for j, rule := range role.Rules {
			if len(rule.Verbs) == 0 {
				errs = append(errs, field.Required(path.Index(i).Child("rules").Index(j).Child("verbs"), ""))
			}
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
	for i, object := range objects {
		switch namespace := path.Index(i).Child("namespace"); {
		case slices.Contains(namespacedKinds, object.Kind):
			errs = append(errs, validateName(object.Namespace, validation.ValidateNamespaceName, namespace)...)
		case !slices.Contains(clusterKinds, object.Kind):
			errs = append(errs, field.NotSupported(path.Index(i).Child("kind"), object.Kind, slices.Concat(namespacedKinds, clusterKinds)))
		case object.Namespace != "":
			errs = append(errs, field.Invalid(namespace, object.Namespace, object.Kind+" is in no namespace"))
		}
		if object.Name == "" {
			errs = append(errs, field.Required(path.Index(i).Child("name"), ""))
		}
	}
	return errs
}
