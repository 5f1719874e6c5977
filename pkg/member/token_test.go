// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unsigned returns a token with these claims and a signature of nobody.
func unsigned(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature"))
}

func TestParseToken(t *testing.T) {
	const bound = `{"iat":1777896000,"exp":1777899600,"jti":"an-id","kubernetes.io":{"namespace":"default",` +
		`"serviceaccount":{"name":"work","uid":"1"},"secret":{"name":"binding","uid":"2"}}}`
	got, err := ParseToken(unsigned(bound))
	require.NoError(t, err)
	got.NotBefore, got.NotAfter = got.NotBefore.UTC(), got.NotAfter.UTC()
	assert.Equal(t, &BoundToken{
		Validity:  Validity{NotBefore: time.Unix(1777896000, 0).UTC(), NotAfter: time.Unix(1777899600, 0).UTC()},
		Namespace: "default", ServiceAccount: TokenObject{"work", "1"}, Secret: TokenObject{"binding", "2"}, ID: "an-id",
	}, got)

	const secret = "kept-to-itself"
	for name, test := range map[string]struct{ token, want string }{
		"nothing":                {"", "it is no bearer token"},
		"a line break":           {unsigned(bound) + "\nX-Header: " + secret, "it is no bearer token"},
		"a long token":           {unsigned(`{"a":"` + secret + strings.Repeat("a", MaxToken) + `"}`), "more than 16384 bytes"},
		"no JSON Web Token":      {secret, "it is no JSON Web Token"},
		"claims that are a list": {unsigned(`["` + secret + `"]`), "its claims can't be read"},
		"a long id":              {unsigned(`{"jti":"` + secret + strings.Repeat("a", maxTokenID) + `"}`), "its id has"},
		"an id of two lines":     {unsigned(`{"jti":"` + secret + `\nb"}`), "its id has"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseToken(test.token)
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), secret)
		})
	}
}
