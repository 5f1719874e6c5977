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
	// renewAt is the part of its life after which a credential is renewed.
	renewAt = 0.8
	// spread is the part of its life by which some are renewed earlier, so that members which joined together, or which
	// were all renewed after the controller had stood still, do not come at the same moment for ever.
	spread = 0.05
	// earliest is the part after which the first of them are.
	earliest = renewAt - spread
)

// credential is a token of clusterpass for itself, as it says of itself. Nothing of that is verified here: the member
// does so when the token is used.
type credential struct {
	member.Validity
	// reference says where it is kept.
	reference member.SecretReference
	token     string
	// namespace and account are those of the ServiceAccount, secret is what the token is bound to.
	namespace, account string
	secret             member.TokenObject
}

// newCredential returns what token says of itself, nil if it is none that is renewed: one of a
// ServiceAccount, which ends, and is bound to the Secret member.CredentialSecret.
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

// username is who the member takes the holder of the token for.
func (c *credential) username() string { return serviceaccount.MakeUsername(c.namespace, c.account) }

// due is when to renew the credential for the cluster of the profile with a UID.
func (c *credential) due(profile types.UID) time.Time {
	part := renewAt - spread*loop.Phase(profile)
	return c.NotBefore.Add(time.Duration(part * float64(c.NotAfter.Sub(c.NotBefore))))
}
