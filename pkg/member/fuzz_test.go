// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/utils/clock"
)

// FuzzKubeconfig has what is in a member's Secret, and what a profile says of it, be anything.
func FuzzKubeconfig(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- {name: c, context: {cluster: c, user: u}}\n"+
		"clusters:\n- {name: c, cluster: {server: 'https://a'}}\nusers:\n- {name: u, user: {token: t}}\n"), `{"name":"m"}`, "", "c")
	f.Add([]byte("clusters: &a [*a]"), `{"name":"m","key":"x","context":"y"}`, "x", "y")
	f.Fuzz(func(t *testing.T, kubeconfig []byte, reference, key, context string) {
		secrets := fakeSecrets{}
		secret := secrets.add("m", kubeconfig)
		secret.Annotations[KeyAnnotation], secret.Annotations[ContextAnnotation] = key, context
		client, err := newTestPool(t, DefaultConfig(), secrets, clock.RealClock{}).For(t.Context(), profileFor(reference))
		if err == nil {
			assert.NotEmpty(t, client.Cluster().Server)
			return
		}
		statusErr(t, err)
	})
}

// FuzzParseToken has a token be anything.
func FuzzParseToken(f *testing.F) {
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		parsed, err := ParseToken(token)
		if err == nil {
			require.NotNil(t, parsed)
			assert.True(t, IsToken(token))
		}
		TokenValidity(token)
	})
}
