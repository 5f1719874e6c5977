// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"crypto/x509"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"clusterpass.dev/pkg/endpoint"
	"clusterpass.dev/pkg/hub"
)

const (
	// servingSecret holds the serving certificate as it is deployed.
	servingSecret = hub.ServingSecret
	// caSoon is when a CA that is about to end is reported: its successor has to get everywhere.
	caSoon = 60 * 24 * time.Hour
	// certificateSoon is the like for the serving certificate. cert-manager renews it 30 days before.
	certificateSoon = 14 * 24 * time.Hour

	mendServing = "Renew it (run gen-certs.sh and apply, or see why cert-manager does not): kubectl -n " + SystemNamespace +
		" describe certificate " + serverName
)

// checkCertificates looks at what the hub trusts the server by, and how long.
func checkCertificates(ctx context.Context, e *examination, f *findings) {
	if f.unknown("APIServices", e.hub.apiServices.err) {
		return
	}
	var trusted *x509.CertPool
	for _, name := range e.expectedServices() {
		service, ok := e.hub.apiServices.value[name]
		if !ok || service.Spec.Service == nil {
			f.skip("APIService "+name, "there is none that leads to clusterpass, see apiservices")
			continue
		}
		if bundle := f.caBundle(service, e.now()); bundle != nil {
			trusted = bundle
		}
	}
	e.checkServing(ctx, f, trusted)
}

// caBundle looks at the CAs of an APIService and returns them, nil if there are none.
func (f *findings) caBundle(service *apiregistrationv1.APIService, now time.Time) *x509.CertPool {
	about := "APIService " + service.Name
	if service.Spec.InsecureSkipTLSVerify {
		f.fail(about, mendBundle, "insecureSkipTLSVerify is set: anything at the Service's address sees requests and answers them with tokens")
		return nil
	}
	if len(service.Spec.CABundle) == 0 {
		f.fail(about, mendBundle,
			"it has no caBundle: the hub trusts any server with a certificate from the CAs of its machine, and does not trust clusterpass")
		return nil
	}
	bundle, err := endpoint.ParseBundle(service.Spec.CABundle)
	if err != nil {
		f.fail(about, mendBundle, "its caBundle %v", err)
		return nil
	}
	// A CA that is being replaced is in the bundle beside its successor.
	last := slices.MaxFunc(bundle.Certificates, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	f.expiry(about, mendBundle, "the CA of its caBundle", now, last.NotAfter, caSoon)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(bundle.PEM)
	return trusted
}

// expiry reports when something ends; subject begins the sentence.
func (f *findings) expiry(about, mend, subject string, now, end time.Time, soon time.Duration) {
	date := end.UTC().Format(time.RFC3339)
	switch left := end.Sub(now); {
	case left <= 0:
		f.fail(about, mend, "%s has expired at %s", subject, date)
	case left < soon:
		f.warn(about, mend, "%s expires soon, at %s", subject, date)
	default:
		f.ok(about, "%s is valid until %s", subject, date)
	}
}

// checkServing looks at the serving certificate, where it is in the Secret that it is deployed in.
// The key beside it is not touched.
func (e *examination) checkServing(ctx context.Context, f *findings, trusted *x509.CertPool) {
	about := "Secret " + SystemNamespace + "/" + servingSecret
	secret, err := e.Kubernetes.CoreV1().Secrets(SystemNamespace).Get(ctx, servingSecret, metav1.GetOptions{})
	if !f.found(about, err, Skip, "", "there is none: the serving certificate is kept elsewhere") {
		return
	}
	chain, err := certutil.ParseCertsPEM(secret.Data[corev1.TLSCertKey])
	if err != nil {
		f.fail(about, mendServing, "its %s is not PEM certificates", corev1.TLSCertKey)
		return
	}
	f.expiry(about, mendServing, "the serving certificate", e.now(), chain[0].NotAfter, certificateSoon)
	if trusted == nil {
		return
	}
	if err := verifies(chain, trusted, e.now()); err != nil {
		f.fail(about, mendBundle, "the hub does not trust the serving certificate: %v", err)
	}
}

// verifies returns nil if trusted vouch for chain as kube-aggregator wants it. That a certificate
// has expired is no matter here.
func verifies(chain []*x509.Certificate, trusted *x509.CertPool, now time.Time) error {
	intermediates := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		intermediates.AddCert(certificate)
	}
	if now.After(chain[0].NotAfter) {
		return nil
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		DNSName:       serverName + "." + SystemNamespace + ".svc",
		Roots:         trusted,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}
