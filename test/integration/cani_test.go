// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// canI returns what kubectl auth can-i says to config's user about namespace default. Impersonation
// is by --as.
func canI(t *testing.T, config *rest.Config, question string) bool {
	t.Helper()
	args := append([]string{"auth", "can-i", "-n", "default"}, strings.Fields(question)...)
	if as := config.Impersonate; as.UserName != "" {
		args = append(args, "--as="+as.UserName)
		for _, group := range as.Groups {
			args = append(args, "--as-group="+group)
		}
	}
	out, err := testenv.Kubectl(t.Context(), kubeconfigFor(t, config), "", args...)
	switch answer := strings.TrimSpace(out); answer {
	case "yes":
		return true
	case "no":
		return false
	default:
		require.Fail(t, "neither yes nor no", "can-i %s: %q: %v", question, answer, err)
		return false
	}
}

// kubeconfigFor returns the path of a kubeconfig with the credential of config for the hub.
func kubeconfigFor(t *testing.T, config *rest.Config) string {
	t.Helper()
	config = rest.CopyConfig(config)
	require.NoError(t, rest.LoadTLSFiles(config))
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"hub": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"user": {
			Token: config.BearerToken, ClientCertificateData: config.CertData, ClientKeyData: config.KeyData,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"hub": {Cluster: "hub", AuthInfo: "user"}},
		CurrentContext: "hub",
	}, path))
	return path
}

// right is one of those that a token takes: the question to kubectl, and how the refusal names it.
type right struct{ question, refusal string }

// rightsFor are those that a token takes for a ClusterRole in the member's namespace default,
// sorted as a refusal is.
func rightsFor(cluster, role string) []right {
	on := func(verb string) right {
		return right{verb + " clusterprofiles/" + cluster,
			fmt.Sprintf("%s on clusterprofiles.multicluster.x-k8s.io %q in namespace %q", verb, cluster, "default")}
	}
	return []right{
		{
			"create clusterprofiles/" + cluster + " --subresource=token",
			fmt.Sprintf("create on clusterprofiles/token.multicluster.x-k8s.io %q in namespace %q", cluster, "default"),
		},
		on("bind:" + role),
		on("in:default"),
	}
}

// TestCanI_ExampleRoles asks for every group of the examples, and for one of none of
// them, which rights it has, and has a request refused for exactly those that it lacks.
func TestCanI_ExampleRoles(t *testing.T) {
	root := testenv.Root(t)
	testenv.Must[string](t)(testenv.Kubectl(t.Context(), shared.Hub.Kubeconfig(), "", "apply", "-f",
		filepath.Join(root, "artifacts", "examples", "rbac")))
	token := func(cluster string) string { return "create clusterprofiles/" + cluster + " --subresource=token" }
	const requests = "create authtokenrequests.multicluster.x-k8s.io"
	may := map[string][]string{
		"fleet-viewers": {
			requests, token("bravelion"), "bind:view clusterprofiles/bravelion", "in:default clusterprofiles/bravelion",
			token("whale"), "bind:view clusterprofiles/whale", "in:default clusterprofiles/whale",
		},
		"team-payments": {requests, token("bravelion"), "bind:edit clusterprofiles/bravelion", "in:default clusterprofiles/bravelion"},
		// Its accounts are in a namespace of their own: in:break-glass.
		"break-glass": {
			requests, token("bravelion"), "bind:cluster-admin clusterprofiles/bravelion",
			token("whale"), "bind:cluster-admin clusterprofiles/whale",
		},
		"no-such-group": nil,
	}
	for group, questions := range may {
		config := shared.Hub.User(t, "member-of-"+group, group)
		for _, cluster := range []string{"bravelion", "whale"} {
			for _, role := range []string{"view", "edit", "cluster-admin"} {
				t.Run(group+" "+role+" on "+cluster, func(t *testing.T) {
					assert.Equal(t, slices.Contains(questions, requests), canI(t, config, requests), requests)
					var missing, all []string
					for _, right := range rightsFor(cluster, role) {
						all = append(all, right.refusal)
						want := slices.Contains(questions, right.question)
						assert.Equal(t, want, canI(t, config, right.question), right.question)
						if !want {
							missing = append(missing, right.refusal)
						}
					}
					expectLacks(t, config, request(cluster, "can-i", role), missing, all)
				})
			}
		}
	}
}

