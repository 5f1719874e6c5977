// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"cmp"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

const notStored = "AuthTokenRequest is not stored: use kubectl create"

// kubectls are the newest and the oldest kubectl that Kubernetes supports with the hub.
var kubectls = []string{"kubectl", "kubectl-oldest"}

// topLevel are the group-versions in which AuthTokenRequest is a resource of its own.
var topLevel = []string{"multicluster.x-k8s.io/v1alpha1", "clusterpass.dev/v1alpha1"}

// forEachKubectl runs test with each kubectl and for each group-version, side by side.
func forEachKubectl(t *testing.T, test func(t *testing.T, kubectl, groupVersion string)) {
	t.Helper()
	for _, program := range kubectls {
		for _, groupVersion := range topLevel {
			t.Run(program+" "+groupVersion, func(t *testing.T) {
				t.Parallel()
				test(t, program, groupVersion)
			})
		}
	}
}

// manifest returns a request for account on cluster, with one more field of the spec where that is
// not empty.
func manifest(groupVersion, cluster, account, field string) string {
	m := `apiVersion: ` + groupVersion + `
kind: AuthTokenRequest
metadata: {name: ` + account + `, namespace: default}
spec:
  targetClusterProfile: {name: ` + cluster + `}
  serviceAccountName: ` + account + `
  serviceAccountNamespace: default
  clusterRoles: [{name: view}]
`
	if field != "" {
		m += "  " + field + "\n"
	}
	return m
}

// ordinaryUser gives user what the documented Role gives, and more, and returns a kubeconfig with a
// client certificate.
func ordinaryUser(t *testing.T, user string, more ...rbacv1.PolicyRule) string {
	t.Helper()
	file := testenv.Must[*os.File](t)(os.Open(filepath.Join(testenv.Root(t), "artifacts", "examples", "rbac", "bravelion-viewer.yaml")))
	defer file.Close()
	var role rbacv1.Role
	require.NoError(t, yaml.NewYAMLToJSONDecoder(file).Decode(&role))
	return kubeconfigFor(t, grantTo(t, user, append(role.Rules, more...)...))
}

// expectNothingGranted fails the test where account has a grant: without one, no token was made.
func expectNothingGranted(t *testing.T, account string) {
	t.Helper()
	list := testenv.List(t, grants(t), metav1.ListOptions{})
	for i := range list.Items {
		assert.NotEqual(t, account, list.Items[i].Spec.ServiceAccount.Name, "a token was made")
	}
}

func TestKubectlCreate_OrdinaryUser(t *testing.T) { //nolint:tparallel // The tests of the package share a hub, and go one after the other.
	user := ordinaryUser(t, "create-only:ordinary")
	const typo, words = "clusterRole: [{name: edit}]", `unknown field "spec.clusterRole"`
	forEachKubectl(t, func(t *testing.T, program, groupVersion string) {
		t.Helper()

		group, _, _ := strings.Cut(groupVersion, "/")
		tests := map[string]struct {
			cluster, account, field string // cluster: bravelion if empty
			args                    []string
			minted, once            bool // once: not for each kubectl and group-version
			err, warning            string
		}{
			"plain create gives a token": {account: "ordinary", minted: true},
			"a dry run makes nothing":    {account: "dry", args: []string{"--dry-run=server"}},
			"save-config is a create": {once: true, account: "ordinary", args: []string{"--save-config"},
				minted: true},
			"a field that is misspelt is refused by its name": {account: "typo", field: typo, err: words},
			"a field that is misspelt is refused in a dry run": {once: true, account: "typo", field: typo, args: []string{"--dry-run=server"},
				err: words},
			"strict is the same": {once: true, account: "typo", field: typo, args: []string{"--validate=strict"},
				err: words},
			"warn gives a token and names the field": {account: "ordinary", field: typo, args: []string{"--validate=warn"},
				minted: true, warning: words},
			"ignore gives a token": {once: true, account: "ordinary", field: typo,
				args: []string{"--validate=ignore"}, minted: true},
			"a field of another type is refused by its name": {once: true, account: "typo", field: "expirationSeconds: soon",
				err: "spec.expirationSeconds"},
			"a cluster that the user has no rights for is forbidden": {once: true, cluster: "smartfish", account: "typo", err: "is forbidden"},
		}
		for name, test := range tests {
			if test.once && (program != kubectls[0] || groupVersion != topLevel[0]) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				account := test.account
				if !test.minted {
					account += "-" + program + "-" + strings.ReplaceAll(group, ".", "-")
				}
				args := append([]string{"create", "-f", "-", "-o", "json"}, test.args...)
				out, warnings, err := testenv.KubectlOf(t.Context(), program, user,
					manifest(groupVersion, cmp.Or(test.cluster, "bravelion"), account, test.field), args...)
				if test.err != "" {
					assert.ErrorContains(t, err, test.err)
				} else {
					require.NoError(t, err)
					var answer v1alpha1.AuthTokenRequest
					require.NoError(t, json.Unmarshal([]byte(out), &answer), out)
					remember(answer.Status.Token)
					assert.Equal(t, test.minted, answer.Status.Token != "", "a token was answered")
				}
				assert.Contains(t, warnings, test.warning)
				if !test.minted {
					expectNothingGranted(t, account)
				}
			})
		}
	})
}

// everyVerb is what a careless Role gives.
var everyVerb = rbacv1.PolicyRule{APIGroups: []string{multicluster, "clusterpass.dev"}, Resources: []string{"authtokenrequests"},
	Verbs: []string{"*"}}

