// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// minValidity is for how long client-go does not ask again at the least. It asks for each request
// once the time it was told is over, and a clock that is fast, or a very short lifetime, must not
// make that a call to the hub each.
const minValidity = 3 * time.Second

// Credential is a token for a member cluster and what to know of it.
type Credential struct {
	// Token is the bearer token.
	Token string `datapolicy:"token"`
	// Expiration is when the token ceases to work, by the member's clock.
	Expiration time.Time
	// AskAgain is when to ask for the next one, while this one still works.
	AskAgain time.Time
	// Cluster is how to reach the member cluster, as the hub says.
	Cluster v1alpha1.Cluster
}

// ExecStatus returns the credential for client-go.
//
// Its expirationTimestamp is not the token's: it is when the next one is to be asked for. client-go
// runs the plugin again once that time is over and uses the token until then. With the token's own
// expiry, a request that is sent in the last moment, or with a slow clock, would meet a member that
// no longer takes the token; and nobody would ask at the hub while there is time left to wait for a
// hub that is down. It is never less than three seconds ahead.
func (c *Credential) ExecStatus(now time.Time) *clientauthenticationv1.ExecCredentialStatus {
	expiration := c.AskAgain
	if soonest := now.Add(minValidity); expiration.Before(soonest) {
		expiration = soonest
	}
	return &clientauthenticationv1.ExecCredentialStatus{
		Token:               c.Token,
		ExpirationTimestamp: &metav1.Time{Time: expiration.UTC()},
	}
}
