// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package credentialset knows what a ClusterCredentialSet makes of a cluster: which request for a token, and which
// Secret. The server, which decides, and the controller manager, which writes, both ask it.
package credentialset

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

// What templates of names may have in them.
const (
	// ClusterName stands for the name of the ClusterProfile.
	ClusterName = "{{.cluster.name}}"
	// SetName stands for the name of the set.
	SetName = "{{.set.name}}"
)

const (
	// nameHash is how many characters of a hash, of 5 bits each, tell the default ServiceAccounts of clusters apart.
	nameHash = 10
	// namePart bounds how much of the set's name is in one.
	namePart = 52
)

// Expand returns what a template of a name is for a cluster.
func Expand(template, set, cluster string) string {
	return strings.NewReplacer(ClusterName, cluster, SetName, set).Replace(template)
}

// ProfileNamespace returns the namespace of the ClusterProfiles that set selects.
func ProfileNamespace(set *v1alpha1.ClusterCredentialSet) string {
	return cmp.Or(set.Spec.Clusters.Namespace, set.Namespace)
}

// SecretName returns the namespace and name of the Secret for a cluster.
func SecretName(set *v1alpha1.ClusterCredentialSet, cluster string) types.NamespacedName {
	return types.NamespacedName{
		Namespace: cmp.Or(set.Spec.Secret.Namespace, set.Namespace),
		Name:      Expand(set.Spec.Secret.Name, set.Name, cluster),
	}
}

// ServiceAccountName returns the name of the ServiceAccount on the cluster of the ClusterProfile with name and uid.
func ServiceAccountName(set *v1alpha1.ClusterCredentialSet, cluster string, uid types.UID) string {
	if template := set.Spec.Template.ServiceAccountName; template != "" {
		return Expand(template, set.Name, cluster)
	}
	sum := sha256.Sum256([]byte(string(set.UID) + "/" + string(uid)))
	id := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:nameHash]
	return strings.TrimRight(set.Name[:min(len(set.Name), namePart)], "-.") + "-" + id
}

// Request returns what set asks for on the cluster of the ClusterProfile with name and uid.
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

// KeepsCredentials says whether set has a Secret for each cluster: not so where its consumer asks by a credential plugin.
func KeepsCredentials(set *v1alpha1.ClusterCredentialSet) bool {
	kueue := set.Spec.Consumer.MultiKueue
	return kueue == nil || kueue.ClusterSource != v1alpha1.MultiKueueClusterSourceClusterProfile
}

// Owner returns the reference that a grant of set has to it.
func Owner(set *v1alpha1.ClusterCredentialSet) metav1.OwnerReference {
	return *metav1.NewControllerRef(set, v1alpha1.SchemeGroupVersion.WithKind("ClusterCredentialSet"))
}
