// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package deployment tests what is shipped in artifacts: manifests, examples, policies.
package deployment

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

const (
	serverAccount  = "system:serviceaccount:clusterpass-system:clusterpass-apiserver"
	managerAccount = "system:serviceaccount:clusterpass-system:clusterpass-controller-manager"
	memberAccount  = "system:serviceaccount:clusterpass-system:clusterpass"
)

func TestDeployment(t *testing.T) {
	hub := testenv.Start(t, testenv.Options{})
	client := hub.Kube(t)
	files := deployFiles(t)
	createForeignKinds(t, hub)
	// For real: what the rest is in, or is about.
	kubectl(t, hub, "apply", "--server-side", "-k", filepath.Join(files, "deploy", "rbac"))

	t.Run("every overlay is accepted by a hub that enforces the restricted Pod security standard", func(t *testing.T) {
		overlays := testenv.Must[[]string](t)(fs.Glob(os.DirFS(files), "deploy/overlays/*"))
		require.NotEmpty(t, overlays)
		for _, component := range optionalComponents {
			overlays = append(overlays, "deploy/with-"+component)
		}
		for _, overlay := range overlays {
			out := kubectl(t, hub, "apply", "--server-side", "--dry-run=server", "-k", filepath.Join(files, overlay))
			for _, want := range []string{
				"deployment.apps/clusterpass-apiserver", "deployment.apps/clusterpass-controller-manager",
				"v1alpha1.clusterpass.dev", "flowschema",
			} {
				assert.Contains(t, out, want, overlay)
			}
			assert.NotContains(t, out, "Warning", overlay)
		}
	})

	t.Run("the group of ClusterProfiles is registered, but for an external inventory", func(t *testing.T) {
		const external = "--inventory=External"
		served := manifests(t, filepath.Join(files, "deploy", "overlays", "cert-manager"))
		left := manifests(t, filepath.Join(files, "deploy", "with-external-inventory"))
		for _, registered := range []string{"name: v1alpha2.multicluster.x-k8s.io", "name: v1alpha1.multicluster.x-k8s.io"} {
			assert.Contains(t, served, registered)
			assert.NotContains(t, left, registered)
		}
		assert.NotContains(t, served, external)
		assert.Contains(t, left, external)
	})

	t.Run("every example is accepted, and the policies compile", func(t *testing.T) {
		for _, example := range []string{"rbac", "policies", "member-kubeconfig.yaml"} {
			out := kubectl(t, hub, "apply", "--server-side", "--dry-run=server", "-f", filepath.Join(files, "examples", example))
			assert.NotContains(t, out, "Warning", example)
		}
	})

	t.Run("the server may do what it needs on the hub and no more", func(t *testing.T) {
		assertAccess(t, client, memberOf(serverAccount), []access{
			{verb: "watch", resource: "namespaces", allowed: true},
			{verb: "get", resource: "namespaces", name: "kube-system", allowed: true},
			{verb: "watch", group: "admissionregistration.k8s.io", resource: "validatingadmissionpolicies", allowed: true},
			{verb: "list", group: "admissionregistration.k8s.io", resource: "validatingadmissionpolicybindings", allowed: true},
			{verb: "list", group: "admissionregistration.k8s.io", resource: "mutatingadmissionpolicies", allowed: true},
			{verb: "watch", group: "admissionregistration.k8s.io", resource: "mutatingadmissionpolicybindings", allowed: true},
			{verb: "list", group: "admissionregistration.k8s.io", resource: "mutatingwebhookconfigurations", allowed: true},
			{verb: "watch", group: "admissionregistration.k8s.io", resource: "validatingwebhookconfigurations", allowed: true},
			{verb: "list", group: "flowcontrol.apiserver.k8s.io", resource: "flowschemas", allowed: true},
			{verb: "watch", group: "flowcontrol.apiserver.k8s.io", resource: "prioritylevelconfigurations", allowed: true},
			{verb: "watch", group: "apiextensions.k8s.io", resource: "customresourcedefinitions", allowed: true},
			{verb: "get", group: "multicluster.x-k8s.io", resource: "clusterprofiles", allowed: true},
			{verb: "update", group: "multicluster.x-k8s.io", resource: "clusterprofiles"},
			{verb: "create", group: "authentication.k8s.io", resource: "tokenreviews", allowed: true},
			{verb: "create", group: "authorization.k8s.io", resource: "subjectaccessreviews", allowed: true},
			{verb: "get", namespace: "kube-system", resource: "configmaps", name: "extension-apiserver-authentication", allowed: true},
			{verb: "watch", namespace: "clusterpass-system", resource: "secrets", allowed: true},
			{verb: "update", namespace: "clusterpass-system", resource: "secrets"},
			{verb: "get", namespace: "default", resource: "secrets"},
			{verb: "list", resource: "secrets"},
			{verb: "get", namespace: "kube-system", resource: "configmaps", name: "kubeadm-config"},
			{verb: "create", namespace: "clusterpass-system", resource: "pods"},
			{verb: "patch", group: "flowcontrol.apiserver.k8s.io", resource: "flowschemas"},
			{verb: "impersonate", resource: "users"},
		})
	})

	t.Run("the controller manager may revoke and never grant", func(t *testing.T) {
		const ours, inventory, system = "clusterpass.dev", "multicluster.x-k8s.io", "clusterpass-system"
		assertAccess(t, client, memberOf(managerAccount), []access{
			{verb: "watch", group: ours, resource: "authtokengrants", allowed: true},
			{verb: "delete", namespace: "default", group: ours, resource: "authtokengrants", allowed: true},
			{verb: "update", namespace: "default", group: ours, resource: "authtokengrants", subresource: "status", allowed: true},
			{verb: "watch", group: inventory, resource: "clusterprofiles", allowed: true},
			{verb: "patch", namespace: "default", group: inventory, resource: "clusterprofiles", subresource: "status", allowed: true},
			{verb: "update", namespace: "default", group: inventory, resource: "clusterprofiles"},
			{verb: "watch", namespace: system, resource: "secrets", allowed: true},
			{verb: "update", namespace: system, resource: "secrets", allowed: true},
			{verb: "create", namespace: system, resource: "secrets"},
			{verb: "delete", namespace: system, resource: "secrets"},
			{verb: "update", namespace: "default", resource: "secrets"},
			{
				verb: "update", namespace: system, group: "coordination.k8s.io", resource: "leases",
				name: "clusterpass-controller-manager", allowed: true,
			},
			{verb: "update", namespace: system, group: "coordination.k8s.io", resource: "leases", name: "another"},
			{verb: "create", namespace: "default", group: "events.k8s.io", resource: "events", allowed: true},
			{verb: "create", group: "authorization.k8s.io", resource: "subjectaccessreviews", allowed: true},
			{verb: "create", namespace: "default", group: ours, resource: "authtokengrants"},
			{verb: "create", namespace: "default", group: ours, resource: "authtokenrequests"},
			{verb: "create", namespace: "default", group: inventory, resource: "clusterprofiles", subresource: "token", name: "bravelion"},
			{verb: "bind:view", namespace: "default", group: inventory, resource: "clusterprofiles", name: "bravelion"},
			{verb: "get", namespace: "default", resource: "secrets"},
			{verb: "impersonate", resource: "users"},
		})
	})

	t.Run("the hub's built-in roles see and keep the inventory and get no token by it", func(t *testing.T) {
		bindBuiltIn(t, client, "view", "edit", "admin")
		none := []string{"bind:view", "bind:cluster-admin", "bind-role:default:deployer", "in:default", "escalate", "audience:vault", "*"}
		// What a role holds comes first: then the roles have been aggregated when the rest is asked.
		for role, all := range map[string][]access{
			"view": {
				{verb: "get", resource: "clusterprofiles", allowed: true}, {verb: "watch", resource: "placementdecisions", allowed: true},
				{verb: "create", resource: "clusterprofiles"}, {verb: "update", resource: "placementdecisions"},
			},
			"edit": {
				{verb: "get", resource: "clusterprofiles", allowed: true}, {verb: "update", resource: "placementdecisions", allowed: true},
				{verb: "create", resource: "clusterprofiles"}, {verb: "delete", resource: "clusterprofiles"},
			},
			"admin": {
				{verb: "get", resource: "clusterprofiles", allowed: true}, {verb: "update", resource: "placementdecisions", allowed: true},
				{verb: "delete", resource: "clusterprofiles", allowed: true},
			},
		} {
			for _, verb := range none {
				all = append(all, access{verb: verb, resource: "clusterprofiles", name: "bravelion"})
			}
			all = append(all,
				access{verb: "create", resource: "clusterprofiles", subresource: "token", name: "bravelion"},
				access{verb: "update", resource: "clusterprofiles", subresource: "status", name: "bravelion"})
			for i := range all {
				all[i].group, all[i].namespace = "multicluster.x-k8s.io", "default"
			}
			assertAccess(t, client, user.DefaultInfo{Name: "jane", Groups: []string{role + "-users"}}, all)
		}
	})
}

