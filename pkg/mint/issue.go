// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
)

// refreshAt is the fraction of a token's lifetime after which clients should request the next one.
const refreshAt = 0.8

// issuedToken is a token as the member issued it.
type issuedToken struct {
	token string
	// credentialID is the token's ID in the member's audit log.
	credentialID string
	// issued and expires are times of the member's clock.
	issued, expires time.Time
}

// lifetime returns the lifetime that the member has given the token.
func (t *issuedToken) lifetime() time.Duration { return t.expires.Sub(t.issued) }

// refreshAfter returns when clients should request the next token.
func (t *issuedToken) refreshAfter() time.Time {
	return t.issued.Add(time.Duration(float64(t.lifetime()) * refreshAt)).Truncate(time.Second)
}

// extendedSeconds is a lifetime that kube-apiserver uses to recognise Pods that do not renew their
// token. For such a request it issues a token that is valid for a year
// (WarnOnlyBoundTokenExpirationPeriod).
const extendedSeconds = 3607

// clamp returns the lifetime to request from the member, in seconds, and a warning if it is shorter
// than requested.
func (m *Minter) clamp(asked *int64) (seconds int64, warnings []string) {
	seconds = v1alpha1.DefaultExpirationSeconds
	if asked != nil {
		seconds = *asked
	}
	if seconds == extendedSeconds {
		seconds--
	}
	longest := int64(m.MaxExpiration / time.Second)
	if seconds <= longest {
		return seconds, nil
	}
	return longest, []string{fmt.Sprintf("requested expiration of %d seconds shortened to %d seconds, the maximum of this server",
		seconds, longest)}
}

// issue requests a token from the member, for exactly the ServiceAccount that was prepared, and
// bound to exactly that Secret. The member refuses if either has been deleted since, even if
// another object of the same name exists.
func (t *task) issue(
	ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant, bound grant.Bound, expiration int64,
) (issued *issuedToken, err error) {
	defer observePhase(phaseIssue, t.Clock, t.Clock.Now(), &err)
	request := &authenticationv1.TokenRequest{
		ObjectMeta: metav1.ObjectMeta{UID: bound.ServiceAccount},
		Spec: authenticationv1.TokenRequestSpec{
			Audiences:         g.Spec.Audiences,
			ExpirationSeconds: &expiration,
			BoundObjectRef: &authenticationv1.BoundObjectReference{
				APIVersion: "v1",
				Kind:       "Secret",
				Name:       grant.SecretName(g.UID),
				UID:        bound.Secret,
			},
		},
	}
	account := g.Spec.ServiceAccount
	answer, err := t.client.Kubernetes().CoreV1().ServiceAccounts(account.Namespace).
		CreateToken(ctx, account.Name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	token, err := t.checkToken(g, bound, answer, expiration)
	if err != nil {
		return nil, fmt.Errorf("the cluster answered with a token that was rejected: %w", err)
	}
	return token, nil
}

// checkToken checks the claims of a token. It does not verify the token, which the issuer has just
// sent over TLS. But the token must match the request: the ceiling of the grant must not be earlier
// than the end of any token, tokens must end with the grant's Secret, and clients must be able to
// renew a token before it expires.
func (t *task) checkToken(
	g *clusterpassv1alpha1.AuthTokenGrant, to grant.Bound, answer *authenticationv1.TokenRequest, expiration int64,
) (*issuedToken, error) {
	claims, err := member.ParseToken(answer.Status.Token)
	if err != nil {
		return nil, err
	}
	account, secret := g.Spec.ServiceAccount, member.TokenObject{Name: grant.SecretName(g.UID), UID: to.Secret}
	expires, latest := answer.Status.ExpirationTimestamp.Time, t.Clock.Now().Add(time.Duration(expiration)*time.Second+clockSkew)
	switch {
	case claims.Namespace != account.Namespace || claims.ServiceAccount != member.TokenObject{Name: account.Name, UID: to.ServiceAccount}:
		return nil, errors.New("it is for another ServiceAccount")
	case claims.Secret != secret:
		return nil, errors.New("it is not bound to the Secret of the grant")
	case claims.NotBefore.IsZero() || !claims.NotAfter.After(claims.NotBefore):
		return nil, errors.New("it does not say when it becomes valid and when it expires")
	case expires.After(latest) || claims.NotAfter.After(latest):
		return nil, fmt.Errorf("it is valid for longer than the %d seconds that were requested, "+
			"or the cluster's clock is more than %s ahead of the hub's", expiration, clockSkew)
	case !expires.After(claims.NotBefore):
		return nil, errors.New("it expires before it becomes valid")
	}
	issued := &issuedToken{token: answer.Status.Token, expires: expires, issued: claims.NotBefore}
	if claims.ID != "" {
		issued.credentialID = "JTI=" + claims.ID
	}
	return issued, nil
}

const (
	// usableTimeout bounds the wait for the member's authoriser, which usually learns of new
	// bindings within milliseconds.
	usableTimeout = 2 * time.Second
	usablePoll    = 10 * time.Millisecond
)

// waitUsable waits until the member's authoriser allows a new token to use its roles: otherwise its
// first use might be refused. It gives up after usableTimeout, because the token is valid, and
// other authorisers of the member may veto what RBAC allows.
//
// It does not test a token for other audiences, which the member's own API does not accept.
func (t *task) waitUsable(
	ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant, token *issuedToken, waiting []authorizationv1.SelfSubjectAccessReviewSpec,
) {
	if len(g.Spec.Audiences) > 0 {
		return
	}
	var err error
	defer observePhase(phaseSettle, t.Clock, t.Clock.Now(), &err)
	reviews := t.client.WithToken(token.token).AuthorizationV1().SelfSubjectAccessReviews()
	err = wait.PollUntilContextTimeout(ctx, usablePoll, usableTimeout, true, func(ctx context.Context) (bool, error) {
		for len(waiting) > 0 {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: waiting[0]}
			answer, err := reviews.Create(ctx, review, metav1.CreateOptions{})
			if err != nil || !answer.Status.Allowed {
				return false, nil //nolint:nilerr // retried: the token is as new as its bindings
			}
			waiting = waiting[1:]
		}
		return true, nil
	})
	if err != nil {
		klog.FromContext(ctx).Info("The member's authoriser does not yet allow what a new token is for",
			"cluster", t.client.Name(), "waiting", len(waiting))
	}
}
