// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
)

// Migrate reaches the hub of the flags, which answers that nothing is allowed. It is asked for
// nothing else.
func TestMigrate_Hub(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !assert.Equal(t, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", r.URL.Path) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		review := &authorizationv1.SelfSubjectAccessReview{}
		review.SetGroupVersionKind(authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"))
		w.Header().Set("Content-Type", "application/json")
		assert.NoError(t, json.NewEncoder(w).Encode(review))
	}))
	t.Cleanup(server.Close)
	for _, flag := range []string{"--yes", "--dry-run", "--dry-run=client", "--dry-run=none"} {
		t.Run(flag, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "migration")
			t.Setenv("KUBECONFIG", filepath.Join(dir, "none"))
			out, _, err := execute(t, "migrate", "--server="+server.URL, "--dir="+dir, flag, "--service-namespace=elsewhere",
				"--service-name=server")
			require.ErrorContains(t, err, "rights on the hub are missing:")
			require.ErrorContains(t, err, `- get services "server" in namespace elsewhere`)
			assert.Empty(t, out)
			assert.NoDirExists(t, dir)
		})
	}
}

func TestMigrate_DryRun(t *testing.T) {
	for _, value := range []string{"server", "true"} {
		_, _, err := execute(t, "migrate", "--dry-run="+value)
		require.ErrorContains(t, err, "--dry-run="+value+": want none or client")
	}
}