func TestKubectl_OtherVerbs(t *testing.T) { //nolint:tparallel // The tests of the package share a hub, and go one after the other.
	careless, ordinary := ordinaryUser(t, "create-only:careless", everyVerb), ordinaryUser(t, "create-only:unseen")
	commands := map[string][]string{
		"apply":                       {"apply", "-f", "FILE"},
		"apply in a server's dry run": {"apply", "-f", "FILE", "--dry-run=server"},
		"apply with force":            {"apply", "-f", "FILE", "--force"},
		"apply, server-side":          {"apply", "-f", "FILE", "--server-side"},
		"apply, server-side, forced":  {"apply", "-f", "FILE", "--server-side", "--force-conflicts"},
		"diff":                        {"diff", "-f", "FILE"},
		"replace":                     {"replace", "-f", "FILE"},
		"replace with force":          {"replace", "-f", "FILE", "--force"},
		"edit":                        {"edit", "-f", "FILE"},
		"delete":                      {"delete", "-f", "FILE"},
		"patch":                       {"patch", "-f", "FILE", "--type=merge", `--patch={"spec":{}}`},
		"label":                       {"label", "-f", "FILE", "a=b"},
		"get":                         {"get", "-f", "FILE"},
		"list":                        {"get", "RESOURCE", "-n", "default"},
		"watch":                       {"get", "RESOURCE", "-n", "default", "--watch-only"},
		"delete all":                  {"delete", "RESOURCE", "-n", "default", "--all"},
	}
	// One group-version for each kubectl: TestCreateOnly_EveryVerb has what the server says in both.
	for i, program := range kubectls {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			groupVersion := topLevel[i%len(topLevel)]
			group, version, _ := strings.Cut(groupVersion, "/")
			file, account := filepath.Join(t.TempDir(), "request.yaml"), "unseen-"+program
			require.NoError(t, os.WriteFile(file, []byte(manifest(groupVersion, "bravelion", account, "")), 0o600))
			inPlace := strings.NewReplacer("FILE", file, "RESOURCE", "authtokenrequests."+version+"."+group)
			expect := func(t *testing.T, user, words string, command []string) {
				t.Helper()
				args := make([]string, len(command))
				for i, arg := range command {
					args[i] = inPlace.Replace(arg)
				}
				out, _, err := testenv.KubectlOf(t.Context(), program, user, "", args...)
				assert.ErrorContains(t, err, words, out)
			}
			for name, command := range commands {
				t.Run(name+" says what to do", func(t *testing.T) { expect(t, careless, notStored, command) })
			}
			for _, name := range []string{"apply", "apply, server-side", "replace with force", "get"} {
				t.Run(name+" without the verb is forbidden by the hub",
					func(t *testing.T) { expect(t, ordinary, "is forbidden: User", commands[name]) })
			}
			expectNothingGranted(t, account)
		})
	}
}

func TestCreateOnly_EveryVerb(t *testing.T) {
	const careless = "create-only:everything"
	tokens := rbacv1.PolicyRule{
		APIGroups: []string{multicluster, "clusterpass.dev"}, Resources: []string{"clusterprofiles/token", "clustercredentialsets/token"},
		Verbs: []string{"*"},
	}
	holder, other := grantTo(t, careless, everyVerb, tokens), grantTo(t, "create-only:nothing", mayRequest())
	object := []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete}
	collection := []string{http.MethodGet, http.MethodDelete}
	paths := map[string][]string{
		"/apis/multicluster.x-k8s.io/v1alpha1/namespaces/default/clusterprofiles/bravelion/token": object,
		"/apis/multicluster.x-k8s.io/v1alpha2/namespaces/default/clusterprofiles/bravelion/token": object,
		"/apis/clusterpass.dev/v1alpha1/namespaces/default/clustercredentialsets/some/token":      object,
	}
	for _, groupVersion := range topLevel {
		requests := "/apis/" + groupVersion + "/namespaces/default/authtokenrequests"
		paths[requests], paths[requests+"?watch=true"], paths[requests+"/some"] = collection, collection[:1], object
	}
	for path, methods := range paths {
		for _, method := range methods {
			t.Run(method+" "+path, func(t *testing.T) {
				status := refusalOf(t, holder, method, path)
				assert.EqualValues(t, http.StatusMethodNotAllowed, status.Code, "who holds the verb")
				assert.Equal(t, metav1.StatusReasonMethodNotAllowed, status.Reason, "who holds the verb")
				assert.Equal(t, notStored, status.Message, "who holds the verb")
				status = refusalOf(t, other, method, path)
				assert.EqualValues(t, http.StatusForbidden, status.Code, "who does not hold the verb")
				assert.NotContains(t, status.Message, notStored, "who does not hold the verb")
			})
		}
	}
}

// refusalOf returns the Status that a request is answered with.
func refusalOf(t *testing.T, user *rest.Config, method, path string) metav1.Status {
	t.Helper()
	code, contentType, body := sendAs(t, user, method, path,
		http.Header{"Accept": []string{"application/json"}, "Content-Type": []string{"application/merge-patch+json"}}, []byte(`{}`))
	var status metav1.Status
	require.NoError(t, json.Unmarshal(body, &status), "%d %s: %s", code, contentType, body)
	require.EqualValues(t, code, status.Code)
	return status
}

func TestKubectl_GetAll(t *testing.T) {
	namespace := newNamespace(t)
	createProfile(t, namespace, testenv.NewProfile("whale", "everything"))
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "only"},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"}}
	testenv.Create(t, shared.Hub.Kube(t).CoreV1().Services(namespace), service)
	out, warnings, err := testenv.KubectlOf(t.Context(), "kubectl", shared.Hub.Kubeconfig(), "", "get", "all", "-n", namespace, "-o", "name")
	assert.NoError(t, err)
	assert.Equal(t, "service/only\n", out)
	assert.Empty(t, warnings)
}
