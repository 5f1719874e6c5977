// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/go-jose/go-jose.v2"
	"gopkg.in/go-jose/go-jose.v2/jwt"
)

// signed returns a token that is valid from issued until expiry.
func signed(t *testing.T, issued, expiry time.Time) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte("a key for tests that is 32 bytes")}, nil)
	require.NoError(t, err)
	token, err := jwt.Signed(signer).Claims(jwt.Claims{IssuedAt: jwt.NewNumericDate(issued), Expiry: jwt.NewNumericDate(expiry)}).CompactSerialize()
	require.NoError(t, err)
	return token
}

func TestTokensAreKeptUntilTheyAreDue(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		token string
		fresh bool
	}{
		"a new one":                       {signed(t, now, now.Add(time.Hour)), true},
		"one with a quarter of its life":  {signed(t, now.Add(-45*time.Minute), now.Add(15*time.Minute)), true},
		"one with a sixth of its life":    {signed(t, now.Add(-50*time.Minute), now.Add(10*time.Minute)), false},
		"one that has expired":            {signed(t, now.Add(-2*time.Hour), now.Add(-time.Hour)), false},
		"something that is not a token":   {"secret", false},
		"nothing":                         {"", false},
		"one that does not say its times": {signed(t, time.Time{}, time.Time{}), false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.fresh, isFresh(test.token, now)) })
	}
}
