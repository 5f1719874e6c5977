// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/fake"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

const (
	day         = 24 * time.Hour
	serviceName = serverName + "." + SystemNamespace + ".svc"
)

// issuer is a CA.
type issuer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newIssuer(t *testing.T, left time.Duration) issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: testTime.Add(-365 * day), NotAfter: testTime.Add(left),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return issuer{certificate, key}
}

func (i issuer) bundle() []byte { return inPEM(i.certificate.Raw) }

func inPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// serving returns a certificate for a server.
func (i issuer) serving(t *testing.T, host string, left time.Duration) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: testTime.Add(-365 * day), NotAfter: testTime.Add(left), DNSNames: []string{host},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.certificate, i.key.Public(), i.key)
	require.NoError(t, err)
	return inPEM(der)
}

func TestCertificates(t *testing.T) {
	ca, old, dying, other := newIssuer(t, 1000*day), newIssuer(t, -day), newIssuer(t, 10*day), newIssuer(t, 1000*day)
	good := ca.serving(t, serviceName, 90*day)
	for name, test := range map[string]struct {
		bundle   []byte
		insecure bool
		// certificate is nil if there is no Secret.
		certificate []byte
		want        verdict
	}{
		"all good":                           {ca.bundle(), false, good, passes("the serving certificate is valid until 2026-07-30")},
		"the certificate is not in a Secret": {ca.bundle(), false, nil, passes("the CA of its caBundle is valid until")},
		"no CA":                              {nil, false, good, fails("it has no caBundle", "kubectl apply -k artifacts/deploy/overlays/")},
		"a CA that is none":                  {[]byte("CA"), false, good, fails("not PEM", "kubectl apply -k")},
		"anybody is trusted":                 {nil, true, good, fails("insecureSkipTLSVerify", "kubectl apply -k")},
		"the CA has expired": {old.bundle(), false, nil,
			fails("the CA of its caBundle has expired at 2026-04-30", "kubectl apply -k")},
		"the CA expires soon":                 {dying.bundle(), false, nil, warns("expires soon", "kubectl apply -k")},
		"the CA expires soon beside its heir": {append(dying.bundle(), ca.bundle()...), false, good, passes("")},
		"the certificate has expired": {ca.bundle(), false, ca.serving(t, serviceName, -day),
			fails("the serving certificate has expired", "describe certificate clusterpass-apiserver")},
		"the certificate expires soon": {ca.bundle(), false, ca.serving(t, serviceName, 3*day),
			warns("expires soon", "describe certificate")},
		"the certificate is another CA's": {ca.bundle(), false, other.serving(t, serviceName, 90*day),
			fails("does not trust the serving certificate", "trust the server's CA")},
		"the certificate is for another Service": {ca.bundle(), false, ca.serving(t, "example.com", 90*day), fails("valid for example.com", "")},
		"the certificate is none": {ca.bundle(), false, []byte("certificate"),
			fails("tls.crt is not PEM", "describe certificate")},
	} {
		t.Run(name, func(t *testing.T) {
			hub := fake.NewClientset()
			if test.certificate != nil {
				secret := &corev1.Secret{ObjectMeta: named(SystemNamespace, servingSecret)}
				secret.Data = map[string][]byte{corev1.TLSCertKey: test.certificate, corev1.TLSPrivateKeyKey: []byte("the key")}
				hub = fake.NewClientset(secret)
			}
			change := func(s *apiregistrationv1.APIService) {
				s.Spec.CABundle, s.Spec.InsecureSkipTLSVerify = test.bundle, test.insecure
			}
			e := newExamination(&Clients{Kubernetes: hub})
			e.hub.apiServices.value = map[string]*apiregistrationv1.APIService{}
			for _, name := range allServices() {
				e.hub.apiServices.value[name] = service(name, change)
			}
			found := examine(t, checkCertificates, e)
			test.want.expect(t, found)
			for _, f := range found {
				assert.NotContains(t, f.Message+f.Mend, "the key")
			}
		})
	}
}
