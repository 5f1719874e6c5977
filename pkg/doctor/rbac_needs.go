// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"clusterpass.dev/artifacts"
	"clusterpass.dev/pkg/hub"
)

const (
	resourceSecrets    = "secrets"
	resourceNamespaces = "namespaces"
	groupMulticluster  = "multicluster.x-k8s.io"
	groupClusterpass   = "clusterpass.dev"
	verbDelete         = "delete"
)

// need is a right that one of the programs has to have on the hub: one rule of a role.
type need struct {
	// namespace is where the right has to hold; empty: in all.
	namespace string
	group     string
	// resources, with their subresources, of the group.
	resources []string
	// name is the one object that the right is for; empty: any.
	name  string
	verbs []string
	// mode is that of --inventory which takes the right; empty: both.
	mode string
	// without says what comes of it if the right is missing.
	without string
}

// key is what consequences has a need under.
func (n need) key() string { return n.verbs[0] + " " + n.resources[0] }

// modes are those of the rights that take one.
var modes = map[string]string{
	"list customresourcedefinitions": hub.InventoryServed,
	"get clusterprofiles":            hub.InventoryExternal,
}

const (
	withoutPolicies    = `every write is answered with "not yet ready to handle request"`
	withoutKubeconfigs = "it reads no member's kubeconfig, and is not ready"
	withoutReviews     = "every request is refused"
	withoutCallers     = "direct callers, such as Prometheus, are refused"
	withoutDelegates   = "it can't tell the hub's aggregator from other callers, nor users from each other"
	withoutSets        = "ClusterCredentialSets have no credentials"
	withoutDecisions   = "Placements have no PlacementDecisions, and ClusterCredentialSets that select by decisions no credentials"
)

// consequences say what comes of it if a program lacks a right, by the first verb and resource of
// the rule.
var consequences = map[string]map[string]string{
	serverName: {
		"get namespaces":                 withoutPolicies + ", and the hub's id is not known",
		"list mutatingadmissionpolicies": withoutPolicies,
		"list flowschemas":               "the server is not ready",
		"patch flowschemas/status":       "each new FlowSchema leaves errors in its log",
		"list customresourcedefinitions": "it can't know whether one clashes, and is not ready",
		"get clusterprofiles":            "it finds no ClusterProfile, and is not ready",
		"get secrets":                    withoutKubeconfigs,
		"create tokenreviews":            withoutCallers,
		"create subjectaccessreviews":    withoutReviews,
		"get configmaps":                 withoutDelegates,
	},
	managerName: {
		"get namespaces":                      "it does not know the hub's id, and does not start",
		"get authtokengrants":                 "grants are not revoked, nor removed when they have expired",
		"update authtokengrants/status":       "grants are not revoked: it can't record its progress",
		"get clusterprofiles":                 "it reaches no member",
		"patch clusterprofiles/status":        "ClusterProfiles do not show whether their members are healthy",
		"get clustercredentialsets":           withoutSets,
		"update clustercredentialsets/status": "ClusterCredentialSets do not show the state of their credentials",
		"create clustercredentialsets/token":  withoutSets,
		"list placements":                     "Placements choose no cluster",
		"update placements/status":            "Placements do not show what they have chosen",
		"get placementdecisions":              withoutDecisions,
		"list namespaces":                     "it does not know which cluster sets there are, and Placements choose no cluster",
		"get clusterscores":                   "there are no ClusterScores",
		"update clusterscores/status":         "ClusterScores do not show what is free",
		"create events":                       "there are no events on grants and ClusterProfiles",
		"get secrets":                         withoutKubeconfigs,
		"update secrets":                      "its credentials for members expire, and are not renewed",
		"create leases":                       "on a new hub it never starts working",
		"get leases":                          "it never starts working",
		"create tokenreviews":                 withoutCallers,
		"create subjectaccessreviews":         withoutReviews,
		"get configmaps":                      withoutDelegates,
	},
}

// builtInRoles are those that every cluster has, by which both programs know who calls.
func builtInRoles() map[types.NamespacedName][]rbacv1.PolicyRule {
	create := []string{"create"}
	return map[types.NamespacedName][]rbacv1.PolicyRule{
		{Name: "system:auth-delegator"}: {
			{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: create},
			{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: create},
		},
		{Namespace: metav1.NamespaceSystem, Name: "extension-apiserver-authentication-reader"}: {{
			APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"extension-apiserver-authentication"},
			Verbs: []string{"get", "list", "watch"},
		}},
	}
}

// needsOf returns what artifacts/deploy/rbac gives the ServiceAccount of a program.
func needsOf(account string) []need {
	roles := builtInRoles()
	var bindings []rbacv1.RoleBinding
	objects := artifacts.Objects("deploy/rbac/clusterrole.yaml", "deploy/rbac/controller-manager.yaml",
		"deploy/rbac/delegation.yaml", "deploy/rbac/member-secrets.yaml")
	for _, o := range objects {
		switch o.GetKind() {
		case "Role", "ClusterRole":
			role := rbacv1.ClusterRole{}
			utilruntime.Must(runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role))
			roles[types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}] = role.Rules
		case "RoleBinding", "ClusterRoleBinding":
			binding := rbacv1.RoleBinding{}
			utilruntime.Must(runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &binding))
			bindings = append(bindings, binding)
		}
	}
	var needs []need
	for i := range bindings {
		of := &bindings[i]
		if of.Subjects[0].Name != account {
			continue
		}
		for _, rule := range roles[types.NamespacedName{Namespace: of.Namespace, Name: of.RoleRef.Name}] {
			n := need{namespace: of.Namespace, group: rule.APIGroups[0], resources: rule.Resources, verbs: rule.Verbs}
			if len(rule.ResourceNames) > 0 {
				n.name = rule.ResourceNames[0]
			}
			n.without = consequences[account][n.key()]
			if account == serverName {
				n.mode = modes[n.key()]
			}
			needs = append(needs, n)
		}
	}
	return needs
}
