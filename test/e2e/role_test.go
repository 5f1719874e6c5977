// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRole_Documented has alice do all that users do. She has a client certificate, and the Role
// that the README shows and the fleet applies from the examples; test/docs compares the two.
func TestRole_Documented(t *testing.T) {
	r := newReader(t)
	alice := func(command string) (string, error) { return r.bash(t.Context(), "alice", command) }
	for _, step := range []struct{ name, command, answer string }{
		{
			"she is nobody else", "kubectl auth whoami -o jsonpath='{.status.userInfo.username} {.status.userInfo.groups}'",
			`alice ["bravelion-viewers","system:authenticated"]`,
		},
		{"she sees the clusters", "kubectl get clusterprofiles", "smartfish"},
		{"she waits for one", "kubectl wait --for=condition=ControlPlaneHealthy clusterprofile/bravelion --timeout=60s", "condition met"},
		{"she creates a request", "kubectl create -f " + exampleRequest, "authtokenrequest.multicluster.x-k8s.io/work created"},
		{
			"and one of the other group",
			"sed 's|multicluster.x-k8s.io/v1alpha1|clusterpass.dev/v1alpha1|' " + exampleRequest + " | kubectl create -f -",
			"authtokenrequest.clusterpass.dev/work created",
		},
		{"and one for nothing but an answer", "kubectl create --dry-run=server -f " + exampleRequest, "created (server dry run)"},
		{
			"a kubeconfig", "(umask 077 && kubectl clusterpass kubeconfig bravelion >printed) && " +
				"kubectl --kubeconfig=printed get namespaces", "default",
		},
		{"a context", "kubectl clusterpass kubeconfig bravelion --merge && kubectl --context=bravelion get namespaces", "default"},
		{"a token", "kubectl clusterpass token bravelion", "."},
		{"a credential", "kubectl clusterpass get-token bravelion", "ExecCredential"},
		{"her grants", "kubectl clusterpass grants bravelion --requester alice", "default/work"},
		{"the same by kubectl", "kubectl get authtokengrants", "default/work"},
		{"what they say", "kubectl describe authtokengrants", "bravelion"},
		{"she revokes one", "kubectl clusterpass revoke --cluster-profile bravelion --service-account default/work", "their tokens have ended"},
		{"or all", "kubectl delete authtokengrants --field-selector spec.requester.username=alice", "deleted"},
	} {
		t.Run(step.name, func(t *testing.T) {
			out, err := alice(step.command)
			require.NoError(t, err, out)
			assert.Contains(t, out, step.answer)
		})
	}
	for _, step := range []struct{ name, command, words string }{
		{"another cluster", "kubectl clusterpass token smartfish", "lacks: create on clusterprofiles/token"},
		{"another role", "kubectl clusterpass token bravelion --cluster-role edit", "lacks: bind:edit on"},
		{
			"another namespace of the cluster",
			"kubectl clusterpass token bravelion --service-account work --service-account-namespace payments", "lacks: in:payments on",
		},
		{
			"rules of her own",
			`sed 's/{name: view}/{name: mine, rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}/' ` +
				exampleRequest + " | kubectl create -f -", "lacks: escalate on",
		},
		{
			"another namespace of the hub", "kubectl create -n kube-public -f - <<<'" + inNamespace("kube-public") + "'",
			`cannot create resource "authtokenrequests"`,
		},
		{"the grants of all namespaces", "kubectl get authtokengrants -A", "cannot list resource"},
		{"the clusters of another namespace", "kubectl get clusterprofiles -n kube-public", "cannot list resource"},
		{"a cluster's status", "kubectl label clusterprofile bravelion a=b", "cannot patch resource"},
		{"a Secret of the hub", "kubectl -n clusterpass-system get secrets", "cannot list resource"},
		{"a set", "kubectl auth can-i create clustercredentialsets", "no"},
	} {
		t.Run("she may not have "+step.name, func(t *testing.T) {
			out, err := alice(step.command)
			require.Error(t, err, out)
			assert.Contains(t, out, step.words)
		})
	}
	t.Run("somebody who is not in the group has nothing", func(t *testing.T) {
		_, err := kubectl(t.Context(), kubeconfig("hub"), example(t), "create", "-f", "-", "--validate=ignore", "--as=bob", "--as-group=others")
		require.ErrorContains(t, err, `User "bob" cannot create resource "authtokenrequests"`)
	})
}

// inNamespace is a request in a namespace of the hub for the cluster in namespace default.
func inNamespace(namespace string) string {
	request := requestFor("bravelion", "e2e-user", view)
	return strings.Replace(request, "metadata: {namespace: default}", "metadata: {namespace: "+namespace+"}", 1)
}
