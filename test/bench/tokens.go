// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/member"
)

const (
	memberName = "bravelion"
	// homeNamespace is that of the profile and of the request on the hub, and of the ServiceAccount on
	// the member.
	homeNamespace  = "default"
	serviceAccount = "bench"
	memberRole     = "view"

	// tokenLifetime is asked for on both sides, in seconds.
	tokenLifetime int64 = 3600
	// firstMintTimeout bounds the wait for RBAC that was just written: a refusal is cached for 10 s.
	firstMintTimeout = time.Minute
)

// tokensPath is where tokens are requested from the hub.
var tokensPath = fmt.Sprintf("/apis/%s/namespaces/%s/authtokenrequests", v1alpha1.SchemeGroupVersion, homeNamespace)

// measureTokens compares a warm mint through the hub with what it cannot do without: the
// TokenRequest that clusterpass-apiserver sends to the member, sent there by the user directly.
func measureTokens(ctx context.Context, s settings, env *environment) ([]comparison, error) {
	s.progress("tokens: starting a hub, a member and clusterpass-apiserver")
	hub, member, err := env.startFleet(ctx)
	if err != nil {
		return nil, err
	}
	requester, err := newUser(ctx, hub, benchUser, requesterRules()...)
	if err != nil {
		return nil, err
	}
	minter, err := newUser(ctx, member, benchUser, rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, Verbs: []string{"create"},
	})
	if err != nil {
		return nil, err
	}
	mint := mintRequest()
	direct, err := directRequest(ctx, requester, mint)
	if err != nil {
		return nil, err
	}
	sides := [2]workload{
		steady(requester.repeating(mint)),
		steady(minter.repeating(direct)),
	}
	var comparisons []comparison
	for _, m := range []measurement{
		{name: "token", concurrency: 1, goal: goal{latencyAtMost: 2}},
		{name: "token", concurrency: parallel, goal: goal{rateAtLeast: 0.5}},
	} {
		s.progress("tokens: %s at concurrency %d", m.name, m.concurrency)
		m.sides = sides
		c, err := s.timed(m).run(ctx)
		if err != nil {
			return nil, err
		}
		comparisons = append(comparisons, c)
	}
	return comparisons, nil
}

// requesterRules are what the request needs on the hub, and no more.
func requesterRules() []rbacv1.PolicyRule {
	group := []string{v1alpha1.GroupName}
	name := []string{memberName}
	return []rbacv1.PolicyRule{
		{APIGroups: group, Resources: []string{"authtokenrequests"}, Verbs: []string{"create"}},
		{APIGroups: group, Resources: []string{"clusterprofiles/token"}, ResourceNames: name, Verbs: []string{"create"}},
		{
			APIGroups: group, Resources: []string{"clusterprofiles"}, ResourceNames: name,
			Verbs: []string{"bind:" + memberRole, "in:" + homeNamespace},
		},
	}
}

// mintRequest returns the request for a token by way of the hub.
func mintRequest() request {
	object := v1alpha1.AuthTokenRequest{Spec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    v1alpha1.ClusterProfileReference{Name: memberName},
		ServiceAccountName:      serviceAccount,
		ServiceAccountNamespace: homeNamespace,
		ClusterRoles:            []v1alpha1.ClusterRole{{Name: memberRole}},
		ExpirationSeconds:       ptr.To(tokenLifetime),
	}}
	object.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("AuthTokenRequest"))
	return post(tokensPath, object)
}

// directRequest returns the request for the same token to the member. It mints one through the hub,
// which makes the ServiceAccount and the Secret on the member, and binds the token to the same
// Secret.
func directRequest(ctx context.Context, requester *client, mint request) (request, error) {
	token, err := firstToken(ctx, requester, mint)
	if err != nil {
		return request{}, err
	}
	secret, err := boundSecret(token)
	if err != nil {
		return request{}, err
	}
	object := authenticationv1.TokenRequest{}
	object.Spec.ExpirationSeconds, object.Spec.BoundObjectRef = ptr.To(tokenLifetime), secret
	object.SetGroupVersionKind(authenticationv1.SchemeGroupVersion.WithKind("TokenRequest"))
	return post(fmt.Sprintf("/api/v1/namespaces/%s/serviceaccounts/%s/token", homeNamespace, serviceAccount), object), nil
}

// firstToken mints a token as soon as the hub lets the requester.
func firstToken(ctx context.Context, requester *client, mint request) (string, error) {
	var (
		answer  bytes.Buffer
		lastErr error
	)
	err := wait.PollUntilContextTimeout(ctx, time.Second, firstMintTimeout, true, func(ctx context.Context) (bool, error) {
		answer.Reset()
		lastErr = requester.send(ctx, mint, &answer)
		return lastErr == nil, nil
	})
	if err != nil {
		return "", fmt.Errorf("the first token: %w (%w)", err, lastErr)
	}
	var object v1alpha1.AuthTokenRequest
	if err := json.Unmarshal(answer.Bytes(), &object); err != nil {
		return "", errors.New("the first token: the answer is no AuthTokenRequest")
	}
	return object.Status.Token, nil
}

// boundSecret returns the Secret that a token is bound to.
func boundSecret(token string) (*authenticationv1.BoundObjectReference, error) {
	bound, err := member.ParseToken(token)
	if err != nil {
		return nil, fmt.Errorf("the token that the hub minted: %w", err)
	}
	secret := bound.Secret
	if secret.UID == "" {
		return nil, errors.New("the token that the hub minted is not bound to a Secret")
	}
	return &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: secret.Name, UID: secret.UID}, nil
}

// post returns the request that creates object.
func post(path string, object any) request {
	return request{method: http.MethodPost, path: path, contentType: contentJSON, body: encode(object)}
}
