// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"encoding/json"
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

const (
	// ServiceAccount is whom a hub is on a member, in the namespace of clusterpass.
	ServiceAccount = "clusterpass"
	mainRole       = "clusterpass"

	partOfLabel    = "app.kubernetes.io/part-of"
	partOf         = "clusterpass"
	partOfSelector = partOfLabel + "=" + partOf
)

// allowedAnnotation is, on clusterpass's ServiceAccount on a member, what that was joined with:
// Allowed as JSON. The hub cannot change it, so it can be gone by when something of it is lost.
const allowedAnnotation = "clusterpass.dev/allowed"

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

// credentialFiles have what the hub's credential takes, whatever is allowed. The right to know
// which cluster the member is has a role of its own, so a member that an earlier release joined
// gets it without a change of what it allows.
var credentialFiles = []string{"base/serviceaccount.yaml", "base/credential.yaml", "base/identity.yaml"}

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
	objects := append(manifests(credentialFiles...), main...)
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

// notedObjects returns Objects, of which the ServiceAccount says what is allowed.
func (a *Allowed) notedObjects() []*unstructured.Unstructured {
	encoded, err := json.Marshal(a)
	utilruntime.Must(err)
	objects := a.Objects()
	for _, o := range objects {
		if o.GroupVersionKind() == accountKind {
			o.SetAnnotations(map[string]string{allowedAnnotation: string(encoded)})
		}
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
	binding.Object["roleRef"] = map[string]any{"apiGroup": rbacv1.GroupName, "kind": role.GetKind(), "name": role.GetName()}
	return binding
}

// rightsKinds are the kinds that give the hub rights on a member, bindings first: that is the order
// to take them away in.
var rightsKinds = []schema.GroupVersionKind{clusterBindingKind, roleBindingKind, clusterRoleKind, roleKind}

// manifestNames are the names in artifacts/deploy/member, which a member may have been given
// without join.
var manifestNames = sets.New(mainRole, "clusterpass:credential", "clusterpass:allow-rules", "clusterpass:usage")

// prune removes the rights that the hub was given before and that are not among objects, such as
// those in a namespace that is not allowed any more.
func (j *joiner) prune(ctx context.Context, objects []*unstructured.Unstructured) error {
	wanted := sets.New[string]()
	for _, o := range objects {
		wanted.Insert(refOf(o))
	}
	found, err := j.listOurs(ctx, rightsKinds...)
	if err != nil {
		return err
	}
	for i := range found {
		if o := &found[i]; !wanted.Has(refOf(o)) {
			if err := j.member.remove(ctx, o.GroupVersionKind(), o); err != nil {
				return err
			}
		}
	}
	return nil
}

// listOurs returns the objects of kinds on the member that are clusterpass's, and either of this
// hub or of the manifests.
func (j *joiner) listOurs(ctx context.Context, kinds ...schema.GroupVersionKind) ([]unstructured.Unstructured, error) {
	var ours []unstructured.Unstructured
	for _, kind := range kinds {
		found, err := j.member.list(ctx, kind, metav1.NamespaceAll, metav1.ListOptions{LabelSelector: partOfSelector})
		if err != nil {
			return nil, err
		}
		for i := range found {
			by := found[i].GetLabels()[member.LabelJoinedBy]
			if by == j.hubID || by == "" && manifestNames.Has(found[i].GetName()) {
				ours = append(ours, found[i])
			}
		}
	}
	return ours, nil
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
	grants, err := j.grants(ctx, append(j.sharing, j.key())...)
	if err != nil {
		return false, fmt.Errorf(
			"%w. Joining again needs `list` on authtokengrants, to check whether any of them needs what is no longer allowed", err)
	}
	var names []string
	for i := range grants {
		g := &grants[i]
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

// restore makes anew what join has made on the member and is lost there, as far as the member
// itself tells what it was: what the hub's credential takes, and the rights that it was given. What
// is there is left as it is, and nobody gets more than before.
func (j *joiner) restore(ctx context.Context) error {
	account, err := j.member.get(ctx, accountKind, hub.SystemNamespace, ServiceAccount)
	if err != nil {
		return err
	}
	if account != nil {
		if err := j.checkOurs(account); err != nil {
			return err
		}
	}
	noted, err := notedOn(account)
	if err != nil {
		return err
	}
	wanted := manifests(credentialFiles...)
	if noted != nil {
		wanted = noted.notedObjects()
	} else if err := j.checkMainRole(ctx); err != nil {
		return err
	}
	for _, o := range wanted {
		if err := j.restoreOne(ctx, o); err != nil {
			return err
		}
	}
	// Those of join's roles that are there, and whose binding is lost, are bound again.
	roles, err := j.listOurs(ctx, clusterRoleKind, roleKind)
	if err != nil {
		return err
	}
	for i := range roles {
		if err := j.restoreOne(ctx, bindingOf(&roles[i])); err != nil {
			return err
		}
	}
	return nil
}

// notedOn returns what an account says is allowed, nil if it is not there or does not say.
func notedOn(account *unstructured.Unstructured) (*Allowed, error) {
	if account == nil || account.GetAnnotations()[allowedAnnotation] == "" {
		return nil, nil //nolint:nilnil // that it does not say is an answer
	}
	noted := &Allowed{}
	err := json.Unmarshal([]byte(account.GetAnnotations()[allowedAnnotation]), noted)
	if err == nil {
		err = noted.validate()
	}
	if err != nil {
		return nil, fmt.Errorf("member: %s: annotation %s: %w", refOf(account), allowedAnnotation, err)
	}
	return noted, nil
}

// checkMainRole refuses to go on where nothing says which rights the hub had.
func (j *joiner) checkMainRole(ctx context.Context) error {
	found, err := j.member.get(ctx, clusterRoleKind, "", mainRole)
	if err != nil || found != nil {
		return err
	}
	return fmt.Errorf("member: there is no %s, and no note of what was allowed; "+
		"join it again, and say what is allowed: kubectl clusterpass join %s --namespace=%s --member-context=CONTEXT "+
		"--allow-cluster-roles=ROLES --allow-namespaces=NAMESPACES", ref(clusterRoleKind, "", mainRole), j.Name, j.Namespace)
}

// restoreOne makes an object where it is missing. A namespace that was allowed and is gone stays
// so, with what was in it.
func (j *joiner) restoreOne(ctx context.Context, o *unstructured.Unstructured) error {
	var existing *unstructured.Unstructured
	var err error
	if o.GroupVersionKind() == namespaceKind {
		existing, err = j.namespace(ctx, o.GetName())
	} else {
		existing, err = j.member.get(ctx, o.GroupVersionKind(), o.GetNamespace(), o.GetName())
	}
	if err != nil || existing != nil {
		return err
	}
	if o.GetNamespace() != "" && o.GetNamespace() != hub.SystemNamespace {
		namespace, err := j.member.get(ctx, namespaceKind, "", o.GetNamespace())
		if err != nil || namespace == nil {
			return err
		}
	}
	return j.applyToMember(ctx, o)
}
