// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/controllers/internal/gone"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/member"
)

// maxProfiles bounds the ClusterProfiles of a namespace in which Clusters are imported. The server
// limits those of others, and not those of this program.
const maxProfiles = 10_000

var errTooMany = errors.New("the namespace has too many ClusterProfiles")

var (
	createOptions = metav1.CreateOptions{FieldManager: "clusterpass-importer"}
	patchOptions  = metav1.PatchOptions{FieldManager: "clusterpass-importer"}
)

// reconcile keeps the profile of one Cluster.
func (c *Controller) reconcile(ctx context.Context, i item) (time.Duration, error) {
	if i.cluster.Name == "" {
		return 0, c.watch(ctx, i)
	}
	clusters, err := c.informers[i.platform].Get(i.cluster.Namespace)
	if err != nil {
		return 0, err // with backoff: the hub may not serve the platform's API at all
	}
	cluster, err := clusters.get(i.cluster)
	if err != nil {
		return 0, err
	}
	name := i.platform.profileOf(i.cluster)
	profile, err := c.Profiles.Lister().ClusterProfiles(name.Namespace).Get(name.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return 0, err
	}
	exists := err == nil
	switch {
	case cluster == nil || cluster.GetDeletionTimestamp() != nil:
		c.forget(i)
		if exists && isOf(i.platform, profile) {
			return 0, c.remove(ctx, i, clusters, profile)
		}
		return 0, nil
	case !exists:
		return 0, c.create(ctx, i, cluster, name.Namespace)
	case !isOf(i.platform, profile):
		c.warn(i, cluster, "NotImported", fmt.Sprintf("there is a ClusterProfile %s of another manager, which is left alone", name))
		return 0, nil
	}
	return 0, c.keep(ctx, i, clusters, cluster, profile)
}

// keep updates the profile of a Cluster, or removes that of another Cluster of its name.
func (c *Controller) keep(
	ctx context.Context, i item, clusters *reader, cluster *unstructured.Unstructured, profile *inventoryv1alpha1.ClusterProfile,
) error {
	switch {
	case profile.DeletionTimestamp != nil:
		return nil
	case isStale(profile, cluster):
		return c.remove(ctx, i, clusters, profile)
	}
	err := c.update(ctx, i, cluster, profile)
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		c.warn(i, cluster, "NotImported", err.Error())
	}
	return err
}

func isOf(platform *Platform, profile *inventoryv1alpha1.ClusterProfile) bool {
	return profile.Spec.ClusterManager.Name == platform.Manager
}

// create makes the profile of a Cluster. Its event has the access written.
func (c *Controller) create(ctx context.Context, i item, cluster *unstructured.Unstructured, namespace string) error {
	others, err := c.Profiles.Lister().ClusterProfiles(namespace).List(labels.Everything())
	if err != nil {
		return err
	}
	if len(others) >= maxProfiles {
		c.warn(i, cluster, "NotImported", fmt.Sprintf("namespace %s has %d ClusterProfiles, of at most %d", namespace, len(others), maxProfiles))
		return errTooMany
	}
	made := &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: cluster.GetName(),
			Labels: labelsOf(i.platform, cluster), OwnerReferences: []metav1.OwnerReference{ownerOf(cluster)},
		},
		Spec: inventoryv1alpha1.ClusterProfileSpec{
			DisplayName: cluster.GetName(), ClusterManager: inventoryv1alpha1.ClusterManager{Name: i.platform.Manager},
		},
	}
	_, err = c.Inventory.ApisV1alpha1().ClusterProfiles(namespace).Create(ctx, made, createOptions)
	switch {
	case err == nil:
		c.say(i, cluster, corev1.EventTypeNormal, "Imported", fmt.Sprintf("made the ClusterProfile %s/%s", namespace, made.Name))
	case apierrors.IsAlreadyExists(err):
		// Its event follows.
	default:
		c.warn(i, cluster, "NotImported", err.Error())
		return err
	}
	return nil
}

// remove deletes the profile of a Cluster that is gone, that is being deleted, or that another has
// replaced under its name. It reads the Cluster without the cache: a missing API deletes nothing.
func (c *Controller) remove(ctx context.Context, i item, clusters *reader, profile *inventoryv1alpha1.ClusterProfile) error {
	live, err := c.Objects.Resource(clusters.resource).Namespace(i.cluster.Namespace).Get(ctx, i.cluster.Name, metav1.GetOptions{})
	switch {
	case err == nil && live.GetDeletionTimestamp() == nil && !isStale(profile, live):
		return loop.RetryError(rereading) // the cache is behind
	case err != nil && !gone.Is(err, clusters.resource.GroupResource(), i.cluster.Name):
		return err
	}
	err = c.Inventory.ApisV1alpha1().ClusterProfiles(profile.Namespace).Delete(ctx, profile.Name,
		metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &profile.UID, ResourceVersion: ptr.To(profile.ResourceVersion)}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// update restores the labels, the owner and the access of a profile.
func (c *Controller) update(
	ctx context.Context, i item, cluster *unstructured.Unstructured, profile *inventoryv1alpha1.ClusterProfile,
) error {
	if patch := metadataPatch(i.platform, cluster, profile); patch != nil {
		_, err := c.Inventory.ApisV1alpha1().ClusterProfiles(profile.Namespace).Patch(
			ctx, profile.Name, types.MergePatchType, patch, patchOptions)
		return err // its event has the access written
	}
	entry, err := c.Access.Implied(profile, i.platform.provider)
	switch {
	case member.IsUnread(err):
		return err // with backoff: the rights may be missing
	case err != nil:
		c.warn(i, cluster, "NoAccess", err.Error())
		return nil // a change of the Cluster or its Secret enqueues it
	}
	for j := range profile.Status.AccessProviders {
		if equality.Semantic.DeepEqual(profile.Status.AccessProviders[j], *entry) {
			c.forget(i)
			return nil
		}
	}
	return c.writeAccess(ctx, profile, entry)
}

// writeAccess puts an entry into the status of a profile, and leaves those of others as they are
// stored, also where a CustomResourceDefinition has the list as one value.
func (c *Controller) writeAccess(
	ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, entry *inventoryv1alpha1.AccessProvider,
) error {
	client := c.Inventory.ApisV1alpha1().ClusterProfiles(profile.Namespace)
	stored, err := client.Get(ctx, profile.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": profile.UID, "resourceVersion": stored.ResourceVersion},
		"status":   map[string]any{"accessProviders": withEntry(stored.Status.AccessProviders, entry)},
	})
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, profile.Name, types.MergePatchType, patch, patchOptions, "status")
	return err
}
