// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package credentialset derives the request for a token and the Secret of a cluster from a
// ClusterCredentialSet. Both the server, which decides, and the controller manager, which writes
// the Secrets, use it.
package credentialset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/names"
)

// The variables of templates for names.
const (
	// ClusterName is the variable for the name of the ClusterProfile.
	ClusterName = "{{.cluster.name}}"
	// ClusterNamespace is the variable for the namespace of the ClusterProfile.
	ClusterNamespace = "{{.cluster.namespace}}"
	// ClusterDisplayName is the variable for spec.displayName of the ClusterProfile, or for its
	// name if that is empty. Its value may be any text, and is only allowed in names inside a
	// Secret.
	ClusterDisplayName = "{{.cluster.displayName}}"
	// SetName is the variable for the name of the set.
	SetName = "{{.set.name}}"
)

// namePart bounds the part of the set's name in the name of a ServiceAccount, in bytes.
const namePart = 52

// Expand returns the name that a template gives for a cluster of set.
func Expand(template string, set *v1alpha1.ClusterCredentialSet, cluster string) string {
	return strings.NewReplacer(ClusterName, cluster, ClusterNamespace, ProfileNamespace(set), SetName, set.Name).Replace(template)
}

// ExpandDisplay returns the name that a template gives for profile. The name need not be valid for
// an object.
func ExpandDisplay(template string, set *v1alpha1.ClusterCredentialSet, profile *inventoryv1alpha1.ClusterProfile) string {
	return strings.NewReplacer(
		ClusterName, profile.Name, ClusterNamespace, profile.Namespace, SetName, set.Name,
		ClusterDisplayName, cmp.Or(profile.Spec.DisplayName, profile.Name),
	).Replace(template)
}

// ProfileNamespace returns the namespace of the ClusterProfiles that set selects.
func ProfileNamespace(set *v1alpha1.ClusterCredentialSet) string {
	return cmp.Or(set.Spec.Clusters.Namespace, set.Namespace)
}

// SecretName returns the namespace and name of the Secret for a cluster. A name that is too long
// for a Secret ends in a hash.
func SecretName(set *v1alpha1.ClusterCredentialSet, cluster string) types.NamespacedName {
	return types.NamespacedName{
		Namespace: cmp.Or(set.Spec.Secret.Namespace, set.Namespace),
		Name:      names.Fit(Expand(set.Spec.Secret.Name, set, cluster)),
	}
}

// ServiceAccountName returns the name of the ServiceAccount on the cluster of the ClusterProfile
// with name and uid.
func ServiceAccountName(set *v1alpha1.ClusterCredentialSet, cluster string, uid types.UID) string {
	if template := set.Spec.Template.ServiceAccountName; template != "" {
		return names.Fit(Expand(template, set, cluster))
	}
	return names.Clip(set.Name, namePart) + "-" + names.Hash([]byte(string(set.UID)+"/"+string(uid)))
}

// Request returns the request of set for the ClusterProfile with name and uid.
func Request(set *v1alpha1.ClusterCredentialSet, cluster string, uid types.UID) *multiclusterv1alpha1.AuthTokenRequest {
	template := set.Spec.Template.DeepCopy()
	return &multiclusterv1alpha1.AuthTokenRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: set.Namespace, Name: set.Name},
		Spec: multiclusterv1alpha1.AuthTokenRequestSpec{
			TargetClusterProfile: multiclusterv1alpha1.ClusterProfileReference{
				APIGroup: multiclusterv1alpha1.GroupName, Kind: "ClusterProfile",
				Namespace: ProfileNamespace(set), Name: cluster, UID: uid,
			},
			ServiceAccountNamespace: template.ServiceAccountNamespace,
			ServiceAccountName:      ServiceAccountName(set, cluster, uid),
			ClusterRoles:            template.ClusterRoles,
			Roles:                   template.Roles,
			Audiences:               template.Audiences,
			ExpirationSeconds:       set.Spec.Rotation.ExpirationSeconds,
		},
	}
}

// ConfigName returns the name of the MultiKueueConfig and of the AdmissionCheck of a set whose
// consumer is MultiKueue.
func ConfigName(set *v1alpha1.ClusterCredentialSet) string {
	return cmp.Or(set.Spec.Consumer.MultiKueue.ConfigName, set.Name)
}

// KeepsCredentials returns whether set has a Secret for each cluster. It returns false if the
// consumer of set uses a credential plugin.
func KeepsCredentials(set *v1alpha1.ClusterCredentialSet) bool {
	kueue := set.Spec.Consumer.MultiKueue
	return kueue == nil || kueue.ClusterSource != v1alpha1.MultiKueueClusterSourceClusterProfile
}

// Selector selects the objects that set has made: its Secrets, and those that configure its
// consumer.
func Selector(set *v1alpha1.ClusterCredentialSet) labels.Selector {
	return labels.SelectorFromSet(labels.Set{v1alpha1.LabelCredentialSetUID: string(set.UID)})
}

// Owns returns whether set may overwrite and delete an object.
func Owns(set *v1alpha1.ClusterCredentialSet, object metav1.Object) bool {
	return object.GetLabels()[v1alpha1.LabelCredentialSetUID] == string(set.UID)
}

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
