// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"encoding/base64"
	"testing"
	"time"

	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	certutil "k8s.io/client-go/util/cert"
)

func TestEndOf(t *testing.T) {
	certificate, _, err := certutil.GenerateSelfSignedCertKey("example.com", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := certutil.ParseCertsPEM(certificate)
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Now().Add(time.Hour).Truncate(time.Second)
	claims := func(text string) string { return "e30." + base64.RawURLEncoding.EncodeToString([]byte(text)) + ".x" }
	for name, test := range map[string]struct {
		token, certificate string
		want               time.Time
	}{
		"a JWT":                          {token: token(hour), want: hour},
		"a certificate":                  {certificate: string(certificate), want: parsed[0].NotAfter},
		"the earlier of both":            {token: token(hour), certificate: string(certificate), want: hour},
		"a token that is no JWT":         {token: "opaque"},
		"a JWT without an end":           {token: claims(`{"sub":"x"}`)},
		"a JWT that ends at no time":     {token: claims(`{"exp":1e300}`)},
		"a JWT that ends in words":       {token: claims(`{"exp":"never"}`)},
		"a JWT whose claims are no JSON": {token: claims(`{`)},
		"a certificate that is none":     {certificate: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
	} {
		t.Run(name, func(t *testing.T) {
			end, known := endOf(&clientauthenticationv1.ExecCredentialStatus{Token: test.token, ClientCertificateData: test.certificate})
			if !end.Equal(test.want) || known == test.want.IsZero() {
				t.Errorf("got %v, %v; want %v", end, known, test.want)
			}
		})
	}
}
