// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/pkg/doctor"
)

// runDoctor runs the command against a hub that answers everything but what everybody may see with
// status.
func runDoctor(t *testing.T, status int, args ...string) (string, error) {
	t.Helper()
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status == http.StatusOK {
			assert.Equal(t, http.MethodGet, r.Method, r.URL.Path)
		}
		if r.URL.Path == "/version" || r.URL.Path == "/openapi/v2" {
			return
		}
		reason := map[int]string{http.StatusForbidden: "Forbidden", http.StatusServiceUnavailable: "ServiceUnavailable"}[status]
		answer(w, status, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason})
	}))
	t.Cleanup(hub.Close)
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	out, stderr, err := execute(t, append([]string{"doctor", "--server=" + hub.URL, "--namespace=fleet"}, args...)...)
	return out + stderr, err
}

func TestDoctor(t *testing.T) {
	t.Run("it passes where nothing fails", func(t *testing.T) {
		out, err := runDoctor(t, http.StatusForbidden)
		require.NoError(t, err)
		assert.Contains(t, out, "ok    openapi: ")
		assert.Contains(t, out, "skip  powers: ")
	})
	t.Run("it fails where something does", func(t *testing.T) {
		out, err := runDoctor(t, http.StatusServiceUnavailable)
		require.ErrorContains(t, err, "a check has failed on http://127.0.0.1")
		assert.Contains(t, out, "FAIL  apiservices: ")
		assert.NotContains(t, out, "Usage:")
	})
	t.Run("a cluster that is no hub", func(t *testing.T) {
		_, err := runDoctor(t, http.StatusNotFound)
		require.ErrorContains(t, err, "serves no API of clusterpass. Is it the hub? ")
	})
}

func TestDoctor_Output(t *testing.T) {
	for _, format := range []string{"json", "yaml"} {
		t.Run(format, func(t *testing.T) {
			out, err := runDoctor(t, http.StatusForbidden, "-o", format)
			require.NoError(t, err)
			var found []doctor.Finding
			require.NoError(t, decoders[format]([]byte(out), &found))
			require.NotEmpty(t, found)
			for _, f := range found {
				assert.NotEmpty(t, f.Check)
				assert.NotEmpty(t, f.Message)
				assert.Contains(t, []doctor.Verdict{doctor.OK, doctor.Skip}, f.Verdict)
			}
		})
	}
}

func TestDoctor_Arguments(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"a format":                     {[]string{"-o", "table"}, `--output "table": must be json or yaml`},
		"a mode":                       {[]string{"--inventory", "Both"}, "must be Served or External"},
		"a cluster without a name":     {[]string{"fleet/"}, "is not [NAMESPACE/]CLUSTER"},
		"a cluster with too many":      {[]string{"--mint", "a/b/c"}, "--mint: "},
		"a file that does not exist":   {[]string{"--access-config", "/nowhere"}, "--access-config: "},
		"a flag that changes anything": {[]string{"--fix"}, "unknown flag"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := runDoctor(t, http.StatusOK, test.args...)
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestProfileNames(t *testing.T) {
	names, err := profileNames([]string{"bravelion", "other/smartfish"}, "fleet")
	require.NoError(t, err)
	assert.Equal(t, []types.NamespacedName{{Namespace: "fleet", Name: "bravelion"}, {Namespace: "other", Name: "smartfish"}}, names)
}
