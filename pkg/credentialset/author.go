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

// ShowCommand returns the command that shows what somebody who becomes the author of set would sign, and how to do that.
func ShowCommand(set *v1alpha1.ClusterCredentialSet) string {
	return fmt.Sprintf("kubectl clusterpass renew-author %s -n %s", set.Name, set.Namespace)
}

// RenewCommand returns the command by which somebody becomes the author of set as it is now. It fails for a set that was changed since, and for
// another one of that name.
func RenewCommand(set *v1alpha1.ClusterCredentialSet) string {
	return fmt.Sprintf("%s --generation=%d --uid=%s", ShowCommand(set), set.Generation, set.UID)
}

// IsUnrestricted returns whether an author is in system:masters, who may do everything on the hub, whatever its RBAC says.
func IsUnrestricted(author *v1alpha1.Author) bool {
	return author != nil && slices.Contains(author.Groups, user.SystemPrivilegedGroup)
}
