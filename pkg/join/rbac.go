// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/sets"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/artifacts"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/words"
)

// Names on a member, as artifacts/deploy/member has them.
const (
	// SystemNamespace is the namespace of clusterpass on the hub and on every member.
	SystemNamespace = hub.SystemNamespace
	// ServiceAccount is whom a hub is on a member, in SystemNamespace.
	ServiceAccount = "clusterpass"
	// CredentialSecret is the Secret that tokens of ServiceAccount are bound to, in SystemNamespace of
	// the member.
	CredentialSecret = member.CredentialSecret

	mainRole       = "clusterpass"
	credentialRole = "clusterpass:credential"
	rulesRole      = "clusterpass:allow-rules"
	usageRole      = "clusterpass:usage"
)

const (
	partOfLabel = "app.kubernetes.io/part-of"
	partOf      = "clusterpass"

	kindNamespace      = "Namespace"
	kindServiceAccount = "ServiceAccount"
	kindSecret         = "Secret"
	kindRole           = "Role"
	kindRoleBinding    = "RoleBinding"
	kindClusterRole    = "ClusterRole"
	kindClusterBinding = "ClusterRoleBinding"
)

// Allowed is what a member lets the hub give to those who ask it for tokens.
type Allowed struct {
	// ClusterRoles are the ClusterRoles that may be bound.
	ClusterRoles []string `json:"clusterRoles,omitempty"`
	// AllClusterRoles lets every ClusterRole be bound, cluster-admin included.
	AllClusterRoles bool `json:"allClusterRoles,omitempty"`
	// Namespaces are those that ServiceAccounts and Roles may be in.
	Namespaces []string `json:"namespaces,omitempty"`
	// Rules lets roles be made of the rules of a request, by the verb escalate.
	Rules bool `json:"rules,omitempty"`
	// Usage lets what is free on the member be counted from its nodes and pods.
	Usage bool `json:"usage,omitempty"`
}

// Objects returns what a member needs to have, in the order in which it is made. The
// namespaces that are allowed are not among them: they belong to the member.
func (a *Allowed) Objects() []*unstructured.Unstructured {
	main := manifests("base/clusterrole.yaml")
	changeRules(main[0], func(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
		// The first one says which ClusterRoles may be bound.
		rules[0].ResourceNames = nil
		if !a.AllClusterRoles {
			rules[0].ResourceNames = slices.Sorted(slices.Values(a.ClusterRoles))
		}
		return rules
	})
	objects := append(credentialObjects(), main...)
	for _, namespace := range a.Namespaces {
		objects = append(objects, a.inNamespace(namespace)...)
	}
	if a.Rules {
		objects = append(objects, manifests("allow-rules/clusterrole.yaml")...)
	}
	if a.Usage {
		objects = append(objects, manifests("base/usage.yaml")...)
	}
	return objects
}

// inNamespace returns the Role for a namespace that is allowed, and its binding.
func (a *Allowed) inNamespace(namespace string) []*unstructured.Unstructured {
	objects := manifests("base/namespaces/template/role.yaml")
	for _, o := range objects {
		o.SetNamespace(namespace)
	}
	if a.Rules {
		changeRules(objects[0], func(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
			return append(rules, rbacv1.PolicyRule{
				APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles"}, Verbs: []string{"create", "update", "delete", "escalate"},
			})
		})
	}
	return objects
}

// credentialObjects are what the hub's credential takes, whatever is allowed. The right to know
// which cluster the member is has a role of its own, so a member that an earlier release joined
// gets it without a change of what it allows.
func credentialObjects() []*unstructured.Unstructured {
	return manifests("base/serviceaccount.yaml", "base/credential.yaml", "base/identity.yaml")
}

// manifests returns the objects of files in artifacts/deploy/member, with the label that the
// kustomization there adds.
func manifests(files ...string) []*unstructured.Unstructured {
	var objects []*unstructured.Unstructured
	for _, file := range files {
		objects = append(objects, artifacts.Objects(path.Join("deploy/member", file))...)
	}
	for _, o := range objects {
		utilruntime.Must(unstructured.SetNestedField(o.Object, partOf, "metadata", "labels", partOfLabel))
	}
	return objects
}

// changeRules changes the rules of a Role or ClusterRole.
func changeRules(o *unstructured.Unstructured, change func([]rbacv1.PolicyRule) []rbacv1.PolicyRule) {
	role := &rbacv1.ClusterRole{}
	utilruntime.Must(runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, role))
	role.Rules = change(role.Rules)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(role)
	utilruntime.Must(err)
	o.Object["rules"] = content["rules"]
}

