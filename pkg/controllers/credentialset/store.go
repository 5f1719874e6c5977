// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"cmp"
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/credentialset/format"
	"clusterpass.dev/pkg/member"
)

// clockSkew is how far the time at which a token was asked for may be from when the member says
// that it has issued it.
const clockSkew = 5 * time.Minute

// kept is the token that a Secret has.
type kept struct {
	token           string
	issued, expires time.Time
}

// kept returns the token that was written into a Secret, if it is still there and valid. The token
// is read rather than the annotations about its times, which may have been changed.
func (c *Controller) kept(secret *corev1.Secret) kept {
	if secret == nil || secret.Annotations[annotationToken] == "" {
		return kept{}
	}
	for _, token := range format.Tokens(secret.Data) {
		if token == "" || digest(token) != secret.Annotations[annotationToken] {
			continue
		}
		issued, expires := times(secret)
		if says := member.TokenValidity(token); !says.NotAfter.IsZero() && !says.NotBefore.IsZero() {
			expires = says.NotAfter
			if issued.Sub(says.NotBefore).Abs() > clockSkew {
				issued = says.NotBefore
			}
		}
		if issued.IsZero() || !expires.After(c.Clock.Now()) {
			return kept{}
		}
		return kept{token, issued, expires}
	}
	return kept{}
}

// rewrite writes a Secret again with the token that it has. The server says by a dry run, which
// mints nothing, how the cluster is reached, and whether the author may still have the token.
func (c *Controller) rewrite(ctx context.Context, want *wanted, current *corev1.Secret, has kept) (*corev1.Secret, error) {
	answer, err := c.ask(ctx, want, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return nil, err
	}
	expires := metav1.NewTime(has.expires)
	answer.Status.Token, answer.Status.ExpirationTimestamp = has.token, &expires
	answer.Status.GrantName = cmp.Or(answer.Status.GrantName, current.Annotations[annotationGrant])
	return c.store(ctx, want, current, answer, has.issued)
}

// store writes the Secret for an answer. What others change in it meanwhile stays, and causes no
// other token.
func (c *Controller) store(
	ctx context.Context, want *wanted, current *corev1.Secret, answer *multiclusterv1alpha1.AuthTokenRequest, issued time.Time,
) (made *corev1.Secret, err error) {
	next, err := want.secret(answer, issued)
	if err != nil {
		return nil, err
	}
	secrets := c.Hub.CoreV1().Secrets(next.Namespace)
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		// Not the first attempt: it has ended with a conflict.
		if made != nil {
			if current, err = c.current(ctx, want); err != nil {
				return err
			}
		}
		made = next
		if current == nil {
			made, err = secrets.Create(ctx, next, metav1.CreateOptions{})
			return err
		}
		merged := merge(current, next)
		if equality.Semantic.DeepEqual(merged, current) {
			made = current
			return nil
		}
		made, err = secrets.Update(ctx, merged, metav1.UpdateOptions{})
		return err
	})
	if apierrors.IsAlreadyExists(err) {
		return nil, refused(want.name(), "was made by somebody else just now")
	}
	return made, err
}
