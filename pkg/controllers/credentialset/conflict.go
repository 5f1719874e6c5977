// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/words"
)

// shared are the ways in which two Secrets conflict in Argo CD, the worst first.
var shared = []struct{ annotation, reason, what, cure string }{
	{
		annotationServer, v1alpha1.CredentialSetReasonSameServer, "server",
		"Argo CD uses only one of them. Select the cluster in one set only, and only once",
	},
	{
		annotationName, v1alpha1.CredentialSetReasonSameName, "name",
		"Applications that refer to it do not find their cluster. " +
			"Give one of the sets a spec.secret.argoCD.name such as {{.cluster.namespace}}-{{.cluster.name}}",
	},
}

// conflict returns the condition of a set if one of its Secrets gives Argo CD the same server, or
// the same name, as another Secret of any set; nil if none does.
func (c *Controller) conflict(set *v1alpha1.ClusterCredentialSet) (*metav1.Condition, error) {
	if set.Spec.Secret.Format != v1alpha1.SecretFormatArgoCD {
		return nil, nil //nolint:nilnil // that there is none is an answer
	}
	all, err := c.secrets.all(set)
	if err != nil {
		return nil, err
	}
	all = slices.SortedFunc(slices.Values(all), func(a, b *corev1.Secret) int { return cmp.Compare(a.Name, b.Name) })
	for _, by := range shared {
		if message := c.conflictBy(set, all, by.annotation, by.what); message != "" {
			return &metav1.Condition{
				Type: v1alpha1.CredentialSetConflict, Status: metav1.ConditionTrue, ObservedGeneration: set.Generation,
				Reason: by.reason, Message: words.Message(message + ": " + by.cure),
			}, nil
		}
	}
	return nil, nil //nolint:nilnil // that there is none is an answer
}

// conflictBy returns which Secret of set, the first by its name, has the same annotation as which
// other; empty if none has.
func (c *Controller) conflictBy(set *v1alpha1.ClusterCredentialSet, all []*corev1.Secret, annotation, what string) string {
	by := map[string][]*corev1.Secret{}
	for _, secret := range all {
		if value := secret.Annotations[annotation]; value != "" {
			by[value] = append(by[value], secret)
		}
	}
	for _, secret := range all {
		same := by[secret.Annotations[annotation]]
		if !isOf(secret, set.UID) || len(same) < 2 {
			continue
		}
		other := same[0]
		if other == secret {
			other = same[1]
		}
		return fmt.Sprintf("Secrets %s and %s in namespace %s have the same %s %q for Argo CD",
			c.describe(set, secret), c.describe(set, other), secret.Namespace, what, secret.Annotations[annotation])
	}
	return ""
}

// describe names a Secret for the readers of a set. It names the Secret's set and ClusterProfile
// only if they are in the namespaces of that set: its readers may not be allowed to see others.
func (c *Controller) describe(to *v1alpha1.ClusterCredentialSet, secret *corev1.Secret) string {
	// Not everybody who reads this set may see the others, and what is in that namespace.
	name := "a Secret of another ClusterCredentialSet"
	c.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
		near := set.Namespace == to.Namespace && credentialset.ProfileNamespace(set) == credentialset.ProfileNamespace(to)
		if near && isOf(secret, set.UID) {
			name = fmt.Sprintf("%s (ClusterCredentialSet %s, ClusterProfile %s/%s)", secret.Name,
				cache.MetaObjectToName(set), credentialset.ProfileNamespace(set), secret.Annotations[annotationCluster])
		}
	})
	return name
}

// argoCDIdentity returns the server and the name that a Secret gives Argo CD; both are empty if it
// is not for Argo CD.
func argoCDIdentity(secret *corev1.Secret) [2]string {
	return [2]string{secret.Annotations[annotationServer], secret.Annotations[annotationName]}
}

// conflictsChanged enqueues the sets whose Secrets may conflict with one that was created, deleted,
// or changed what it gives Argo CD.
func (c *Controller) conflictsChanged(secret *corev1.Secret) {
	c.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
		if set.Spec.Secret.Format == v1alpha1.SecretFormatArgoCD && credentialset.SecretName(set, "").Namespace == secret.Namespace {
			c.setQueue.AddAfter(cache.MetaObjectToName(set), statusDelay)
		}
	})
}
