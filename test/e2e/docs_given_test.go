// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// abandonedAccount is that of a grant that a reader lets go of. Nobody else is to find it on the
// member.
const abandonedAccount = "e2e-abandoned"

// givens are what has to be there before a block, by the words in its comment.
var givens = map[string]func(t *testing.T, r *reader){
	"no Role deployer on bravelion": func(t *testing.T, _ *reader) {
		t.Helper()

		on(t, "bravelion", "delete", "role", "deployer", "-n", "default", "--ignore-not-found")
	},
	"a node with GPUs on bravelion": func(t *testing.T, _ *reader) {
		t.Helper()

		apply(t, "bravelion", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"gpu-node","labels":{"nvidia.com/gpu.product":"Tesla-T4"}}}`)
		on(t, "bravelion", "patch", "node", "gpu-node", "--type=merge", `--patch={"spec":{"taints":null}}`)
		on(t, "bravelion", "patch", "node", "gpu-node", "--subresource=status", "--type=merge",
			`--patch={"status":{"capacity":{"cpu":"8","memory":"32Gi","pods":"110","nvidia.com/gpu":"8"},
				"allocatable":{"cpu":"8","memory":"32Gi","pods":"110","nvidia.com/gpu":"8"},
				"conditions":[{"type":"Ready","status":"True","reason":"Test","message":""}]}}`)
	},
	"a grant on smartfish": func(t *testing.T, r *reader) {
		t.Helper()

		require.NoError(t, tryCreate(t.Context(), requestFor("smartfish", abandonedAccount, view)))
		r.abandoned = on(t, "hub", "get", "authtokengrants", "-n", "default",
			"--field-selector=spec.serviceAccount.name="+abandonedAccount, "-o", "jsonpath={.items[0].metadata.uid}")
	},
	"bravelion is joined": func(t *testing.T, _ *reader) {
		t.Helper()
		fleetUp(t)
	},
	"a ClusterProfile of another cluster manager": func(t *testing.T, _ *reader) {
		t.Helper()

		apply(t, "hub", "apiVersion: v1\nkind: Namespace\nmetadata: {name: fleet}\n")
		apply(t, "hub", `{"apiVersion":"multicluster.x-k8s.io/v1alpha1","kind":"ClusterProfile",
			"metadata":{"name":"bravelion","namespace":"fleet"},"spec":{"clusterManager":{"name":"open-cluster-management"}}}`)
	},
	"no credential set": func(t *testing.T, _ *reader) {
		t.Helper()

		on(t, "hub", "delete", "clustercredentialsets", "--all", "-n", "default", "--timeout=60s")
	},
	"the set gpu": func(t *testing.T, _ *reader) {
		t.Helper()

		apply(t, "hub", "apiVersion: v1\nkind: Namespace\nmetadata: {name: gpu-credentials}\n")
		on(t, "hub", "label", "clusterprofile", "bravelion", "accelerator=nvidia-l4", "--overwrite")
		examples := filepath.Join(root, "artifacts", "examples")
		on(t, "hub", "apply", "-f", filepath.Join(examples, "set-author.yaml"))
		on(t, "hub", "apply", "--as=system:serviceaccount:default:set-author", "-f", filepath.Join(examples, "clustercredentialset.yaml"))
	},
}
