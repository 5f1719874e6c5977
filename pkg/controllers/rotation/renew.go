// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/member"
)

// memberTimeout bounds all calls of one renewal to a member.
const memberTimeout = 30 * time.Second

// renew replaces a credential by its successor, and returns that. It returns nil if another user
// has replaced the credential meanwhile.
func (c *Controller) renew(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, old *credential) (*credential, error) {
	client, err := c.Members.For(ctx, profile)
	if err != nil {
		return nil, err
	}
	successor, err := c.request(ctx, client, old)
	if err != nil {
		return nil, err
	}
	stored, err := c.store(ctx, profile, successor, old.token)
	if err != nil {
		return nil, fmt.Errorf("the new one is not stored: %w", err)
	}
	if !stored {
		klog.FromContext(ctx).V(2).Info("Somebody else has replaced the credential for a member")
		return nil, nil //nolint:nilnil // no renewal is a valid result
	}
	return successor, nil
}

// request requests the successor of a credential from the member, and checks that the member
// accepts it as a token of the same account.
func (c *Controller) request(ctx context.Context, client *member.Client, old *credential) (*credential, error) {
	timeout := fmt.Errorf("cluster %s has not renewed the credential within %s", client.Name(), memberTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, memberTimeout, timeout)
	defer cancel()
	accounts := client.Kubernetes().CoreV1().ServiceAccounts(old.Namespace)
	answer, err := accounts.CreateToken(ctx, old.ServiceAccount.Name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: ptr.To(int64(c.Lifetime.Seconds())),
			BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: old.Secret.Name, UID: old.Secret.UID},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, client.Error(err, "renew the credential of clusterpass")
	}
	successor := newCredential(old.reference, answer.Status.Token)
	if err := c.check(successor, old); err != nil {
		return nil, fmt.Errorf("the member answered with a token that was rejected: %w", err)
	}
	as := func(token string) member.Reviews { return client.WithToken(token) }
	err = member.CheckToken(ctx, as, successor.token, successor.Namespace, successor.ServiceAccount.Name)
	if err == nil {
		return successor, nil
	}
	if _, other := errors.AsType[*member.OtherUserError](err); other {
		// The username is text from the member, which may contain the token.
		return nil, fmt.Errorf("the member does not accept the new credential as that of %s", old.username())
	}
	if apierrors.IsUnauthorized(err) {
		// client.Error would blame the old credential, which is still valid.
		return nil, errors.New("the member does not accept the new credential that it has issued")
	}
	return nil, client.Error(err, "authenticate the new credential of clusterpass")
}

// check returns an error for a successor that would be due at once, that never ends, or that could
// not be used.
func (c *Controller) check(successor, old *credential) error {
	switch {
	case successor == nil:
		return errors.New("it is no bearer token, is not bound to the requested Secret, or never expires, and could not be used or renewed again")
	case successor.username() != old.username() || successor.Secret != old.Secret:
		return errors.New("it is for another ServiceAccount, or bound to another Secret")
	case !c.Clock.Now().Before(successor.NotBefore.Add(time.Duration(earliest * float64(successor.NotAfter.Sub(successor.NotBefore))))):
		return fmt.Errorf("by the hub's clock it is already old: it is valid from %s until %s; compare the clocks",
			successor.NotBefore.UTC().Format(time.RFC3339), successor.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// store writes successor into the Secret, with one write, if the token there is still the old one.
// It returns whether it was.
func (c *Controller) store(
	ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, successor *credential, old string,
) (bool, error) {
	reference := successor.reference
	secrets := c.Hub.CoreV1().Secrets(reference.Namespace)
	stored := false
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		secret, err := secrets.Get(ctx, reference.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := member.CheckSecret(secret, profile); err != nil {
			return err
		}
		if member.KubeconfigToken(secret.Data[reference.Key], reference.Context) != old {
			return nil
		}
		secret.Data[reference.Key], err = member.WithKubeconfigToken(secret.Data[reference.Key], reference.Context, successor.token)
		if err != nil {
			return err
		}
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
		stored = err == nil
		return err
	})
	return stored, err
}

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

// credential is clusterpass's own token for a member, and its claims.
type credential struct {
	member.BoundToken
	token string
	// reference names the Secret with the token.
	reference member.SecretReference
}

// newCredential returns the credential for token, or nil if it is not one to renew: a token of a
// ServiceAccount that expires, and is bound to the Secret member.CredentialSecret.
func newCredential(reference member.SecretReference, token string) *credential {
	bound, err := member.ParseToken(token)
	if err != nil || bound.Secret.Name != member.CredentialSecret || bound.Namespace == "" || bound.ServiceAccount.Name == "" ||
		bound.NotBefore.IsZero() || bound.NotAfter.IsZero() {
		return nil
	}
	return &credential{BoundToken: *bound, token: token, reference: reference}
}

// username returns the name of the token's user on the member.
func (c *credential) username() string {
	return serviceaccount.MakeUsername(c.Namespace, c.ServiceAccount.Name)
}

// due returns when to renew the credential for the cluster of the profile with that UID.
func (c *credential) due(profile types.UID) time.Time {
	part := renewAt - spread*loop.Phase(profile)
	return c.NotBefore.Add(time.Duration(part * float64(c.NotAfter.Sub(c.NotBefore))))
}
