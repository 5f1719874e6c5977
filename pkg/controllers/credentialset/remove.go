// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/credentialset/multikueue"
	"clusterpass.dev/pkg/controllers/internal/gone"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/grant"
)

var clusterProfiles = schema.GroupResource{Group: inventoryv1alpha1.Group, Resource: "clusterprofiles"}

// prune deletes what set has for clusters that it does not select any more: first the Secret, that nobody begins to use it,
// then the grant, which ends its tokens.
func (c *Controller) prune(ctx context.Context, set *v1alpha1.ClusterCredentialSet, selected selection) error {
	secrets, err := c.secrets.of(set)
	if err != nil {
		return err
	}
	var errs []error
	for _, secret := range secrets {
		cluster := secret.Annotations[annotationCluster]
		if selected[cluster] != nil {
			continue
		}
		left, err := c.left(ctx, set, cluster)
		if left {
			err = c.deleteSecret(ctx, secret)
			c.forget(set, cluster)
		}
		errs = append(errs, err)
	}
	errs = append(errs, c.pruneGrants(ctx, set, selected))
	return errors.Join(errs...)
}

// pruneGrants deletes the grants for clusters that are not selected, or that have been replaced under their names.
func (c *Controller) pruneGrants(ctx context.Context, set *v1alpha1.ClusterCredentialSet, selected selection) error {
	grants, err := c.grantsOf(set)
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range grants {
		profile := selected[g.Spec.ClusterProfile.Name]
		if profile != nil && profile.UID == g.Spec.ClusterProfile.UID {
			continue
		}
		left, err := c.left(ctx, set, g.Spec.ClusterProfile.Name)
		if left {
			err = c.deleteGrant(ctx, g)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// left says whether a cluster is not selected any more. The hub is asked: neither that an API is gone for a while nor that a cache is
// behind must end what is in use.
func (c *Controller) left(ctx context.Context, set *v1alpha1.ClusterCredentialSet, cluster string) (bool, error) {
	namespace := credentialset.ProfileNamespace(set)
	cached, err := c.profiles.ClusterProfiles(namespace).Get(cluster)
	if err != nil && !apierrors.IsNotFound(err) {
		return false, err
	}
	stored, storedErr := c.Inventory.ApisV1alpha1().ClusterProfiles(namespace).Get(ctx, cluster, metav1.GetOptions{})
	switch {
	case gone.Is(storedErr, clusterProfiles, cluster):
		return true, nil
	case storedErr != nil:
		return false, storedErr
	case err == nil && cached.ResourceVersion != stored.ResourceVersion:
		return false, fmt.Errorf("ClusterProfile %s/%s is newer than the cache", namespace, cluster)
	case err == nil && c.Members.CachedLeaving(cached) != nil && c.Members.StoredLeaving(ctx, stored) == nil:
		return false, fmt.Errorf("the cluster of ClusterProfile %s/%s stays after all: the cache is behind", namespace, cluster)
	}
	return err == nil, nil
}

// finish deletes all that a set has that is being deleted, and lets it go. What the controller manager may not delete is left, and told:
// the tokens end with the grants.
func (c *Controller) finish(ctx context.Context, set *v1alpha1.ClusterCredentialSet) error {
	if !slices.Contains(set.Finalizers, v1alpha1.CredentialSetFinalizer) {
		return nil
	}
	err := c.dismiss(ctx, set)
	_, kueueLeft := multikueue.IsBlocked(set, err)
	if err != nil && !kueueLeft {
		return err
	}
	secretsLeft, err := c.deleteSecrets(ctx, set)
	if err != nil {
		return err
	}
	grants, err := c.grantsOf(set)
	if err != nil {
		return err
	}
	var errs []error
	for _, g := range grants {
		errs = append(errs, c.deleteGrant(ctx, g))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	next := set.DeepCopy()
	next.Finalizers = slices.DeleteFunc(next.Finalizers, func(f string) bool { return f == v1alpha1.CredentialSetFinalizer })
	_, err = c.Client.ClusterpassV1alpha1().ClusterCredentialSets(set.Namespace).Update(ctx, next, metav1.UpdateOptions{})
	if err == nil {
		c.tellLeft(set, secretsLeft, kueueLeft)
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// tellLeft tells what of a set that is gone was left.
func (c *Controller) tellLeft(set *v1alpha1.ClusterCredentialSet, secrets, kueue bool) {
	if names := writtenSecrets(set); secrets && len(names) > 0 {
		namespace := credentialset.SecretName(set, "").Namespace
		c.Recorder.Eventf(set, nil, corev1.EventTypeWarning, "SecretsLeft", "Delete", "%s", clip(fmt.Sprintf(
			"the controller manager may not delete Secrets in namespace %s. Their tokens end. To delete what is left: kubectl -n %s delete secrets --selector=%s. They are: %s",
			namespace, namespace, selectorOf(set), strings.Join(names, ", "))))
	}
	if kueue {
		c.Recorder.Eventf(set, nil, corev1.EventTypeWarning, "KueueObjectsLeft", "Delete",
			"the controller manager may not delete objects of Kueue. To delete what is left: kubectl delete admissionchecks,multikueueconfigs,multikueueclusters --selector=%s",
			selectorOf(set))
	}
}

// writtenSecrets returns the names of the Secrets that a set has written, as far as its status lists them.
func writtenSecrets(set *v1alpha1.ClusterCredentialSet) []string {
	var names []string
	for _, of := range set.Status.Credentials {
		if of.GrantName != "" {
			names = append(names, of.SecretName)
		}
	}
	return names
}

// deleteSecrets deletes the Secrets of a set, and says whether they are left because the controller manager may not. They are listed live:
// their namespace may not be watched.
func (c *Controller) deleteSecrets(ctx context.Context, set *v1alpha1.ClusterCredentialSet) (left bool, err error) {
	if !credentialset.KeepsCredentials(set) {
		return false, nil
	}
	namespace := credentialset.SecretName(set, "").Namespace
	list, err := c.Hub.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: selectorOf(set).String()})
	if err == nil {
		var errs []error
		for i := range list.Items {
			errs = append(errs, c.deleteSecret(ctx, &list.Items[i]))
		}
		err = errors.Join(errs...)
	}
	if !apierrors.IsForbidden(err) {
		return false, err
	}
	// The Secrets go with their namespace.
	goes, err := c.namespaceGoes(ctx, namespace)
	return !goes, err
}

// namespaceGoes says whether the hub deletes a namespace, or has deleted it, with all Secrets in it. The rights of the controller manager
// there may have gone first, and nobody can give them again in a namespace that is being deleted.
func (c *Controller) namespaceGoes(ctx context.Context, name string) (bool, error) {
	// By a list, which is what the controller manager may have of them.
	list, err := c.Hub.CoreV1().Namespaces().List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()})
	if err != nil {
		return false, err
	}
	return len(list.Items) == 0 || list.Items[0].DeletionTimestamp != nil, nil
}

func (c *Controller) deleteSecret(ctx context.Context, secret *corev1.Secret) error {
	err := c.Hub.CoreV1().Secrets(secret.Namespace).Delete(ctx, secret.Name, exactly(secret.UID))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		// Another one has taken its name.
		return nil
	}
	return err
}

// grantsOf returns the grants of a set.
func (c *Controller) grantsOf(set *v1alpha1.ClusterCredentialSet) ([]*v1alpha1.AuthTokenGrant, error) {
	grants, err := c.grants.AuthTokenGrants(set.Namespace).List(labels.Everything())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(grants), func(g *v1alpha1.AuthTokenGrant) bool { return grant.SetOf(g) != set.UID }), nil
}

func (c *Controller) deleteGrant(ctx context.Context, g *v1alpha1.AuthTokenGrant) error {
	if g.DeletionTimestamp != nil {
		return nil
	}
	err := c.Client.ClusterpassV1alpha1().AuthTokenGrants(g.Namespace).Delete(ctx, g.Name, exactly(g.UID))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

func exactly(uid types.UID) metav1.DeleteOptions {
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
}
