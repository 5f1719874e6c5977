// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package format

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// updateVariable is the variable of the environment by which the test writes testdata anew.
const updateVariable = "UPDATE_TESTDATA"

// TestRender_Testdata keeps testdata what Render returns. The tests in
// test/consumers give these Secrets to the code of Argo CD and others, whose modules want
// other versions of Kubernetes than this one has.
func TestRender_Testdata(t *testing.T) {
	for name, change := range map[string]func(*Credential){
		"plain":        nil,
		"ipv6":         server("https://[2001:db8::7]"),
		"system-roots": func(c *Credential) { c.Status.Cluster.CertificateAuthorityData = nil },
		"name-and-proxy": func(c *Credential) {
			c.Status.Cluster.TLSServerName, c.Status.Cluster.ProxyURL = "kubernetes", "http://proxy.example.com:3128"
		},
	} {
		for _, f := range formats {
			t.Run(name+" "+string(f), func(t *testing.T) {
				path := filepath.Join("testdata", name+"."+string(f)+".yaml")
				got := manifest(t, f, credential(t, change))
				if os.Getenv(updateVariable) != "" {
					require.NoError(t, os.WriteFile(path, got, 0o600))
				}
				want, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Equal(t, string(want), string(got), updateVariable+"=1 go test writes it anew")
			})
		}
	}
}

func manifest(t *testing.T, f v1alpha1.SecretFormat, c Credential) []byte {
	t.Helper()
	secret, err := Render(f, c)
	require.NoError(t, err)
	written, err := yaml.Marshal(corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: c.Cluster, Labels: secret.Labels},
		Type:       secret.Type,
		Data:       secret.Data,
	})
	require.NoError(t, err)
	return written
}
