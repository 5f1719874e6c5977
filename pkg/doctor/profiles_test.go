// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/runtime"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

func TestCheckSecrets(t *testing.T) {
	type cluster = clientcmdv1.Cluster
	extension := func(raw string) cluster {
		return cluster{Extensions: []clientcmdv1.NamedExtension{{Name: "any", Extension: runtime.RawExtension{Raw: []byte(raw)}}}}
	}
	const key = "-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n"
	for name, test := range map[string]struct {
		cluster cluster
		want    string
	}{
		"a server and a proxy": {cluster: cluster{Server: "https://member:6443/k8s/c-1", ProxyURL: "http://proxy:3128",
			CertificateAuthorityData: []byte("CA")}},
		"a password in a proxy": {cluster{ProxyURL: "http://u:s3cret@proxy"}, "proxy-url"},
		"a token in a server":   {cluster{Server: "https://s3cret@member"}, "server"},
		"a query":               {cluster{Server: "https://member?key=s3cret"}, "server"},
		"a fragment":            {cluster{ProxyURL: "http://proxy#s3cret"}, "proxy-url"},
		"a URL that is none":    {cluster{ProxyURL: "http://u:s3cret%zz@proxy"}, "proxy-url"},
		"a key beside a CA":     {cluster{CertificateAuthorityData: []byte(key)}, "certificate-authority-data"},
		"where a Secret is": {cluster: extension(
			`{"name":"member-default-bravelion","key":"kubeconfig","namespace":"clusterpass-system"}`)},
		"what a program asks for": {cluster: extension(
			`{"targetClusterProfile":{"name":"bravelion"},"serviceAccountName":"token","clusterRoles":[{"name":"view"}]}`)},
		"a password":               {extension(`{"user":"u","password":"s3cret"}`), "extensions[0]"},
		"an environment variable":  {extension(`[{"name":"HUB_TOKEN","value":"s3cret"}]`), "extensions[0]"},
		"a header":                 {extension(`{"headers":{"Authorization":["Basic s3cret"]}}`), "extensions[0]"},
		"a token by its looks":     {extension(`{"args":["--x=eyJhbGciOi.eyJpc3MiOi.s3cret"]}`), "extensions[0]"},
		"a password in an address": {extension(`{"proxy":"http://u:s3cret@proxy"}`), "extensions[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, list := range []string{"accessProviders", "credentialProviders"} {
				profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: named("default", "bravelion")}
				providers := []inventoryv1alpha1.AccessProvider{{Name: "any", Cluster: test.cluster}}
				if list == "accessProviders" {
					profile.Status.AccessProviders = providers
				} else {
					profile.Status.CredentialProviders = providers
				}
				e := &examination{}
				e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{profile}
				found := examine(t, checkSecrets, e)
				if test.want == "" {
					passes("no secret").expect(t, found)
					continue
				}
				fails(fmt.Sprintf("in status.%s[0].cluster.%s", list, test.want), "edit clusterprofile bravelion --subresource=status").
					expect(t, found)
				told, err := json.Marshal(found)
				assert.NoError(t, err)
				assert.NotContains(t, string(told), "s3cret")
			}
		})
	}
}
