// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/client-go/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

func TestValidityOf(t *testing.T) {
	issued, expires := time.Unix(1_700_000_000, 0), time.Unix(1_700_003_600, 0)
	token := func(claims string) string {
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature"))
	}
	ca := newAuthority(t, "ca")
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	certificate, _ := ca.issue(t, "clusterpass", until)
	tests := map[string]struct {
		token       string
		certificate []byte
		from, until time.Time
	}{
		"a token says when it becomes valid":          {token: token(fmt.Sprintf(`{"iat":%d,"exp":%d}`, issued.Unix(), expires.Unix())), from: issued, until: expires},
		"one of the old kind never ends":              {token: token(`{"sub":"system:serviceaccount:a:b"}`)},
		"one that is no JWT says nothing":             {token: "abcdef.0123456789abcdef"},
		"one with other claims than a JWT's neither":  {token: token(`{"exp":"soon"}`)},
		"a certificate says until when":               {certificate: certificate, until: until},
		"a certificate is looked at before the token": {certificate: certificate, token: token(`{"exp":1}`), until: until},
		"what is no certificate says nothing":         {certificate: []byte("certificate")},
		"a plugin's credential is not known":          {},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := validityOf(&rest.Config{BearerToken: test.token, TLSClientConfig: rest.TLSClientConfig{CertData: test.certificate}})
			assert.True(t, test.until.Equal(got.NotAfter), "until %s", got.NotAfter)
			if test.certificate == nil {
				assert.True(t, test.from.Equal(got.NotBefore), "from %s", got.NotBefore)
			}
		})
	}
}

func TestSecretFor(t *testing.T) {
	tests := map[string]struct {
		profile *inventoryv1alpha1.ClusterProfile
		want    SecretReference
		ok      bool
	}{
		"is the one that it names":                {profileFor(`{"name":"bravelion","namespace":"clusterpass-system"}`), SecretReference{Namespace: "clusterpass-system", Name: "bravelion", Key: "kubeconfig"}, true},
		"is in the first namespace by default":    {profileFor(`{"name":"bravelion"}`), SecretReference{Namespace: "clusterpass-system", Name: "bravelion", Key: "kubeconfig"}, true},
		"is none in a namespace that is not ours": {profileFor(`{"name":"bravelion","namespace":"kube-system"}`), SecretReference{}, false},
		"is none where no provider is known":      {&inventoryv1alpha1.ClusterProfile{}, SecretReference{}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := SecretFor(DefaultConfig(), test.profile)
			assert.Equal(t, test.ok, ok)
			assert.Equal(t, test.want, got)
		})
	}
}
