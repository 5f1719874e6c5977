// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// teams are namespaces of the hub, each with ClusterProfiles of its own for every one of members.
var (
	teams   = []string{"team-red", "team-blue"}
	members = []string{"bravelion", "smartfish"}
)

// persons are the users of the matrix, with the flags of kubectl that impersonate them.
var persons = map[string][]string{
	"rita": {"--as=rita", "--as-group=team-red"},
	"bob":  {"--as=bob"},
	"vera": {"--as=vera", "--as-group=fleet-viewers"},
}

// bobsRules are as a person writes them who lets one colleague work on one cluster.
const bobsRules = `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: bob, namespace: team-blue}
rules:
- apiGroups: [multicluster.x-k8s.io, clusterpass.dev]
  resources: [authtokenrequests]
  verbs: [create]
- apiGroups: [multicluster.x-k8s.io]
  resources: [clusterprofiles/token]
  resourceNames: [bravelion]
  verbs: [create]
- apiGroups: [multicluster.x-k8s.io]
  resources: [clusterprofiles]
  resourceNames: [bravelion]
  verbs: [get, "bind:view", escalate, "in:default", "audience:vault"]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: bob, namespace: team-blue}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: bob}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}]
`

// deployerRole is the Role that the example for teams names.
const deployerRole = `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer, namespace: default}
rules:
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, create]
`

// onBravelion is what the requests of the matrix meet on that cluster, and on no other: that Role,
// and a ServiceAccount that is bound to cluster-admin.
const onBravelion = deployerRole + `---
apiVersion: v1
kind: ServiceAccount
metadata: {name: powerful, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: powerful}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: powerful, namespace: default}]
`

// makeTeams makes the teams, their ClusterProfiles and what the three persons may do. Done again,
// it changes nothing.
func makeTeams(t *testing.T) {
	t.Helper()
	for _, team := range teams {
		apply(t, "hub", "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+team+"}\n")
		for _, cluster := range members {
			joinTo(t, team, cluster)
		}
		apply(t, "hub", exampleRBAC(t, "fleet-viewers.yaml", "namespace: default", "namespace: "+team))
	}
	apply(t, "hub", exampleRBAC(t, "team-payments.yaml", "namespace: default", "namespace: team-red", "team-payments", "team-red"))
	apply(t, "hub", bobsRules)
	apply(t, "bravelion", onBravelion)
}

func apply(t *testing.T, cluster, manifest string) {
	t.Helper()
	mustKubectl(t, kubeconfig(cluster), manifest, "apply", "--server-side", "-f", "-")
}

// exampleRBAC returns an example as who copies it would change it: old and new by turns.
func exampleRBAC(t *testing.T, name string, changes ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "artifacts", "examples", "rbac", name))
	require.NoError(t, err)
	return strings.NewReplacer(changes...).Replace(string(content))
}

// joinTo makes a ClusterProfile of a team for a member that is joined in namespace default. It is
// reached by the same kubeconfig, in a Secret of its own: a Secret serves one ClusterProfile.
func joinTo(t *testing.T, team, cluster string) {
	t.Helper()
	const system = "clusterpass-system"
	var joined corev1.Secret
	out := on(t, "hub", "get", "secret", "member-default-"+cluster, "-n", system, "-o", "json")
	require.NoError(t, json.Unmarshal([]byte(out), &joined))
	secret := corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   system,
			Name:        "member-" + team + "-" + cluster,
			Labels:      joined.Labels,
			Annotations: map[string]string{"clusterpass.dev/cluster-profile": team + "/" + cluster},
		},
		Data: joined.Data,
	}
	encoded, err := json.Marshal(secret)
	require.NoError(t, err)
	apply(t, "hub", string(encoded))
	apply(t, "hub", fmt.Sprintf(`apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ClusterProfile
metadata: {name: %[2]s, namespace: %[1]s}
spec: {displayName: %[2]s, clusterManager: {name: e2e}}
`, team, cluster))
	on(t, "hub", "patch", "clusterprofile", cluster, "-n", team, "--subresource=status", "--type=merge",
		fmt.Sprintf(`--patch={"status":{"accessProviders":[{"name":"kubeconfig-secretreader","cluster":{"server":"https://%s.example.com",
			"extensions":[{"name":"client.authentication.k8s.io/exec","extension":{"name":%q,"namespace":%q,"key":"kubeconfig"}}]}}]}}`,
			cluster, secret.Name, system))
}
