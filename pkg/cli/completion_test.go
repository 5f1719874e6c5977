// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func TestCompletion(t *testing.T) {
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/fleet/clusterprofiles" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind": "ClusterProfileList", "apiVersion": "multicluster.x-k8s.io/v1alpha1",
			"items": [{"metadata": {"name": "bravelion"}}, {"metadata": {"name": "smartfish"}}]}`))
	}))
	t.Cleanup(hub.Close)
	none := filepath.Join(t.TempDir(), "none")
	members := filepath.Join(t.TempDir(), "members")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{Contexts: map[string]*clientcmdapi.Context{"m2": {}, "m1": {}}}, members))

	both := []string{"bravelion", "smartfish"}
	for name, test := range map[string]struct {
		args, want []string
	}{
		"doctor takes any number of clusters":    {[]string{"doctor", "smartfish", ""}, []string{"bravelion"}},
		"doctor mints for clusters":              {[]string{"doctor", "--mint", ""}, both},
		"doctor prints in two formats":           {[]string{"doctor", "-o", ""}, []string{"json", "yaml"}},
		"doctor knows the modes":                 {[]string{"doctor", "--inventory", ""}, []string{"Served", "External"}},
		"kubeconfig takes any number":            {[]string{"kubeconfig", "bravelion", ""}, []string{"smartfish"}},
		"token takes one cluster":                {[]string{"token", ""}, both},
		"token takes no second one":              {[]string{"token", "bravelion", ""}, nil},
		"get-token takes one cluster":            {[]string{"get-token", ""}, both},
		"revoke selects by cluster":              {[]string{"revoke", "--cluster-profile", ""}, both},
		"join names a context of the member":     {[]string{"join", "new", "--member-kubeconfig=" + members, "--member-context", ""}, []string{"m1", "m2"}},
		"unjoin names a context of the member":   {[]string{"unjoin", "--member-kubeconfig=" + members, "--member-context", ""}, []string{"m1", "m2"}},
		"a hub that does not answer has nothing": {[]string{"--namespace=elsewhere", "doctor", ""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", none)
			out, err := run(append([]string{"__complete", "--server=" + hub.URL, "--namespace=fleet"}, test.args...)...)
			require.NoError(t, err)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			var words []string
			for _, line := range lines {
				if strings.HasPrefix(line, ":") {
					break
				}
				words = append(words, line)
			}
			assert.Equal(t, test.want, words, out)
		})
	}
}
