// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// authority returns a CA, in PEM, that is valid until an hour after from.
func authority(t *testing.T, from time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x7f), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: from, NotAfter: from.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// negative returns a CA whose serial number is below zero: OpenSSL takes it, and Go does not.
func negative(t *testing.T) []byte {
	t.Helper()
	block, _ := pem.Decode(authority(t, time.Now()))
	require.Equal(t, 1, bytes.Count(block.Bytes, []byte{2, 1, 0x7f}))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: bytes.Replace(block.Bytes, []byte{2, 1, 0x7f}, []byte{2, 1, 0xff}, 1)})
}

func TestParseBundle(t *testing.T) {
	now := time.Now()
	good, expired, refused := authority(t, now.Add(-time.Minute)), authority(t, now.Add(-2*time.Hour)), negative(t)
	key := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("a secret")})
	block, _ := pem.Decode(good)
	headers := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"a": "b"}, Bytes: block.Bytes})
	for name, test := range map[string]struct {
		data, want []byte
		notes      []string
		expired    int
		wantErr    string
	}{
		"one certificate stays as it is": {data: good, want: good},
		"a certificate with a negative serial number is left out": {
			data: slices.Concat(good, refused, expired), want: slices.Concat(good, expired), expired: 1,
			notes: []string{"certificate 2 of 3 is unreadable (negative serial number); it was ignored"},
		},
		"comments are left out": {
			data: slices.Concat([]byte("# the CA\nSubject: x\n"), good, []byte("# its end\n")), want: good,
		},
		"lines of Windows are taken":                {data: bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")), want: good},
		"a certificate without its last line break": {data: bytes.TrimSpace(good), want: good},
		"a private key is left out": {
			data: slices.Concat(key, good), want: good, notes: []string{`a block "EC PRIVATE KEY" is no certificate; it was ignored`},
		},
		"an expired one is kept": {data: expired, want: expired, expired: 1},
		"one with headers is left out": {
			data: slices.Concat(headers, good), want: good,
			notes: []string{"certificate 1 of 2 is unreadable (it has PEM headers); it was ignored"},
		},
		"none that can be used": {
			data: refused, wantErr: "has no certificate that can be used: certificate 1 of 1 is unreadable (negative serial number)",
		},
		"a key alone":    {data: key, wantErr: "is not PEM certificates"},
		"nothing":        {data: nil, wantErr: "is not PEM certificates"},
		"something else": {data: []byte("a secret"), wantErr: "is not PEM certificates"},
	} {
		t.Run(name, func(t *testing.T) {
			bundle, err := ParseBundle(test.data)
			// As kubectl has it.
			assert.Equal(t, err == nil, x509.NewCertPool().AppendCertsFromPEM(test.data))
			if test.wantErr != "" {
				require.ErrorContains(t, err, test.wantErr)
				assert.NotContains(t, err.Error(), "a secret")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, string(test.want), string(bundle.PEM))
			assert.Equal(t, test.notes, bundle.Notes)
			assert.Len(t, bundle.Expired(now), test.expired)
			clean, err := CleanBundle(bundle.PEM)
			require.NoError(t, err)
			assert.Equal(t, bundle.PEM, clean, "it stays as it is")
		})
	}
}

func TestParseBundle_NotesAreBounded(t *testing.T) {
	kind := strings.Repeat("K", 1000)
	data := slices.Concat(bytes.Repeat(pem.EncodeToMemory(&pem.Block{Type: kind}), 1000), authority(t, time.Now()))
	bundle, err := ParseBundle(data)
	require.NoError(t, err)
	require.Len(t, bundle.Notes, maxNotes)
	assert.Less(t, len(bundle.Notes[0]), 200)
}