func TestMemberDeployment(t *testing.T) {
	const rbac = "rbac.authorization.k8s.io"
	// They hold with and without the component.
	always := []access{
		{verb: "bind", group: rbac, resource: "clusterroles", name: "cluster-admin", allowed: true},
		{verb: "bind", group: rbac, resource: "clusterroles", name: "view", allowed: true},
		{verb: "get", group: rbac, resource: "clusterroles", name: "view", allowed: true},
		{verb: "create", group: rbac, resource: "clusterrolebindings", allowed: true},
		{verb: "list", group: rbac, resource: "rolebindings", allowed: true},
		{verb: "create", namespace: "default", resource: "serviceaccounts", allowed: true},
		{verb: "create", namespace: "default", resource: "serviceaccounts", subresource: "token", name: "work", allowed: true},
		{verb: "delete", namespace: "default", resource: "secrets", allowed: true},
		{verb: "bind", namespace: "default", group: rbac, resource: "roles", name: "deployer", allowed: true},
		{verb: "create", namespace: "default", group: rbac, resource: "rolebindings", allowed: true},
		{verb: "create", namespace: "kube-system", resource: "serviceaccounts"},
		{verb: "create", namespace: "kube-system", resource: "serviceaccounts", subresource: "token", name: "generic-garbage-collector"},
		{verb: "get", namespace: "clusterpass-system", resource: "secrets"},
		{verb: "list", namespace: "default", resource: "secrets"},
		{verb: "create", namespace: "team-a", resource: "serviceaccounts"},
		{verb: "impersonate", resource: "users"},
	}
	rules := func(allowed bool) []access {
		return []access{
			{verb: "bind", group: rbac, resource: "clusterroles", name: "system:node", allowed: allowed},
			{verb: "escalate", group: rbac, resource: "clusterroles", name: "any", allowed: allowed},
			{verb: "create", group: rbac, resource: "clusterroles", allowed: allowed},
			{verb: "escalate", namespace: "default", group: rbac, resource: "roles", name: "any", allowed: allowed},
			{verb: "create", namespace: "default", group: rbac, resource: "roles", allowed: allowed},
			{verb: "create", namespace: "team-a", group: rbac, resource: "roles"},
		}
	}
	cluster := testenv.Start(t, testenv.Options{Name: "member"})
	client := cluster.Kube(t)
	files := deployFiles(t)

	t.Run("the default binds three ClusterRoles, works in one namespace and makes no roles", func(t *testing.T) {
		kubectl(t, cluster, "apply", "--server-side", "-k", filepath.Join(files, "deploy", "member"))
		assertAccess(t, client, memberOf(memberAccount), append(always, rules(false)...))
	})

	t.Run("the overlay rules adds the making of roles in the same namespace", func(t *testing.T) {
		kubectl(t, cluster, "apply", "--server-side", "-k", filepath.Join(files, "deploy", "member", "overlays", "rules"))
		assertAccess(t, client, memberOf(memberAccount), append(always, rules(true)...))
	})

	t.Run("a namespace is allowed by a folder of one line, with rules if the others have them", func(t *testing.T) {
		namespaces := filepath.Join(files, "deploy", "member", "base", "namespaces")
		require.NoError(t, os.CopyFS(filepath.Join(namespaces, "team-a"), os.DirFS(filepath.Join(namespaces, "default"))))
		replaceIn(t, filepath.Join(namespaces, "team-a", "kustomization.yaml"), "namespace: default", "namespace: team-a")
		replaceIn(t, filepath.Join(namespaces, "..", "kustomization.yaml"), "- namespaces/default", "- namespaces/default\n- namespaces/team-a")
		kubectl(t, cluster, "create", "namespace", "team-a")
		kubectl(t, cluster, "apply", "--server-side", "-k", filepath.Join(files, "deploy", "member", "overlays", "rules"))
		assertAccess(t, client, memberOf(memberAccount), []access{
			{verb: "create", namespace: "team-a", resource: "serviceaccounts", allowed: true},
			{verb: "escalate", namespace: "team-a", group: rbac, resource: "roles", allowed: true},
			{verb: "create", namespace: "default", resource: "serviceaccounts", allowed: true},
		})
	})
}

