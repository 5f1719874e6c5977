// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"io"
	"testing"

	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
)

// FuzzParseExec has what client-go tells the plugin be anything, and the extension of the access
// provider, which is in there.
func FuzzParseExec(f *testing.F) {
	f.Add(`{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",` +
		`"spec":{"interactive":false,"cluster":{"server":"https://a","config":{"targetClusterProfile":{"name":"a"}}}}}`)
	f.Add(`{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential"}`)
	f.Fuzz(func(_ *testing.T, info string) {
		e, err := ParseExec(info)
		if err != nil {
			return
		}
		if cluster := e.Credential.Spec.Cluster; cluster != nil {
			for _, target := range []Target{{}, {Profile: "fleet/bravelion"}, {Namespace: "fleet"}} {
				_, _, _ = target.parse(cluster.Config.Raw)
			}
		}
		_ = e.Answer(io.Discard, &clientauthenticationv1.ExecCredentialStatus{Token: "t"})
	})
}
