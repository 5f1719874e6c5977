// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
)

// Names on a member. artifacts/deploy/member has the same objects for those who would rather
// apply manifests; a test compares the two.
const (
	// SystemNamespace is the namespace of clusterpass on the hub and on every member.
	SystemNamespace = "clusterpass-system"
	// ServiceAccount is whom a hub is on a member, in SystemNamespace.
	ServiceAccount = "clusterpass"
	// CredentialSecret is the Secret that tokens of ServiceAccount are bound to, in SystemNamespace of the member.
	CredentialSecret = member.CredentialSecret

	mainRole       = "clusterpass"
	credentialRole = "clusterpass:credential"
	rulesRole      = "clusterpass:allow-rules"
	usageRole      = "clusterpass:usage"
	identityRole   = "clusterpass:identity"
)

const (
	partOfLabel = "app.kubernetes.io/part-of"
	partOf      = "clusterpass"

	rbacGroup           = rbacv1.GroupName
	kindNamespace       = "Namespace"
	kindServiceAccount  = "ServiceAccount"
	kindSecret          = "Secret"
	kindRole            = "Role"
	kindRoleBinding     = "RoleBinding"
	kindClusterRole     = "ClusterRole"
	kindClusterBinding  = "ClusterRoleBinding"
	resourceSecrets     = "secrets"
	resourceRoles       = "roles"
	resourceBindings    = "rolebindings"
	resourceAllRoles    = "clusterroles"
	resourceAllBindings = "clusterrolebindings"
	resourceAccounts    = "serviceaccounts"

	verbGet    = "get"
	verbList   = "list"
	verbCreate = "create"
	verbUpdate = "update"
	verbDelete = "delete"
	verbBind   = "bind"
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
func (a *Allowed) Objects() ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, object := range a.objects() {
		o, err := toUnstructured(object)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

func (a *Allowed) objects() []runtime.Object {
	objects := credentialObjects()
	objects = append(objects, clusterRole(mainRole, a.clusterRules())...)
	for _, namespace := range a.Namespaces {
		objects = append(objects, role(namespace, mainRole, a.namespaceRules())...)
	}
	if a.Rules {
		objects = append(objects, clusterRole(rulesRole, []rbacv1.PolicyRule{
			rule(rbacGroup, resourceAllRoles, verbCreate, verbUpdate, verbDelete, verbBind, "escalate"),
		})...)
	}
	if a.Usage {
		objects = append(objects, clusterRole(usageRole, []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"nodes", "pods"}, Verbs: []string{verbList}},
		})...)
	}
	return objects
}

// credentialObjects are what the hub's credential takes, whatever is allowed.
func credentialObjects() []runtime.Object {
	objects := []runtime.Object{
		namespace(),
		&corev1.ServiceAccount{TypeMeta: core(kindServiceAccount), ObjectMeta: meta(SystemNamespace, ServiceAccount), AutomountServiceAccountToken: ptr.To(false)},
		&corev1.Secret{TypeMeta: core(kindSecret), ObjectMeta: meta(SystemNamespace, CredentialSecret), Type: grant.SecretType},
	}
	objects = append(objects, role(SystemNamespace, credentialRole, credentialRules())...)
	return append(objects, clusterRole(identityRole, identityRules())...)
}

func namespace() *corev1.Namespace {
	n := &corev1.Namespace{TypeMeta: core(kindNamespace), ObjectMeta: meta("", SystemNamespace)}
	n.Labels["pod-security.kubernetes.io/enforce"] = "restricted"
	return n
}

// credentialRules let the hub renew its own credential: a token for itself alone.
func credentialRules() []rbacv1.PolicyRule {
	token := rule("", "serviceaccounts/token", verbCreate)
	token.ResourceNames = []string{ServiceAccount}
	binding := rule("", resourceSecrets, verbGet)
	binding.ResourceNames = []string{CredentialSecret}
	return []rbacv1.PolicyRule{token, binding}
}

// identityRules let the hub know which cluster the member is: what is granted on one is not to be looked for on another. They are a role of
// their own, so that a member that was joined by an earlier release gets it without a change of what it allows.
func identityRules() []rbacv1.PolicyRule {
	identity := rule("", "namespaces", verbGet)
	identity.ResourceNames = []string{metav1.NamespaceSystem}
	return []rbacv1.PolicyRule{identity}
}

// clusterRules hold in the whole cluster: binding the ClusterRoles that are allowed, and
// finding what grants have made. What each is for is told in artifacts/deploy/member/base/clusterrole.yaml.
func (a *Allowed) clusterRules() []rbacv1.PolicyRule {
	bind := rule(rbacGroup, resourceAllRoles, verbBind)
	if !a.AllClusterRoles {
		bind.ResourceNames = slices.Sorted(slices.Values(a.ClusterRoles))
	}
	return []rbacv1.PolicyRule{
		bind,
		rule(rbacGroup, resourceAllRoles, verbGet, verbList),
		rule(rbacGroup, resourceRoles, verbList),
		rule("", resourceAccounts, verbList),
		rule(rbacGroup, resourceAllBindings, verbGet, verbList, verbCreate, verbUpdate, verbDelete),
		rule(rbacGroup, resourceBindings, verbList),
		rule("", "nodes", verbList),
		rule("about.k8s.io", "clusterproperties", verbList),
	}
}

// namespaceRules hold in each namespace that is allowed.
func (a *Allowed) namespaceRules() []rbacv1.PolicyRule {
	rules := []rbacv1.PolicyRule{
		rule("", resourceAccounts, verbGet, verbCreate, verbDelete),
		rule("", "serviceaccounts/token", verbCreate),
		rule("", resourceSecrets, verbGet, verbCreate, verbDelete),
		rule(rbacGroup, resourceRoles, verbGet, verbBind),
		rule(rbacGroup, resourceBindings, verbGet, verbCreate, verbUpdate, verbDelete),
	}
	if a.Rules {
		rules = append(rules, rule(rbacGroup, resourceRoles, verbCreate, verbUpdate, verbDelete, "escalate"))
	}
	return rules
}

func rule(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

// role returns a Role and its binding to the hub's account.
func role(namespace, name string, rules []rbacv1.PolicyRule) []runtime.Object {
	return []runtime.Object{
		&rbacv1.Role{TypeMeta: rbac(kindRole), ObjectMeta: meta(namespace, name), Rules: rules},
		&rbacv1.RoleBinding{TypeMeta: rbac(kindRoleBinding), ObjectMeta: meta(namespace, name), RoleRef: ref(kindRole, name), Subjects: subjects()},
	}
}

// clusterRole returns a ClusterRole and its binding to the hub's account.
func clusterRole(name string, rules []rbacv1.PolicyRule) []runtime.Object {
	return []runtime.Object{
		&rbacv1.ClusterRole{TypeMeta: rbac(kindClusterRole), ObjectMeta: meta("", name), Rules: rules},
		&rbacv1.ClusterRoleBinding{TypeMeta: rbac(kindClusterBinding), ObjectMeta: meta("", name), RoleRef: ref(kindClusterRole, name), Subjects: subjects()},
	}
}

func ref(kind, name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacGroup, Kind: kind, Name: name}
}

func subjects() []rbacv1.Subject {
	return []rbacv1.Subject{{Kind: kindServiceAccount, Name: ServiceAccount, Namespace: SystemNamespace}}
}

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{partOfLabel: partOf}}
}

func core(kind string) metav1.TypeMeta { return metav1.TypeMeta{APIVersion: "v1", Kind: kind} }

func rbac(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: kind}
}
