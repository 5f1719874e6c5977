// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// accountName bounds how much of a user's name is in a ServiceAccount's, and accountHash how much
	// of a hash, in characters.
	accountName = 40
	accountHash = 8
)

// Namer knows the name that the hub knows its client by.
type Namer interface {
	Username(ctx context.Context) (string, error)
}

// WithAccount returns r with a ServiceAccount that is named for the user of the hub, if r names
// none. The hub is asked only then, and the errors are those of Username.
func (r Request) WithAccount(ctx context.Context, hub Namer) (Request, error) {
	r.ServiceAccountNamespace = cmp.Or(r.ServiceAccountNamespace, metav1.NamespaceDefault)
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
// A ServiceAccount belongs to one grant, and a request for other rights changes that, which ends
// the tokens it gave out. So what is asked for is in the name, by a hash: contexts with other
// rights, or of other people, leave each other alone. How long a token lives is not in it.
//
// Several ClusterProfiles may lead to one member, one in each namespace that uses it. So the
// namespaces are in the name, too: that of the request, and that of the ClusterProfile where it is
// another. Two ClusterProfiles of one namespace that lead to one member have the same name. It must
// not change: users would leave the grants behind that they have by it.
func accountFor(user string, r Request) (string, error) {
	target := r.TargetClusterProfile.Namespace
	namespace := cmp.Or(r.Namespace, target)
	of := []any{user, namespace, r.ServiceAccountNamespace, r.ClusterRoles, r.Roles, r.Audiences}
	if target != "" && target != namespace {
		of = append(of, target)
	}
	encoded, err := json.Marshal(of)
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