// expectLacks expects a dry run to be refused for what is missing of all that it takes, or, for
// nothing, to find out that only bravelion exists.
func expectLacks(t *testing.T, config *rest.Config, r *v1alpha1.AuthTokenRequest, missing, all []string) {
	t.Helper()
	_, _, err := ask(t.Context(), config, forms[0], r, dryRun)
	if len(missing) == 0 {
		exists := r.Spec.TargetClusterProfile.Name == "bravelion"
		assert.True(t, exists && err == nil || !exists && apierrors.IsNotFound(err), "%v", err)
		return
	}
	// Whoever may create no authtokenrequests is refused that by the hub, and told no more.
	lacks, hub := "lacks: "+strings.Join(missing, "; "), `cannot create resource "authtokenrequests"`
	if missing[0] == all[0] {
		lacks = "lacks: " + all[0] + " (not reviewed: " + strings.Join(all[1:], "; ") + ")"
	}
	require.True(t, apierrors.IsForbidden(err), "%v", err)
	assert.True(t, strings.HasSuffix(err.Error(), lacks) || strings.Contains(err.Error(), hub), "got %v, want it to end in %s", err, lacks)
}

// asSomebody returns the client config of somebody that config impersonates.
func asSomebody(config *rest.Config, user string, groups ...string) *rest.Config {
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return config
}

// bindTo binds rules in namespace default of the hub to subject.
func bindTo(t *testing.T, name string, subject rbacv1.Subject, rules ...rbacv1.PolicyRule) {
	t.Helper()
	testenv.Grant(t, shared.Hub.Kube(t), "default", name, subject, rules...)
}

// serviceAccount makes a ServiceAccount in namespace default of the hub and returns the client
// config of its token.
func serviceAccount(t *testing.T, name string) *rest.Config {
	t.Helper()
	accounts := shared.Hub.Kube(t).CoreV1().ServiceAccounts("default")
	testenv.Create(t, accounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}})
	token := testenv.Must[*authenticationv1.TokenRequest](t)(accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{},
		metav1.CreateOptions{}))
	return withToken(shared.Hub, token.Status.Token)
}

func groupSubject(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: name}
}

// viewOnBravelion is what a person would grant for view on bravelion.
func viewOnBravelion() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind:view", "in:default")}
}

// Every kind of requester is entitled by the hub's RBAC.
func TestEntitlement_Requesters(t *testing.T) {
	account := serviceAccount(t, "who-account")
	stranger := serviceAccount(t, "who-stranger")
	certificate := func(name string, groups ...string) *rest.Config {
		return shared.Hub.User(t, name, groups...)
	}
	bindTo(t, "who-user", testenv.UserSubject("who:alice"), viewOnBravelion()...)
	bindTo(t, "who-group", groupSubject("who:viewers"), viewOnBravelion()...)
	bindTo(t, "who-account", rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "who-account", Namespace: "default"}, viewOnBravelion()...)
	bindTo(t, "who-accounts", groupSubject("system:serviceaccounts:who-elsewhere"), viewOnBravelion()...)
	deputy := clusterRole(t, "who-deputy", testenv.UserSubject("who:deputy"),
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"users"}, ResourceNames: []string{"who:alice"},
			Verbs: []string{"impersonate"}})
	admin := shared.Hub.RESTConfig()
	tests := map[string]struct {
		config *rest.Config
		want   bool
	}{
		"a user":                               {certificate("who:alice"), true},
		"another user":                         {certificate("who:bob"), false},
		"a user in a group":                    {certificate("who:bob", "who:others", "who:viewers"), true},
		"a user who is called like a group":    {certificate("who:viewers"), false},
		"a ServiceAccount":                     {account, true},
		"another ServiceAccount":               {stranger, false},
		"somebody whom an admin impersonates":  {asSomebody(admin, "who:alice"), true},
		"somebody without rights, by an admin": {asSomebody(admin, "who:bob"), false},
		"an impersonated group":                {asSomebody(admin, "who:bob", "who:viewers"), true},
		"an impersonated ServiceAccount":       {asSomebody(admin, "system:serviceaccount:default:who-account"), true},
		"an impersonated account's namespace":  {asSomebody(admin, "system:serviceaccount:who-elsewhere:any"), true},
		"somebody whom a deputy may be":        {asSomebody(deputy, "who:alice"), true},
		"the deputy":                           {deputy, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { expectEntitled(t, test.config, test.want) })
	}
	for name, config := range map[string]*rest.Config{
		"somebody whom the deputy may not be":    asSomebody(deputy, "who:carol"),
		"a group that the deputy may not assume": asSomebody(deputy, "who:alice", "who:viewers"),
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := ask(t.Context(), config, forms[0], request("bravelion", "entitled", "view"), dryRun)
			assert.True(t, apierrors.IsForbidden(err), "%v", err)
		})
	}
}

