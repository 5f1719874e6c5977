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

// AuthorSince returns when the author of set was recorded. If an earlier release recorded no time,
// it returns the creation time of set.
func AuthorSince(set *v1alpha1.ClusterCredentialSet) time.Time {
	if author := set.Spec.Author; author != nil && author.Since != nil {
		return author.Since.Time
	}
	return set.CreationTimestamp.Time
}

// AuthorEnd returns when the author of set reaches maxAge, and the credentials are no longer
// renewed. It returns zero for never: if maxAge is 0, and for ServiceAccounts, which do not leave.
// The rights of a ServiceAccount end with its bindings.
func AuthorEnd(set *v1alpha1.ClusterCredentialSet, maxAge time.Duration) time.Time {
	if maxAge == 0 || set.Spec.Author == nil {
		return time.Time{}
	}
	if _, _, err := serviceaccount.SplitUsername(set.Spec.Author.Username); err == nil {
		return time.Time{}
	}
	return AuthorSince(set).Add(maxAge)
}

// ShowCommand returns a command that shows what a new author of set would take responsibility for,
// and how to become the author.
func ShowCommand(set *v1alpha1.ClusterCredentialSet) string {
	return fmt.Sprintf("kubectl clusterpass renew-author %s -n %s", set.Name, set.Namespace)
}

// RenewCommand returns the command that makes its user the author of set. The command fails if set
// has changed since, or if another set has its name.
func RenewCommand(set *v1alpha1.ClusterCredentialSet) string {
	return fmt.Sprintf("%s --generation=%d --uid=%s", ShowCommand(set), set.Generation, set.UID)
}

// IsUnrestricted returns whether an author is in the group system:masters. Its users may do
// everything on the hub, regardless of RBAC.
func IsUnrestricted(author *v1alpha1.Author) bool {
	return author != nil && slices.Contains(author.Groups, user.SystemPrivilegedGroup)
}
