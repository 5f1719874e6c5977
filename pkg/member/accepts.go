// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
)

// Reviews are what anybody may ask of a cluster about themselves.
type Reviews interface {
	AuthenticationV1() authenticationv1client.AuthenticationV1Interface
	AuthorizationV1() authorizationv1client.AuthorizationV1Interface
}

// nobodysToken is one that no authenticator accepts.
const nobodysToken = "clusterpass-nobodys-token"

// ErrNoRights says that a cluster takes a token for somebody, does not say for whom, and that the holder has not the
// right that the ServiceAccount has. Right after it was given that right, the cluster may not know of it yet.
var ErrNoRights = errors.New("the member does not say which user the token is for, and that user may not renew it")

// OtherUserError says that a cluster takes a token for somebody else.
type OtherUserError struct {
	// Username is the cluster's own word, and may be anything.
	Username string
}

// Error implements error.
func (e *OtherUserError) Error() string {
	return fmt.Sprintf("the member takes the token for %q", e.Username)
}

// CheckToken returns nil if a cluster takes the holder of token for a ServiceAccount that may make tokens for itself. as
// returns the clients that send a token. Errors of calls are returned as they are.
//
// A cluster says whom it takes somebody for in a SelfSubjectReview. That API came with Kubernetes 1.28, and may be
// forbidden where the ClusterRoleBinding system:basic-user was removed. A 403 of Kubernetes' own names the user, who
// is system:anonymous where something in between has dropped the token. Where neither names one, the right that only the
// account has decides: to make a token for itself. A token of nobody has to be refused then, lest a proxy answers for all.
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
		return errors.New("the member takes any token for somebody's: what is in front of it does not pass tokens on")
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

// forbiddenWords are how Kubernetes refuses something, whichever authoriser does.
var forbiddenWords = regexp.MustCompile(`is forbidden: User ("(?:[^"\\]|\\.)*") cannot `)

// forbiddenUser returns whom a 403 was for, if its message is Kubernetes' own.
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