// Rules of every shape entitle.
func TestEntitlement_Rules(t *testing.T) {
	rule := func(groups, resources, names, verbs string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: strings.Fields(groups), Resources: strings.Fields(resources), ResourceNames: strings.Fields(names),
			Verbs: strings.Fields(verbs)}
	}
	requests := mayRequest()
	tests := map[string]struct {
		rules []rbacv1.PolicyRule
		want  bool
	}{
		"everything":                          {[]rbacv1.PolicyRule{rule("*", "*", "", "*")}, true},
		"everything of the group":             {[]rbacv1.PolicyRule{requests, rule(multicluster, "*", "", "*")}, true},
		"every verb of ClusterProfiles alone": {[]rbacv1.PolicyRule{requests, rule(multicluster, "clusterprofiles", "", "*")}, false},
		"every verb of the subresource alone": {[]rbacv1.PolicyRule{requests, rule(multicluster, "clusterprofiles/token", "", "*")},
			false},
		"every verb of both": {[]rbacv1.PolicyRule{requests,
			rule(multicluster, "clusterprofiles clusterprofiles/token", "", "*")}, true},
		"the subresource token of anything": {[]rbacv1.PolicyRule{requests, rule(multicluster, "*/token", "", "create"),
			mayUse("bravelion", "bind:view", "in:default")}, true},
		"several names": {[]rbacv1.PolicyRule{requests,
			rule(multicluster, "clusterprofiles clusterprofiles/token", "smartfish bravelion", "create bind:view in:default")}, true},
		"other names": {[]rbacv1.PolicyRule{requests,
			rule(multicluster, "clusterprofiles clusterprofiles/token", "smartfish bravelions", "*")}, false},
		"a name that is no pattern": {[]rbacv1.PolicyRule{requests,
			rule(multicluster, "clusterprofiles clusterprofiles/token", "*", "*")}, false},
		"a verb that is no pattern": {[]rbacv1.PolicyRule{requests, mayMint("bravelion"),
			mayUse("bravelion", "bind:*", "in:*")}, false},
		"the names in one rule, the verbs in another": {[]rbacv1.PolicyRule{requests, mayMint("bravelion"), mayUse("bravelion", "bind:view"),
			mayUse("bravelion", "in:default")}, true},
		"another group's ClusterProfiles": {[]rbacv1.PolicyRule{requests,
			rule("clusterpass.dev", "clusterprofiles clusterprofiles/token", "", "*")}, false},
		"ClusterProfiles as an editor has them": {[]rbacv1.PolicyRule{requests,
			rule(multicluster, "clusterprofiles clusterprofiles/status", "", "get list watch create update patch delete")}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			user := grantTo(t, "shape:"+strings.ToLower(strings.NewReplacer(",", "", " ", "-").Replace(name)), test.rules...)
			expectEntitled(t, user, test.want)
		})
	}
}

// A ClusterRoleBinding entitles like a RoleBinding.
func TestEntitlement_ClusterRoleBinding(t *testing.T) {
	expectEntitled(t, clusterRole(t, "everywhere", testenv.UserSubject("everywhere"), viewOnBravelion()...), true)
}

// clusterRole binds rules on all of the hub to a user until the test ends, and returns the user's
// client config.
func clusterRole(t *testing.T, name string, subject rbacv1.Subject, rules ...rbacv1.PolicyRule) *rest.Config {
	t.Helper()
	client := shared.Hub.Kube(t)
	admin := client.RbacV1()
	testenv.Grant(t, client, "", name, subject, rules...)
	t.Cleanup(func() {
		// The test's own context has ended.
		ctx := context.Background()
		assert.NoError(t, admin.ClusterRoleBindings().Delete(ctx, name, metav1.DeleteOptions{}))
		assert.NoError(t, admin.ClusterRoles().Delete(ctx, name, metav1.DeleteOptions{}))
	})
	return shared.Hub.User(t, subject.Name)
}

// expectEntitled expects a request for view on bravelion to be answered, or to be refused, and
// kubectl auth can-i to say so.
func expectEntitled(t *testing.T, config *rest.Config, want bool) {
	t.Helper()
	for _, f := range forms {
		_, _, err := ask(t.Context(), config, f, request("bravelion", "entitled", "view"), dryRun)
		assert.True(t, want && err == nil || !want && apierrors.IsForbidden(err), "%s: %v, want it to be answered: %t", f.name, err, want)
	}
	can := true
	for _, right := range rightsFor("bravelion", "view") {
		can = can && canI(t, config, right.question)
	}
	assert.Equal(t, want, can, "kubectl auth can-i")
}
