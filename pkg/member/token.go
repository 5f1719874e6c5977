// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"errors"
	"fmt"

	"gopkg.in/go-jose/go-jose.v2/jwt"
	"k8s.io/apimachinery/pkg/types"
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
		Validity: claimedValidity(&registered), Namespace: ours.Kubernetes.Namespace,
		ServiceAccount: ours.Kubernetes.ServiceAccount, Secret: ours.Kubernetes.Secret, ID: registered.ID,
	}, nil
}
