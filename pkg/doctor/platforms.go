// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
)

// bindImport says how the rights are given that artifacts/deploy/rbac does not have.
const bindImport = "Bind the roles of artifacts/deploy/import as docs/import.md says: kubectl apply -k artifacts/deploy/import"

// platformClusters are the Clusters of Karmada by name.
type platformClusters map[string]*member.KarmadaCluster

// KarmadaCluster implements member.KarmadaClusters.
func (c platformClusters) KarmadaCluster(name string) (*member.KarmadaCluster, error) {
	cluster, ok := c[name]
	if !ok {
		return nil, apierrors.NewNotFound(member.KarmadaClusterResource.GroupResource(), name)
	}
	return cluster, nil
}

// listPlatforms adds the Secrets of other platforms to secrets, and returns Karmada's Clusters.
func (e *examination) listPlatforms(ctx context.Context, secrets memberSecrets) (platformClusters, error) {
	for _, of := range member.PlatformSecretsOf(e.Access) {
		list, err := e.Kubernetes.CoreV1().Secrets(of.Namespace).List(ctx, metav1.ListOptions{LabelSelector: of.Selector})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			secret := &list.Items[i]
			name := types.NamespacedName{Namespace: secret.Namespace, Name: secret.Name}
			if _, ok := secrets[name]; !ok {
				secret.Annotations = nil // it names no profile: it has no label of ours
				secrets[name] = secret
			}
		}
	}
	clusters := platformClusters{}
	if !e.readsKarmada() {
		return clusters, nil
	}
	// The types of Karmada are not known here.
	resource := member.KarmadaClusterResource
	body, err := e.Kubernetes.Discovery().RESTClient().Get().AbsPath("/apis", resource.Group, resource.Version, resource.Resource).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	list := &unstructured.UnstructuredList{}
	if err := list.UnmarshalJSON(body); err != nil {
		return nil, fmt.Errorf("the Clusters of Karmada: %w", err)
	}
	for i := range list.Items {
		clusters[list.Items[i].GetName()] = member.NewKarmadaCluster(&list.Items[i])
	}
	return clusters, nil
}

func (e *examination) readsKarmada() bool {
	for i := range e.Access.Providers {
		if e.Access.Providers[i].KarmadaSecret != nil {
			return true
		}
	}
	return false
}

// mendPlatform says what to do about the access to a cluster of another platform.
func mendPlatform(profile *inventoryv1alpha1.ClusterProfile) string {
	return fmt.Sprintf("Correct the platform's Cluster %s, or its Secret, as docs/import.md says. "+
		"Its events say more: kubectl get events -A | grep %s", profile.Name, profile.Name)
}

// importNeeds returns the rights that a program needs for the clusters of other platforms.
func (e *examination) importNeeds() []need {
	read := []string{"get", "list", "watch"}
	var all []need
	for _, of := range member.PlatformSecretsOf(e.Access) {
		all = append(all, need{
			PolicyRule: rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{resourceSecrets}, Verbs: read},
			namespace:  of.Namespace, without: "it reaches no cluster of the platform whose Secrets are there", mend: bindImport,
		})
	}
	if e.readsKarmada() {
		resource := member.KarmadaClusterResource
		all = append(all, need{
			PolicyRule: rbacv1.PolicyRule{APIGroups: []string{resource.Group}, Resources: []string{resource.Resource}, Verbs: read},
			without:    "it reaches no cluster of Karmada", mend: bindImport,
		})
	}
	return all
}
