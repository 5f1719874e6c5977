// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"time"

	"gopkg.in/go-jose/go-jose.v2/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
)

// refreshAt is the part of a token's lifetime after which to ask for the next.
const refreshAt = 0.8

// issuedToken is a token as the member issued it.
type issuedToken struct {
	token string
	// credentialID is how the member's audit log names the token.
	credentialID string
	// issued and expires are by the member's clock.
	issued, expires time.Time
}

// lifetime returns how long the member lets the token live.
func (t *issuedToken) lifetime() time.Duration { return t.expires.Sub(t.issued) }

// refreshAfter returns when to ask for the next token.
func (t *issuedToken) refreshAfter() time.Time {
	return t.issued.Add(time.Duration(float64(t.lifetime()) * refreshAt)).Truncate(time.Second)
}

// issue has the member issue a token of exactly the ServiceAccount that was
// prepared, bound to exactly that Secret: where either has been deleted since,
// even if one of the same name has taken its place, the member refuses.
func (t *task) issue(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant, ready verified, expiration int64) (issued *issuedToken, err error) {
	defer observePhase(phaseIssue, t.Clock, t.Clock.Now(), &err)
	request := &authenticationv1.TokenRequest{
		ObjectMeta: metav1.ObjectMeta{UID: ready.serviceAccount},
		Spec: authenticationv1.TokenRequestSpec{
			Audiences:         g.Spec.Audiences,
			ExpirationSeconds: &expiration,
			BoundObjectRef: &authenticationv1.BoundObjectReference{
				APIVersion: "v1",
				Kind:       "Secret",
				Name:       grant.SecretName(g.UID),
				UID:        ready.secret,
			},
		},
	}
	account := g.Spec.ServiceAccount
	answer, err := t.client.Kubernetes().CoreV1().ServiceAccounts(account.Namespace).
		CreateToken(ctx, account.Name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return parseToken(answer.Status.Token, answer.Status.ExpirationTimestamp.Time)
}

// parseToken reads the claims of a token that its issuer has just sent us over TLS;
// there is nothing to verify them against, and nothing is decided by them.
func parseToken(token string, expires time.Time) (*issuedToken, error) {
	parsed, err := jwt.ParseSigned(token)
	if err != nil {
		// The parser's words could hold a part of the token.
		return nil, errors.New("the member's answer holds no JSON Web Token")
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return nil, errors.New("the claims of the member's token can't be read")
	}
	issued := &issuedToken{token: token, expires: expires, issued: claims.IssuedAt.Time()}
	if claims.ID != "" {
		issued.credentialID = "JTI=" + claims.ID
	}
	return issued, nil
}
