// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"

	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/member"
)

const (
	// renewAt is the fraction of its lifetime after which a credential is renewed.
	renewAt = 0.8
	// spread is the maximum fraction of its lifetime by which a credential is renewed earlier.
	// Otherwise, members that joined together, or were all renewed after an outage of the
	// controller, would be renewed at the same time for ever.
	spread = 0.05
	// earliest is the fraction after which the first credentials are renewed.
	earliest = renewAt - spread
)

// credential has the claims of clusterpass's own token. They are not verified: the member verifies
// the token when it is used.
type credential struct {
	member.Validity
	// reference names the Secret with the token.
	reference member.SecretReference
	token     string
	// namespace and account are those of the ServiceAccount. secret is what the token is bound to.
	namespace, account string
	secret             member.TokenObject
}

// newCredential returns the credential for token, or nil if it is not one to renew: a token of a
// ServiceAccount that expires, and is bound to the Secret member.CredentialSecret.
func newCredential(reference member.SecretReference, token string) *credential {
	bound, err := member.ParseToken(token)
	if err != nil {
		return nil
	}
	c := &credential{
		Validity:  bound.Validity,
		reference: reference,
		token:     token,
		namespace: bound.Namespace,
		account:   bound.ServiceAccount.Name,
		secret:    bound.Secret,
	}
	if c.secret.Name != member.CredentialSecret || c.namespace == "" || c.account == "" || c.NotBefore.IsZero() || c.NotAfter.IsZero() {
		return nil
	}
	return c
}

// username returns the name of the token's user on the member.
func (c *credential) username() string { return serviceaccount.MakeUsername(c.namespace, c.account) }

// due returns when to renew the credential for the cluster of the profile with that UID.
func (c *credential) due(profile types.UID) time.Time {
	part := renewAt - spread*loop.Phase(profile)
	return c.NotBefore.Add(time.Duration(part * float64(c.NotAfter.Sub(c.NotBefore))))
}
