// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"time"

	"gopkg.in/go-jose/go-jose.v2/jwt"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

// Validity is the period for which a credential is valid, as the credential itself states it. A
// time is zero where it is not known: nothing reads the credential of a plugin, and a token may be
// of another kind than those of ServiceAccounts.
type Validity struct {
	NotBefore, NotAfter time.Time
}

// Validity returns the validity of clusterpass's credential for the member. Where a kubeconfig has
// both a certificate and a token, it is the certificate's, because kube-apiserver checks that
// first.
func (c *Client) Validity() Validity {
	return c.validity
}

// validityOf reads the credential of config. It verifies nothing: the member does.
func validityOf(config *rest.Config) Validity {
	if len(config.CertData) == 0 {
		return TokenValidity(config.BearerToken)
	}
	certificates, err := certutil.ParseCertsPEM(config.CertData)
	if err != nil {
		return Validity{}
	}
	return Validity{NotBefore: certificates[0].NotBefore, NotAfter: certificates[0].NotAfter}
}

// TokenValidity returns the validity of a token. It does not verify the token.
func TokenValidity(token string) Validity {
	parsed, err := jwt.ParseSigned(token)
	if err != nil {
		return Validity{}
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return Validity{}
	}
	return claimedValidity(&claims)
}

func claimedValidity(claims *jwt.Claims) Validity {
	var validity Validity
	if claims.IssuedAt != nil {
		validity.NotBefore = claims.IssuedAt.Time()
	}
	if claims.Expiry != nil {
		validity.NotAfter = claims.Expiry.Time()
	}
	return validity
}

// SecretFor returns which Secret has the kubeconfig for profile's cluster. It returns false if
// config reaches the cluster in another way, or if profile names no Secret that may be read.
func SecretFor(config *configv1alpha1.AccessConfiguration, profile *inventoryv1alpha1.ClusterProfile) (SecretReference, bool) {
	providers, err := newProviders(config)
	if err != nil {
		return SecretReference{}, false
	}
	chosen, entry, err := choose(providers, profile)
	if err != nil {
		return SecretReference{}, false
	}
	provider, ok := chosen.provider.(*secretProvider)
	if !ok {
		return SecretReference{}, false
	}
	reference, err := provider.reference(entry)
	return reference, err == nil
}
