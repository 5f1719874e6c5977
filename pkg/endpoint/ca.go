// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"clusterpass.dev/pkg/words"
)

const (
	certificateBlock = "CERTIFICATE"
	// maxNote bounds what a note says of the words of a parser or of a bundle, in bytes.
	maxNote = 80
	// maxNotes bounds the notes of a bundle.
	maxNotes = 10
)

// Bundle is a bundle of CAs.
type Bundle struct {
	// Certificates are those that can be used; there is at least one.
	Certificates []*x509.Certificate
	// PEM has them and nothing else, so that every consumer can read it, also a strict one, and
	// no key that was in the same file gets any further.
	PEM []byte
	// Notes say what was left out, each in a sentence without an end.
	Notes []string
}

// ParseBundle returns the certificates of a PEM bundle that kubectl and other clients in Go would
// trust. As they do, it ignores what stands between the certificates, blocks of other kinds, and
// certificates that crypto/x509 cannot read. A bundle without any certificate that it can read is
// an error, which reads on from the name of a field.
func ParseBundle(data []byte) (*Bundle, error) {
	blocks, total := decode(data)
	bundle := &Bundle{}
	number := 0
	for _, block := range blocks {
		if block.Type != certificateBlock {
			bundle.note("a block %q is no certificate; it was ignored", bounded(block.Type))
			continue
		}
		number++
		certificate, err := x509.ParseCertificate(block.Bytes)
		if len(block.Headers) > 0 {
			err = errors.New("it has PEM headers")
		}
		if err != nil {
			bundle.note("certificate %d of %d is unreadable (%s); it was ignored", number, total, bounded(strings.TrimPrefix(err.Error(), "x509: ")))
			continue
		}
		bundle.Certificates = append(bundle.Certificates, certificate)
		bundle.PEM = append(bundle.PEM, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: certificate.Raw})...)
	}
	switch {
	case total == 0:
		return nil, errors.New("is not PEM certificates")
	case len(bundle.Certificates) == 0:
		return nil, fmt.Errorf("has no certificate that can be used: %s", strings.Join(bundle.Notes, "; "))
	}
	return bundle, nil
}

// CleanBundle returns the PEM of ParseBundle, and nothing where there is no bundle.
func CleanBundle(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, nil
	}
	bundle, err := ParseBundle(data)
	if err != nil {
		return nil, err
	}
	return bundle.PEM, nil
}

// Expired says which certificates have expired, each in a sentence without an end. Clients keep
// them: another one in the bundle may be what a server is verified by.
func (b *Bundle) Expired(now time.Time) []string {
	var notes []string
	for i, certificate := range b.Certificates {
		if now.After(certificate.NotAfter) && len(notes) < maxNotes {
			notes = append(notes,
				fmt.Sprintf("CA %d of %d expired at %s", i+1, len(b.Certificates), certificate.NotAfter.UTC().Format(time.RFC3339)))
		}
	}
	return notes
}

func (b *Bundle) note(format string, args ...any) {
	if len(b.Notes) < maxNotes {
		b.Notes = append(b.Notes, fmt.Sprintf(format, args...))
	}
}

// decode returns the blocks of PEM, and how many of them are certificates.
func decode(data []byte) (blocks []*pem.Block, certificates int) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return blocks, certificates
		}
		blocks = append(blocks, block)
		if block.Type == certificateBlock {
			certificates++
		}
	}
}

func bounded(text string) string { return words.Clean(text, maxNote) }