// bindingOf returns the binding of a Role or ClusterRole to the hub's account.
func bindingOf(role *unstructured.Unstructured) *unstructured.Unstructured {
	binding := manifests("base/namespaces/template/role.yaml")[1]
	binding.SetKind(role.GetKind() + "Binding")
	binding.SetName(role.GetName())
	binding.SetNamespace(role.GetNamespace())
	ref := map[string]any{"apiGroup": rbacv1.GroupName, "kind": role.GetKind(), "name": role.GetName()}
	utilruntime.Must(unstructured.SetNestedMap(binding.Object, ref, "roleRef"))
	return binding
}

func core(kind string) metav1.TypeMeta { return metav1.TypeMeta{APIVersion: "v1", Kind: kind} }

// rightsKinds are the kinds that give the hub rights on a member, bindings first: that is the order
// to take them away in.
var rightsKinds = []schema.GroupVersionKind{
	rbacv1.SchemeGroupVersion.WithKind(kindClusterBinding),
	rbacv1.SchemeGroupVersion.WithKind(kindRoleBinding),
	rbacv1.SchemeGroupVersion.WithKind(kindClusterRole),
	rbacv1.SchemeGroupVersion.WithKind(kindRole),
}

// manifestNames are the names in artifacts/deploy/member, which a member may have been given
// without join.
var manifestNames = sets.New(mainRole, credentialRole, rulesRole, usageRole)

// prune removes the rights that the hub was given before and that are not among objects, such as
// those in a namespace that is not allowed any more.
func (j *joiner) prune(ctx context.Context, objects []*unstructured.Unstructured) error {
	wanted := sets.New[string]()
	for _, o := range objects {
		wanted.Insert(refOf(o))
	}
	for _, kind := range rightsKinds {
		found, err := j.member.list(ctx, kind, metav1.NamespaceAll, partOfLabel+"="+partOf)
		if err != nil {
			return err
		}
		for i := range found {
			if o := &found[i]; !wanted.Has(refOf(o)) && j.isOurs(o) {
				if err := j.member.remove(ctx, o); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// isOurs returns whether an object, which is clusterpass's, is one of this hub on the member, or of
// the manifests.
func (j *joiner) isOurs(o *unstructured.Unstructured) bool {
	by := o.GetLabels()[member.LabelJoinedBy]
	return by == j.hubID || by == "" && manifestNames.Has(o.GetName())
}

// maxNamed bounds the grants that a message names.
const maxNamed = 10

// lacks returns what a grant needs of the member that a does not allow, sorted, each once.
func (a *Allowed) lacks(g *clusterpassv1alpha1.AuthTokenGrant) []string {
	missing := sets.New[string]()
	namespace := func(name string) {
		if !slices.Contains(a.Namespaces, name) {
			missing.Insert("namespace " + name)
		}
	}
	namespace(g.Spec.ServiceAccount.Namespace)
	for _, role := range g.Spec.ClusterRoles {
		switch {
		case len(role.Rules) > 0 && !a.Rules:
			missing.Insert("--allow-rules")
		case len(role.Rules) == 0 && !a.AllClusterRoles && !slices.Contains(a.ClusterRoles, role.Name):
			missing.Insert("ClusterRole " + role.Name)
		}
	}
	for _, role := range g.Spec.Roles {
		namespace(role.Namespace)
		if len(role.Rules) > 0 && !a.Rules {
			missing.Insert("--allow-rules")
		}
	}
	return sets.List(missing)
}

// checkNarrowing refuses to take away what grants need that are there: the hub could not revoke
// them any more, or their tokens would keep what is not allowed. It says whether there are any,
// where they are to be revoked.
func (j *joiner) checkNarrowing(ctx context.Context, o *Options) (narrows bool, err error) {
	grants, err := j.grants(ctx)
	if err != nil {
		return false, fmt.Errorf(
			"%w. Joining again needs `list` on authtokengrants, to check whether any of them needs what is no longer allowed", err)
	}
	var names []string
	for i := range grants {
		g := &clusterpassv1alpha1.AuthTokenGrant{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(grants[i].Object, g); err != nil {
			return false, fmt.Errorf("hub: %s: %w", refOf(&grants[i]), err)
		}
		lacks := o.Allowed.lacks(g)
		if len(lacks) == 0 {
			continue
		}
		why := strings.Join(lacks, ", ")
		if owner := metav1.GetControllerOfNoCopy(g); owner != nil {
			why += "; of " + owner.Kind + " " + owner.Name
		}
		names = append(names, fmt.Sprintf("%s/%s (%s)", g.Namespace, g.Name, why))
	}
	if len(names) == 0 || o.RevokeGrants {
		return len(names) > 0, nil
	}
	return false, fmt.Errorf("hub: grants need what would no longer be allowed: %s.\n"+
		"Keep allowing it, or end them first: change the ClusterCredentialSets, and revoke the others with `kubectl clusterpass revoke`. "+
		"With --revoke-grants join revokes them all", words.Some(names, "; ", maxNamed))
}
