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
	"k8s.io/client-go/kubernetes"
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

// holding is a binding of a role that gives powers, to one subject.
type holding struct {
	subject rbacv1.Subject
	binding *rbacv1.RoleBinding
	powers  []power
}

// checkPowers lists who can have a token with any right, without being in system:masters.
func checkPowers(ctx context.Context, e *examination, f *findings) {
	holdings, err := e.holdings(ctx)
	if f.unknown("RBAC (list on clusterroles, roles, clusterrolebindings, rolebindings)", err) {
		return
	}
	for _, h := range holdings {
		if h.binding.Namespace == "" || e.looksInto(h.binding.Namespace) {
			f.holding(h)
		}
	}
	if len(*f) == 0 {
		f.ok("", "nobody but system:masters holds %s on clusterprofiles", strings.Join(powerfulVerbs, ", "))
	}
}

func (f *findings) holding(h holding) {
	mend := "If this is not intended, grant only the verbs and the clusters that are needed (docs/entitlement.md), and delete this binding: " +
		deleteBinding(h.binding)
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
	role := h.binding.RoleRef
	return fmt.Sprintf("%s %s -> %s %s -> %s", h.subject.Kind, name, role.Kind, role.Name, aboutBinding(h.binding))
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

// holdings returns who holds powers by which binding, sorted; system:masters, whom the authoriser
// asks for nothing, is left out.
func (e *examination) holdings(ctx context.Context) ([]holding, error) {
	powers := map[types.NamespacedName][]power{} // of Roles, and of ClusterRoles, which have no namespace
	client := e.Kubernetes.RbacV1()
	err := each(ctx, client.ClusterRoles().List, func(role *rbacv1.ClusterRole) {
		powers[types.NamespacedName{Name: role.Name}] = powersOf(role.Rules)
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, client.Roles(metav1.NamespaceAll).List, func(role *rbacv1.Role) {
		powers[types.NamespacedName{Namespace: role.Namespace, Name: role.Name}] = powersOf(role.Rules)
	})
	if err != nil {
		return nil, err
	}
	var all []holding
	err = eachBinding(ctx, e.Kubernetes, func(binding *rbacv1.RoleBinding) {
		role := types.NamespacedName{Name: binding.RoleRef.Name}
		if binding.RoleRef.Kind == "Role" {
			role.Namespace = binding.Namespace
		}
		if len(powers[role]) == 0 {
			return
		}
		for _, subject := range binding.Subjects {
			if subject.Kind == rbacv1.ServiceAccountKind && subject.Namespace == "" {
				subject.Namespace = binding.Namespace
			}
			if subject.Kind != rbacv1.GroupKind || subject.Name != user.SystemPrivilegedGroup {
				all = append(all, holding{subject, binding, powers[role]})
			}
		}
	})
	slices.SortStableFunc(all, func(a, b holding) int {
		return cmp.Or(cmp.Compare(a.binding.Namespace, b.binding.Namespace), cmp.Compare(a.String(), b.String()))
	})
	return all, err
}

// eachBinding calls visit with all bindings of a cluster: RoleBindings, and as such, but without a
// namespace, ClusterRoleBindings.
func eachBinding(ctx context.Context, client kubernetes.Interface, visit func(*rbacv1.RoleBinding)) error {
	if err := each(ctx, client.RbacV1().RoleBindings(metav1.NamespaceAll).List, visit); err != nil {
		return err
	}
	return each(ctx, client.RbacV1().ClusterRoleBindings().List, func(b *rbacv1.ClusterRoleBinding) {
		visit(&rbacv1.RoleBinding{ObjectMeta: b.ObjectMeta, Subjects: b.Subjects, RoleRef: b.RoleRef})
	})
}

func aboutBinding(binding *rbacv1.RoleBinding) string {
	if binding.Namespace == "" {
		return aboutObject("ClusterRoleBinding", binding)
	}
	return aboutObject("RoleBinding", binding)
}

// deleteBinding returns the command that deletes it.
func deleteBinding(binding *rbacv1.RoleBinding) string {
	if binding.Namespace == "" {
		return "kubectl delete clusterrolebinding " + binding.Name
	}
	return "kubectl -n " + binding.Namespace + " delete rolebinding " + binding.Name
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
