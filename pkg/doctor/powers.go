// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
)

// powerfulVerbs are those on clusterprofiles by which, with `create` on clusterprofiles/token, a
// token can hold any right. The verb * includes them.
var powerfulVerbs = []string{rbacv1.VerbAll, "escalate", "bind:cluster-admin"}

// everybody are groups that hardly anybody is not in. Anonymous users get no tokens whatever they
// hold.
var everybody = sets.New(user.AllAuthenticated, serviceaccount.AllServiceAccountsGroup)

// power is what a rule gives on ClusterProfiles.
type power struct {
	verb string
	// names are the ClusterProfiles that it is limited to; empty: all.
	names []string
}

func (p power) String() string {
	what := fmt.Sprintf("the verb %q", p.verb)
	if p.verb == rbacv1.VerbAll {
		what = `every verb ("*")`
	}
	if len(p.names) > 0 {
		return what + " on the ClusterProfiles " + strings.Join(p.names, ", ")
	}
	return what + " on all ClusterProfiles"
}

// holding is a binding of a role that gives powers.
type holding struct {
	subject rbacv1.Subject
	role    rbacv1.RoleRef
	// binding is a RoleBinding if it has a namespace, else a ClusterRoleBinding.
	binding types.NamespacedName
	powers  []power
}

// policy is the RBAC of a hub.
type policy struct {
	clusterRoles        []rbacv1.ClusterRole
	roles               []rbacv1.Role
	clusterRoleBindings []rbacv1.ClusterRoleBinding
	roleBindings        []rbacv1.RoleBinding
}

// checkPowers lists who can have a token with any right, without being in system:masters.
func checkPowers(ctx context.Context, e *examination) findings {
	var f findings
	hubPolicy, err := e.readPolicy(ctx)
	if err != nil {
		f.unknown("RBAC (list on clusterroles, roles, clusterrolebindings, rolebindings)", err)
		return f
	}
	for _, h := range hubPolicy.holdings() {
		if h.binding.Namespace != "" && !e.looksInto(h.binding.Namespace) {
			continue
		}
		f.holding(h)
	}
	if len(f) == 0 {
		f.ok("", "nobody but system:masters holds %s on clusterprofiles", strings.Join(powerfulVerbs, ", "))
	}
	return f
}

func (f *findings) holding(h holding) {
	mend := "If this is not intended, grant only the verbs and the clusters that are needed (docs/entitlement.md), and delete this binding: " +
		h.deleteCommand()
	message := "it holds " + h.gives()
	if h.subject.Kind == rbacv1.GroupKind && everybody.Has(h.subject.Name) {
		f.fail(h.String(), mend, "%s, and so does everybody with an account on the hub", message)
		return
	}
	f.warn(h.String(), mend, "%s", message)
}

// String says who, by which role, by which binding.
func (h holding) String() string {
	name := h.subject.Name
	if h.subject.Kind == rbacv1.ServiceAccountKind {
		name = h.subject.Namespace + "/" + name
	}
	return fmt.Sprintf("%s %s -> %s %s -> %s", h.subject.Kind, name, h.role.Kind, h.role.Name, h.bindingWords())
}

func (h holding) bindingWords() string {
	if h.binding.Namespace == "" {
		return "ClusterRoleBinding " + h.binding.Name
	}
	return "RoleBinding " + h.binding.String()
}

func (h holding) gives() string {
	words := make([]string, 0, len(h.powers))
	for _, p := range h.powers {
		words = append(words, p.String())
	}
	where := "in all namespaces"
	if h.binding.Namespace != "" {
		where = "in namespace " + h.binding.Namespace
	}
	return strings.Join(words, "; ") + ", " + where
}

func (h holding) deleteCommand() string {
	if h.binding.Namespace == "" {
		return "kubectl delete clusterrolebinding " + h.binding.Name
	}
	return "kubectl -n " + h.binding.Namespace + " delete rolebinding " + h.binding.Name
}

// holdings returns who holds powers by which binding, sorted; system:masters, whom the authoriser
// asks for nothing, is left out.
func (p *policy) holdings() []holding {
	powers := p.powers()
	var all []holding
	add := func(subjects []rbacv1.Subject, role rbacv1.RoleRef, binding types.NamespacedName) {
		key := roleKey{kind: role.Kind, name: role.Name}
		if role.Kind == "Role" {
			key.namespace = binding.Namespace
		}
		given := powers[key]
		if len(given) == 0 {
			return
		}
		for _, subject := range subjects {
			if subject.Kind == rbacv1.ServiceAccountKind && subject.Namespace == "" {
				subject.Namespace = binding.Namespace
			}
			if subject.Kind != rbacv1.GroupKind || subject.Name != user.SystemPrivilegedGroup {
				all = append(all, holding{subject: subject, role: role, binding: binding, powers: given})
			}
		}
	}
	for i := range p.clusterRoleBindings {
		binding := &p.clusterRoleBindings[i]
		add(binding.Subjects, binding.RoleRef, types.NamespacedName{Name: binding.Name})
	}
	for i := range p.roleBindings {
		binding := &p.roleBindings[i]
		add(binding.Subjects, binding.RoleRef, types.NamespacedName{Namespace: binding.Namespace, Name: binding.Name})
	}
	slices.SortStableFunc(all, func(a, b holding) int {
		return cmp.Or(cmp.Compare(a.binding.Namespace, b.binding.Namespace), cmp.Compare(a.String(), b.String()))
	})
	return all
}

type roleKey struct{ kind, namespace, name string }

// powers returns what each role gives, where it gives any.
func (p *policy) powers() map[roleKey][]power {
	given := map[roleKey][]power{}
	for i := range p.clusterRoles {
		given[roleKey{kind: "ClusterRole", name: p.clusterRoles[i].Name}] = powersOf(p.clusterRoles[i].Rules)
	}
	for i := range p.roles {
		given[roleKey{"Role", p.roles[i].Namespace, p.roles[i].Name}] = powersOf(p.roles[i].Rules)
	}
	return given
}

// powersOf returns what rules give on ClusterProfiles, as RBAC's authoriser reads them: the verb *,
// the group * and the resource * stand for all, and nothing else in them is a pattern.
func powersOf(rules []rbacv1.PolicyRule) []power {
	var powers []power
	for i := range rules {
		rule := &rules[i]
		if !has(rule.APIGroups, rbacv1.APIGroupAll, groupMulticluster) || !has(rule.Resources, rbacv1.ResourceAll, "clusterprofiles") {
			continue
		}
		for _, verb := range powerfulVerbs {
			if slices.Contains(rule.Verbs, verb) {
				powers = append(powers, power{verb: verb, names: rule.ResourceNames})
			}
		}
	}
	return powers
}

// has returns whether list has all, the word for everything, or one.
func has(list []string, all, one string) bool {
	return slices.Contains(list, all) || slices.Contains(list, one)
}

func (e *examination) readPolicy(ctx context.Context) (*policy, error) {
	client := e.Kubernetes.RbacV1()
	clusterRoles, err := client.ClusterRoles().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	roles, err := client.Roles(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	clusterRoleBindings, err := client.ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	roleBindings, err := client.RoleBindings(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return &policy{clusterRoles.Items, roles.Items, clusterRoleBindings.Items, roleBindings.Items}, nil
}
