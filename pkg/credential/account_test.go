// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// account returns the name of the ServiceAccount for a request of view that change has changed.
func account(t *testing.T, user string, change func(*Request)) string {
	t.Helper()
	r := Request{Namespace: "fleet", AuthTokenRequestSpec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    v1alpha1.ClusterProfileReference{Namespace: "fleet", Name: "bravelion"},
		ServiceAccountNamespace: "default",
		ClusterRoles:            []v1alpha1.ClusterRole{{Name: "view"}},
	}}
	if change != nil {
		change(&r)
	}
	name, err := accountFor(user, r)
	require.NoError(t, err)
	return name
}

func TestAccountFor(t *testing.T) {
	first := account(t, "alice", nil)
	assert.Equal(t, "clusterpass-alice-deed0d34", first, "grants that exist keep their account")
	for name, test := range map[string]struct {
		user   string
		change func(*Request)
		same   bool
	}{
		"another lifetime":                          {"alice", func(r *Request) { r.ExpirationSeconds = new(int64) }, true},
		"another cluster of the namespace":          {"alice", func(r *Request) { r.TargetClusterProfile.Name = "smartfish" }, true},
		"the namespace of the ClusterProfile alone": {"alice", func(r *Request) { r.Namespace = "" }, true},
		"another role":                              {"alice", func(r *Request) { r.ClusterRoles[0].Name = "edit" }, false},
		"another user":                              {"bob", nil, false},
		"another namespace": {"alice", func(r *Request) {
			r.Namespace, r.TargetClusterProfile.Namespace = "team-a", "team-a"
		}, false},
		"another namespace of the request":        {"alice", func(r *Request) { r.Namespace = "team-a" }, false},
		"another namespace of the ClusterProfile": {"alice", func(r *Request) { r.TargetClusterProfile.Namespace = "team-a" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			if test.same {
				assert.Equal(t, first, account(t, test.user, test.change))
				return
			}
			assert.NotEqual(t, first, account(t, test.user, test.change))
		})
	}
	assert.NotEqual(t, account(t, "a.b", nil), account(t, "a-b", nil), "names that look the same")
	for _, user := range []string{"system:serviceaccount:team-a:robot", "Ünïcode@例え.jp", strings.Repeat("x", 300), "-", ""} {
		name := account(t, user, nil)
		assert.Regexp(t, `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`, name)
		assert.LessOrEqual(t, len(name), 63)
	}
}
