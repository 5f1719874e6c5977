// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// leafLifetime is that of client-go's self-signed authorities: the files of a local fleet are made
// once and thrown away with it, so that no certificate in them expires before the authority, whose
// key lies next to it.
const leafLifetime = 10 * 365 * 24 * time.Hour

// authority is a certificate authority kept in a directory as NAME.crt and NAME.key.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// loadOrCreateAuthority returns the authority kept under name in dir, made now if there is none.
// The directory exists. commonName is what its certificate says of itself.
func loadOrCreateAuthority(dir, name, commonName string) (*authority, error) {
	key, err := loadOrCreateKey(filepath.Join(dir, name+".key"), newECDSAKey)
	if err != nil {
		return nil, err
	}
	certFile := filepath.Join(dir, name+".crt")
	certs, err := cert.CertsFromFile(certFile)
	if err == nil {
		return &authority{certificate: certs[0], key: key}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	certificate, err := cert.NewSelfSignedCACert(cert.Config{CommonName: commonName}, key)
	if err != nil {
		return nil, fmt.Errorf("creating authority %s: %w", commonName, err)
	}
	return &authority{certificate: certificate, key: key}, writeIfChanged(certFile, encodeCert(certificate.Raw))
}

// bundle returns the PEM of the authority's certificate.
func (a *authority) bundle() []byte {
	return encodeCert(a.certificate.Raw)
}

// leaf says what a certificate is for: with hosts it serves them, with a user it proves to be that
// user.
type leaf struct {
	user   string
	groups []string
	hosts  []string
}

// loadOrIssue keeps a certificate for l in dir as NAME.crt and NAME.key; one that is there is left
// alone.
func (a *authority) loadOrIssue(dir, name string, l leaf) error {
	certFile, keyFile := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	if ok, err := cert.CanReadCertAndKey(certFile, keyFile); ok && err == nil {
		return nil
	}
	certPEM, keyPEM, err := a.issue(l)
	if err != nil {
		return fmt.Errorf("issuing certificate %s: %w", name, err)
	}
	if err := writeIfChanged(keyFile, keyPEM); err != nil {
		return err
	}
	return writeIfChanged(certFile, certPEM)
}

// issue returns a new certificate and its key, both as PEM.
func (a *authority) issue(l leaf) (certPEM, keyPEM []byte, err error) {
	key, err := newECDSAKey()
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: l.user, Organization: l.groups},
		NotBefore:    a.certificate.NotBefore,
		NotAfter:     time.Now().Add(leafLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	if l.user != "" {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if len(l.hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range l.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = keyutil.MarshalPrivateKeyToPEM(key)
	return encodeCert(der), keyPEM, err
}

// loadOrCreateKey returns the private key kept in a file, made by create if there is none.
func loadOrCreateKey(path string, create func() (crypto.Signer, error)) (crypto.Signer, error) {
	loaded, err := keyutil.PrivateKeyFromFile(path)
	if err == nil {
		key, ok := loaded.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("%s is not a signing key", path)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := create()
	if err != nil {
		return nil, fmt.Errorf("creating key %s: %w", filepath.Base(path), err)
	}
	data, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, err
	}
	return key, writeIfChanged(path, data)
}

func newECDSAKey() (crypto.Signer, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// newRSAKey makes service-account keys as kubeadm makes them, so that the price of signing a token
// is a usual one.
func newRSAKey() (crypto.Signer, error) {
	return rsa.GenerateKey(rand.Reader, 2048)
}

// writeIfChanged replaces the file at once, readable by its owner only, unless it holds data
// already.
func writeIfChanged(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: cert.CertificateBlockType, Bytes: der})
}