// Roles that are shipped never use wildcards.
func TestRoles_Wildcards(t *testing.T) {
	files := deployFiles(t)
	for _, folder := range []string{"deploy/rbac", "deploy/import", "deploy/member/overlays/rules", "examples/rbac"} {
		for _, role := range shipped[rbacv1.ClusterRole](t, filepath.Join(files, folder), "Role", "ClusterRole") {
			for _, rule := range role.Rules {
				all := append(append(append([]string{}, rule.Verbs...), rule.Resources...), rule.APIGroups...)
				assert.NotContains(t, all, "*", "%s %s", role.Kind, role.Name)
			}
		}
	}
	for _, role := range shipped[rbacv1.ClusterRole](t, filepath.Join(files, "deploy", "rbac"), "Role", "ClusterRole") {
		for _, rule := range role.Rules {
			assert.NotContains(t, rule.Resources, "clusterprofiles/token", role.Name)
			for _, verb := range rule.Verbs {
				assert.NotRegexp(t, "^(bind|escalate|impersonate)|:", verb, role.Name)
			}
		}
	}
}

func TestAuditPolicy(t *testing.T) {
	config, err := policy.LoadPolicyFromFile(filepath.Join(artifacts(t), "deploy", "base", "audit-policy.yaml"))
	require.NoError(t, err)
	evaluator := policy.NewPolicyRuleEvaluator(config)
	const (
		inventory, ours         = "multicluster.x-k8s.io", "clusterpass.dev"
		collector               = "system:serviceaccount:kube-system:generic-garbage-collector"
		none, metadata, request = auditinternal.LevelNone, auditinternal.LevelMetadata, auditinternal.LevelRequest
	)
	for name, test := range map[string]struct {
		verb, group, resource, user, path string
		want                              auditinternal.Level
	}{
		"a request for a token is recorded without the answer":     {"create", inventory, "authtokenrequests", "", "", metadata},
		"so is its twin in our group":                              {"create", ours, "authtokenrequests", "", "", metadata},
		"so is the subresource of a ClusterProfile":                {"create", inventory, "clusterprofiles/token", "", "", metadata},
		"so is the same subresource of any other kind":             {"create", ours, "clustercredentialsets/token", "", "", metadata},
		"so it is whoever asks":                                    {"create", inventory, "authtokenrequests", "system:apiserver", "", metadata},
		"a change of the inventory is recorded with what was sent": {"update", inventory, "clusterprofiles", "", "", request},
		"a change of status is recorded without it":                {"patch", inventory, "clusterprofiles/status", "", "", metadata},
		"a read is recorded":                                       {"list", inventory, "clusterprofiles", "", "", metadata},
		"a watch of the garbage collector is not":                  {"watch", inventory, "clusterprofiles", collector, "", none},
		"a deletion by the garbage collector is":                   {"delete", inventory, "clusterprofiles", collector, "", request},
		"a probe is not":                                           {verb: "get", path: "/readyz", want: none},
		"discovery is not":                                         {verb: "get", path: "/apis/multicluster.x-k8s.io/v1alpha1", want: none},
		"profiling is":                                             {verb: "get", path: "/debug/pprof/heap", want: metadata},
	} {
		t.Run(name, func(t *testing.T) {
			resource, subresource, _ := strings.Cut(test.resource, "/")
			got := evaluator.EvaluatePolicyRule(authorizer.AttributesRecord{
				User: &user.DefaultInfo{Name: test.user, Groups: []string{user.AllAuthenticated}},
				Verb: test.verb, APIGroup: test.group, APIVersion: "v1alpha1", Namespace: "default",
				Resource: resource, Subresource: subresource, Path: test.path, ResourceRequest: test.path == "",
			})
			assert.Equal(t, test.want, got.Level)
			assert.Contains(t, got.OmitStages, auditinternal.StageRequestReceived)
		})
	}
}

func TestAccessConfig_Example(t *testing.T) {
	config, err := member.LoadFile(filepath.Join(artifacts(t), "access-config.yaml"))
	require.NoError(t, err)
	builtIn := member.DefaultConfig()
	assert.Equal(t, builtIn.Providers[0], config.Providers[0], "the first provider is the one built in")
	assert.Equal(t, builtIn.Limits, config.Limits, "the limits are the defaults")
}
