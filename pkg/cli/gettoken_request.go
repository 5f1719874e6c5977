// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/credential"
)

const (
	// program is the name of the kubectl plugin's binary.
	program = "kubectl-clusterpass"
	// defaultClusterRole may read all but Secrets.
	defaultClusterRole = "view"
	// accountName bounds how much of a user's name is in a ServiceAccount's, and accountHash how much of a hash, in characters.
	accountName = 40
	accountHash = 8
)

// errNotHub is that of a context which leads to a member cluster by this very program, which would run itself without end.
var errNotHub = errors.New("this context is that of a member cluster, made by kubectl clusterpass kubeconfig: name the hub's with --context")

// isGetToken returns whether a credential plugin is our get-token, as contexts run it.
func isGetToken(plugin *clientcmdapi.ExecConfig) bool {
	return plugin != nil && len(plugin.Args) > 0 && plugin.Args[0] == getTokenName &&
		slices.ContainsFunc(plugin.Args, func(arg string) bool { return strings.HasPrefix(arg, "--"+flagHubKubeconfig+"=") })
}

// userNamer knows the name that the hub knows its client by.
type userNamer interface {
	Username(ctx context.Context) (string, error)
}

// newRequest returns what flags ask for of a cluster, with the defaults: ClusterRole view where no role is named, and a ServiceAccount
// named for the user.
func newRequest(ctx context.Context, hub userNamer, namespace, cluster string, flags *credential.RequestFlags) (credential.Request, error) {
	r := credential.Request{Namespace: namespace}
	r.TargetClusterProfile = v1alpha1.ClusterProfileReference{Namespace: namespace, Name: cluster}
	if !flags.NamesRoles() {
		r.ClusterRoles = []v1alpha1.ClusterRole{{Name: defaultClusterRole}}
	}
	if err := flags.Apply(&r); err != nil {
		return r, err
	}
	if r.ServiceAccountNamespace == "" {
		r.ServiceAccountNamespace = metav1.NamespaceDefault
	}
	if r.ServiceAccountName != "" {
		return r, nil
	}
	user, err := hub.Username(ctx)
	if err != nil {
		return r, err
	}
	r.ServiceAccountName, err = accountFor(user, r)
	return r, err
}

// accountFor returns the name of the ServiceAccount that is user's for requests like r.
//
// A ServiceAccount belongs to one grant, and a request for other rights changes that, which ends the tokens it gave out. So what is asked for is in
// the name, by a hash: contexts with other rights, or of other people, leave each other alone. How
// long a token lives and which cluster it is for is not in it.
func accountFor(user string, r credential.Request) (string, error) {
	encoded, err := json.Marshal([]any{user, r.Namespace, r.ServiceAccountNamespace, r.ClusterRoles, r.Roles, r.Audiences})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(encoded)
	name := strings.Map(func(c rune) rune {
		if (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') {
			return c
		}
		return '-'
	}, strings.ToLower(user))
	name = strings.Trim(name[:min(len(name), accountName)], "-")
	return strings.Join([]string{"clusterpass", name, hex.EncodeToString(sum[:])[:accountHash]}, "-"), nil
}
