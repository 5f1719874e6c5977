// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	clusterpassjoin "clusterpass.dev/pkg/join"
	"clusterpass.dev/test/testenv"
)

// Two ways to the same member: whoever applies artifacts/deploy/member gets what join makes.
func TestJoin_Manifests(t *testing.T) {
	for folder, rules := range map[string]bool{"artifacts/deploy/member": false, "artifacts/deploy/member/overlays/rules": true} {
		t.Run(folder, func(t *testing.T) {
			allowed := clusterpassjoin.Allowed{
				ClusterRoles: []string{"view", "edit", "cluster-admin"}, Namespaces: []string{"default"}, Rules: rules, Usage: true,
			}
			made := map[string]any{}
			for _, o := range allowed.Objects() {
				made[o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName()] = o.Object
			}
			assert.Equal(t, manifests(t, folder), made)
		})
	}
}

// manifests returns the objects of a kustomization by kind and name.
func manifests(t *testing.T, folder string) map[string]any {
	t.Helper()
	out := testenv.MustKubectl(t, "", "", "kustomize", filepath.Join(testenv.Root(t), folder))
	all := map[string]any{}
	for document := range strings.SplitSeq(out, "\n---\n") {
		o := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(document), &o.Object))
		all[o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName()] = o.Object
	}
	return all
}
