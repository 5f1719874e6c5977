// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/go-jose/go-jose.v2/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
)

const (
	// MaxToken bounds a token of a member, in bytes. kube-apiserver's tokens have about a thousand.
	MaxToken = 16 << 10
	// maxTokenID bounds the ID of a token, in bytes. kube-apiserver's IDs are UUIDs.
	maxTokenID = 128
)

// BoundToken has the claims of a ServiceAccount's token. They are not verified: the member verifies
// the token when it is used.
type BoundToken struct {
	Validity
	// Namespace is the namespace of the ServiceAccount and of the Secret.
	Namespace string
	// ServiceAccount is the owner of the token. Secret is what the token is bound to; it is empty
	// if the token is not bound to a Secret.
	ServiceAccount, Secret TokenObject
	// ID is the token's ID in the member's audit log; it may be empty.
	ID string
}

// TokenObject is an object that the claims of a token name.
type TokenObject struct {
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
}

// ParseToken returns the claims of a token that a member has issued. An error says that the token
// cannot be used; its text has no part of the token.
func ParseToken(token string) (*BoundToken, error) {
	if len(token) > MaxToken || !IsToken(token) {
		return nil, fmt.Errorf("it is no bearer token, or has more than %d bytes", MaxToken)
	}
	parsed, err := jwt.ParseSigned(token)
	if err != nil {
		return nil, errors.New("it is no JSON Web Token")
	}
	var registered jwt.Claims
	var ours struct {
		Kubernetes struct {
			Namespace      string      `json:"namespace"`
			ServiceAccount TokenObject `json:"serviceaccount"`
			Secret         TokenObject `json:"secret"`
		} `json:"kubernetes.io"`
	}
	if err := parsed.UnsafeClaimsWithoutVerification(&registered, &ours); err != nil {
		return nil, errors.New("its claims can't be read")
	}
	if len(registered.ID) > maxTokenID || registered.ID != "" && !IsToken(registered.ID) {
		return nil, fmt.Errorf("its id has characters that are not printable, or more than %d bytes", maxTokenID)
	}
	return &BoundToken{
		Validity:  Validity{NotBefore: registered.IssuedAt.Time(), NotAfter: registered.Expiry.Time()},
		Namespace: ours.Kubernetes.Namespace, ServiceAccount: ours.Kubernetes.ServiceAccount, Secret: ours.Kubernetes.Secret, ID: registered.ID,
	}, nil
}

// IsToken returns whether token is not empty and has only characters that a bearer token can have.
func IsToken(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

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
	var claims jwt.Claims
	parsed, err := jwt.ParseSigned(token)
	if err != nil || parsed.UnsafeClaimsWithoutVerification(&claims) != nil {
		return Validity{}
	}
	return Validity{NotBefore: claims.IssuedAt.Time(), NotAfter: claims.Expiry.Time()}
}

// Reviews are the clients for the questions that every user may ask a cluster about itself.
type Reviews interface {
	AuthenticationV1() authenticationv1client.AuthenticationV1Interface
	AuthorizationV1() authorizationv1client.AuthorizationV1Interface
}

// nobodysToken is a token that no authenticator accepts.
const nobodysToken = "clusterpass-nobodys-token"

// ErrNoRights says that a cluster accepts a token but does not say for which user, and that this
// user lacks the right that the ServiceAccount has. Right after the account was given that right,
// the cluster may not know of it yet.
var ErrNoRights = errors.New("the member does not say which user the token is for, and that user may not renew it")

// OtherUserError says that a cluster accepts a token as that of another user.
type OtherUserError struct {
	// Username is what the cluster answered. It may be any text.
	Username string
}

// Error implements error.
func (e *OtherUserError) Error() string {
	return fmt.Sprintf("the member takes the token for that of user %q", e.Username)
}

// CheckToken returns nil if a cluster accepts token as that of a ServiceAccount that may create
// tokens for itself. as returns the clients that send a token. Errors of calls are returned
// unchanged.
//
// A cluster reports the user of a token in a SelfSubjectReview. That API came with Kubernetes 1.28,
// and may be forbidden where the ClusterRoleBinding system:basic-user was removed. Kubernetes' own
// 403 names the user; it is system:anonymous where a proxy in between has dropped the token. Where
// neither names a user, CheckToken asks for the right that only the account has: to create a token
// for itself. The cluster must then refuse a token of nobody, because a proxy may be answering for
// everybody.
func CheckToken(ctx context.Context, as func(token string) Reviews, token, namespace, account string) error {
	want := serviceaccount.MakeUsername(namespace, account)
	review, err := as(token).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err == nil {
		return checkUsername(review.Status.UserInfo.Username, want)
	}
	if user, ok := forbiddenUser(err); ok {
		return checkUsername(user, want)
	}
	if !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) && !apierrors.IsMethodNotSupported(err) {
		return err
	}
	allowed, err := mayRenew(ctx, as(token), namespace, account)
	if user, ok := forbiddenUser(err); ok {
		return checkUsername(user, want)
	}
	switch {
	case err != nil:
		return err
	case !allowed:
		return ErrNoRights
	}
	_, err = mayRenew(ctx, as(nobodysToken), namespace, account)
	switch {
	case err == nil:
		return errors.New("the member accepts any token: a proxy in front of it does not pass tokens on")
	case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err):
		return nil
	default:
		return err
	}
}

// mayRenew asks a cluster whether a client may do what renews the token of a ServiceAccount.
func mayRenew(ctx context.Context, reviews Reviews, namespace, account string) (bool, error) {
	review, err := reviews.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: "create", Resource: "serviceaccounts", Subresource: "token", Name: account,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

func checkUsername(user, want string) error {
	if user != want {
		return &OtherUserError{Username: user}
	}
	return nil
}

// forbiddenWords match the message of Kubernetes' own 403, with any authoriser.
var forbiddenWords = regexp.MustCompile(`is forbidden: User ("(?:[^"\\]|\\.)*") cannot `)

// forbiddenUser returns the user whom a 403 refuses, if its message is Kubernetes' own.
func forbiddenUser(err error) (string, bool) {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsForbidden(err) {
		return "", false
	}
	match := forbiddenWords.FindStringSubmatch(status.ErrStatus.Message)
	if match == nil {
		return "", false
	}
	user, err := strconv.Unquote(match[1])
	return user, err == nil
}
