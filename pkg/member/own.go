// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// CredentialSecret is the name of the Secret on a member that the tokens of clusterpass's own
// ServiceAccount there are bound to, in the account's namespace. It has no data. Deleting it ends
// all these tokens. clusterpass renews a credential only if it is bound to this Secret.
const CredentialSecret = "clusterpass-credential"

// KubeconfigToken returns the inline token in a context of a kubeconfig, or "" if there is none.
// The empty context means the current one. It reads no file.
func KubeconfigToken(kubeconfig []byte, context string) string {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return ""
	}
	user := userOf(config, context)
	if user == nil {
		return ""
	}
	return user.Token
}

// WithKubeconfigToken returns kubeconfig with another token in a context, and otherwise unchanged.
// Its errors quote nothing of the kubeconfig.
func WithKubeconfigToken(kubeconfig []byte, context, token string) ([]byte, error) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, errors.New("it is not a kubeconfig")
	}
	user := userOf(config, context)
	if user == nil {
		return nil, errors.New("the kubeconfig has no user for the context")
	}
	user.Token = token
	written, err := clientcmd.Write(*config)
	if err != nil {
		return nil, errors.New("the kubeconfig can't be written")
	}
	return written, nil
}

// IsToken returns whether token is not empty and has only characters that a bearer token can have.
func IsToken(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

func userOf(config *clientcmdapi.Config, context string) *clientcmdapi.AuthInfo {
	if context == "" {
		context = config.CurrentContext
	}
	if config.Contexts[context] == nil {
		return nil
	}
	return config.AuthInfos[config.Contexts[context].AuthInfo]
}

// MemberUIDAnnotation is set by `kubectl clusterpass join` on the hub's objects for a member. Its
// value is the UID of the member's namespace kube-system.
const MemberUIDAnnotation = "clusterpass.dev/member-uid"

// MendCredential returns a sentence that says how to give clusterpass a new credential for the
// cluster of profile. For a joined cluster, it is a command for somebody who has a context for that
// cluster.
func MendCredential(profile *inventoryv1alpha1.ClusterProfile) string {
	if profile.Annotations[MemberUIDAnnotation] == "" {
		return "Put a new kubeconfig into the Secret that its access provider names"
	}
	return fmt.Sprintf("Run: kubectl clusterpass join %s --namespace=%s --credential-only --member-context=CONTEXT",
		profile.Name, profile.Namespace)
}
