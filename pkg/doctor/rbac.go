// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/artifacts"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/rights"
)

func checkServerRBAC(ctx context.Context, e *examination, f *findings) {
	e.checkRBAC(ctx, f, e.ServerUser, DefaultServerUser, serverName)
}

func checkManagerRBAC(ctx context.Context, e *examination, f *findings) {
	e.checkRBAC(ctx, f, e.ManagerUser, DefaultManagerUser, managerName)
}

// checkRBAC has the hub's authoriser say whether a user holds all that a program needs.
func (e *examination) checkRBAC(ctx context.Context, f *findings, username, deployed, program string) {
	needs := e.applicable(needsOf(program))
	missing := make([]string, len(needs))
	// Without a context of its own: client-go logs answers that are cut off.
	var group errgroup.Group
	group.SetLimit(parallelCalls)
	for i, n := range needs {
		group.Go(func() (err error) {
			missing[i], err = e.lacks(ctx, username, n)
			return err
		})
	}
	err := group.Wait()
	switch {
	case apierrors.IsForbidden(err):
		f.skip(username, "you may not ask what others may do: that takes create on subjectaccessreviews.authorization.k8s.io")
		return
	case err != nil:
		f.unknown(username, err)
		return
	}
	mend := "Apply the roles as they are delivered: kubectl apply -k artifacts/deploy/rbac"
	if username != deployed {
		mend = "Bind the roles of artifacts/deploy/rbac to this user instead of " + deployed + ": kubectl kustomize artifacts/deploy/rbac"
	}
	for i, n := range needs {
		if missing[i] != "" {
			f.fail(username, cmp.Or(n.mend, mend), "it lacks %s; without it, %s", missing[i], n.without)
		}
	}
	if len(*f) == 0 {
		f.ok(username, "it holds everything that artifacts/deploy/rbac gives")
	}
}

// applicable returns those of needs that the hub's mode takes; Secrets are read in the namespaces
// of the access configuration.
func (e *examination) applicable(needs []need) []need {
	var all []need
	for _, n := range needs {
		switch {
		case n.mode != "" && n.mode != e.mode():
		case n.APIGroups[0] == "" && n.Resources[0] == resourceSecrets:
			for _, namespace := range member.SecretNamespaces(e.Access) {
				n.namespace = namespace
				all = append(all, n)
			}
		default:
			all = append(all, n)
		}
	}
	return append(all, e.importNeeds()...)
}

// lacks returns what of n the user does not have, as a person would grant it; empty: nothing.
func (e *examination) lacks(ctx context.Context, username string, n need) (string, error) {
	caller := &v1alpha1.Author{Requester: v1alpha1.Requester{Username: username, Groups: groupsOf(username)}}
	var resources []string
	verbs := sets.New[string]()
	for _, qualified := range n.Resources {
		resource, subresource, _ := strings.Cut(qualified, "/")
		for _, verb := range n.Verbs {
			allowed, err := rights.Of(ctx, e.Kubernetes, caller, authorizationv1.ResourceAttributes{
				Namespace: n.namespace, Verb: verb, Group: n.APIGroups[0], Resource: resource, Subresource: subresource, Name: n.name,
			})
			if err != nil {
				return "", err
			}
			if !allowed {
				verbs.Insert(verb)
				resources = append(resources, qualified)
			}
		}
	}
	if len(resources) == 0 {
		return "", nil
	}
	return n.describe(sets.List(verbs), slices.Compact(resources)), nil
}

func (n need) describe(verbs, resources []string) string {
	where := "in all namespaces"
	if n.namespace != "" {
		where = "in namespace " + n.namespace
	}
	name := n.name
	if name != "" {
		name = fmt.Sprintf(" %q", name)
	}
	return fmt.Sprintf("%s on %s%s of %s, %s",
		strings.Join(verbs, ", "), strings.Join(resources, ", "), name, cmp.Or(n.APIGroups[0], "the core group"), where)
}

// groupsOf returns the groups that the hub's authenticator puts a user into, as far as the name
// tells them.
func groupsOf(username string) []string {
	groups := []string{user.AllAuthenticated}
	namespace, _, err := serviceaccount.SplitUsername(username)
	if err != nil {
		return groups
	}
	return append(serviceaccount.MakeGroupNames(namespace), groups...)
}

const (
	resourceSecrets    = "secrets"
	resourceNamespaces = "namespaces"
	groupMulticluster  = "multicluster.x-k8s.io"
	groupClusterpass   = "clusterpass.dev"
)

// need is a right that one of the programs has to have on the hub: one rule of a role.
type need struct {
	rbacv1.PolicyRule // of one group
	// namespace is where the right has to hold; empty: in all.
	namespace string
	// name is the one object that the right is for; empty: any.
	name string
	// mode is that of --inventory which takes the right; empty: both.
	mode string
	// without says what comes of it if the right is missing.
	without string
	// mend says how the right is given, if not by artifacts/deploy/rbac.
	mend string
}

// key is what consequences has a need under.
func (n need) key() string { return n.Verbs[0] + " " + n.Resources[0] }

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
		"patch clusterprofiles":               "ClusterProfiles that were not made by join lack the label inventory-member-id",
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
			n := need{PolicyRule: rule, namespace: of.Namespace}
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
