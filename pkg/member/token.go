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
	// MaxToken bounds a token that a member issues, in bytes. Those of kube-apiserver have about a thousand.
	MaxToken = 16 << 10
	// maxTokenID bounds the id of a token, in bytes. Those of kube-apiserver are UUIDs.
	maxTokenID = 128
)

// BoundToken is a token of a ServiceAccount, as it says of itself. Nothing of that is verified: the member does so when
// the token is used.
type BoundToken struct {
	Validity
	// Namespace is that of the ServiceAccount and of the Secret.
	Namespace string
	// ServiceAccount is whose token it is, and Secret what it is bound to; empty if it is bound to none.
	ServiceAccount, Secret TokenObject
	// ID is how the member's audit log names the token; it may be empty.
	ID string
}

// TokenObject is an object that the claims of a token name.
type TokenObject struct {
	Name string    `json:"name"`
	UID  types.UID `json:"uid"`
}

// ParseToken returns what a token that a member has issued says of itself. Its error is that the token cannot be used, and
// has no part of it in its words.
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
		return nil, fmt.Errorf("its id has other than printable characters, or more than %d bytes", maxTokenID)
	}
	return &BoundToken{
		Validity: claimedValidity(&registered), Namespace: ours.Kubernetes.Namespace,
		ServiceAccount: ours.Kubernetes.ServiceAccount, Secret: ours.Kubernetes.Secret, ID: registered.ID,
	}, nil
}
