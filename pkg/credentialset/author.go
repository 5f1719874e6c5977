// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// AuthorSince returns since when the author of set is its author. For one that was noted by a release which did not note that, it is
// since the set was made.
func AuthorSince(set *v1alpha1.ClusterCredentialSet) time.Time {
	if author := set.Spec.Author; author != nil && author.Since != nil {
		return author.Since.Time
	}
	return set.CreationTimestamp.Time
}

// AuthorEnd returns when the author of set is too old for renewals, with an age of at most maxAge; zero for never, as for 0, and for
// ServiceAccounts, which are nobody who leaves: what is bound to them ends with its bindings.
func AuthorEnd(set *v1alpha1.ClusterCredentialSet, maxAge time.Duration) time.Time {
	if maxAge == 0 || set.Spec.Author == nil {
		return time.Time{}
	}
	if _, _, err := serviceaccount.SplitUsername(set.Spec.Author.Username); err == nil {
		return time.Time{}
	}
	return AuthorSince(set).Add(maxAge)
}

// RenewCommand returns the command by which somebody becomes the author of set as it is now.
func RenewCommand(set *v1alpha1.ClusterCredentialSet) string {
	return fmt.Sprintf("kubectl clusterpass renew-author %s -n %s --generation=%d", set.Name, set.Namespace, set.Generation)
}

// IsUnrestricted returns whether an author is in system:masters, who may do everything on the hub, whatever its RBAC says.
func IsUnrestricted(author *v1alpha1.Author) bool {
	return author != nil && slices.Contains(author.Groups, user.SystemPrivilegedGroup)
}
