// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/credentialset/multikueue"
	"clusterpass.dev/pkg/controllers/internal/gone"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/words"
)

var clusterProfiles = inventoryv1alpha1.GroupVersion.WithResource("clusterprofiles").GroupResource()

// decisionGrace is how long the credential for a cluster is kept that decisions do not name any
// more. Somebody may have changed them, and the controller of Placements writes them again.
const decisionGrace = time.Minute

// prune deletes what set has for clusters other than those that it selects now: first the Secret,
// so nobody begins to use it, then the grants, whose tokens pkg/controllers/revocation ends. It
// returns after how long to do so for the first of those that are kept for now, zero if there are
// none.
func (c *Controller) prune(ctx context.Context, set *v1alpha1.ClusterCredentialSet, clusters profilesByName) (time.Duration, error) {
	c.markSelected(set, clusters)
	all, err := c.leftovers(set, clusters)
	if err != nil {
		return 0, err
	}
	var errs []error
	var again time.Duration
	for cluster, of := range all {
		after, err := c.remove(ctx, set, cluster, of, clusters[cluster] == nil)
		if after > 0 && (again == 0 || after < again) {
			again = after
		}
		errs = append(errs, err)
	}
	return again, errors.Join(errs...)
}

// leftover is what a set has for a cluster that it does not select any more.
type leftover struct {
	secrets []*corev1.Secret
	grants  []*v1alpha1.AuthTokenGrant
}

// leftovers returns what set has for clusters other than the selected ones, by their names, and its
// grants for clusters that were replaced under their names.
func (c *Controller) leftovers(set *v1alpha1.ClusterCredentialSet, clusters profilesByName) (map[string]leftover, error) {
	secrets, err := c.cachedSecrets(set, credentialset.Selector(set))
	if err != nil {
		return nil, err
	}
	grants, err := c.grantsOf(set)
	if err != nil {
		return nil, err
	}
	all := map[string]leftover{}
	for _, secret := range secrets {
		if cluster := secret.Annotations[annotationCluster]; clusters[cluster] == nil {
			of := all[cluster]
			of.secrets = append(of.secrets, secret)
			all[cluster] = of
		}
	}
	for _, g := range grants {
		ref := g.Spec.ClusterProfile
		if profile := clusters[ref.Name]; profile == nil || profile.UID != ref.UID {
			of := all[ref.Name]
			of.grants = append(of.grants, g)
			all[ref.Name] = of
		}
	}
	return all, nil
}

// remove deletes a leftover of set, or returns after how long to do so. A Secret without a grant
// holds no token of the set, so it is not kept.
func (c *Controller) remove(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet, cluster string, of leftover, unselected bool,
) (time.Duration, error) {
	removable, after, err := c.removable(ctx, set, cluster)
	if err != nil || !removable {
		return 0, err
	}
	if unselected && len(of.grants) > 0 && after > 0 {
		return after, nil
	}
	err = errors.Join(deleteAll(ctx, of.secrets, c.deleteSecret), deleteAll(ctx, of.grants, c.deleteGrant))
	if unselected {
		c.forget(set, cluster)
	}
	return 0, err
}

// deleteAll deletes all objects, also after an error.
func deleteAll[T any](ctx context.Context, objects []T, remove func(ctx context.Context, object T) error) error {
	var errs []error
	for _, object := range objects {
		errs = append(errs, remove(ctx, object))
	}
	return errors.Join(errs...)
}

// markSelected ends the grace of the clusters that set selects: decisions name them again.
func (c *Controller) markSelected(set *v1alpha1.ClusterCredentialSet, clusters profilesByName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for cluster := range clusters {
		if r := c.records[set.UID][cluster]; r != nil {
			r.deselected = time.Time{}
		}
	}
}

// grace returns how long the credential of set for a cluster that is not selected is still kept;
// zero if it is deleted at once. Only decisions get a grace: what the set itself says was changed
// by its author.
func (c *Controller) grace(set *v1alpha1.ClusterCredentialSet, profile *inventoryv1alpha1.ClusterProfile) (time.Duration, error) {
	if set.Spec.Clusters.DecisionKey == "" || c.Members.CachedLeaving(profile) != nil {
		return 0, nil
	}
	bound, err := boundOf(&set.Spec.Clusters)
	if err != nil || !bound(profile) {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r, now := c.record(set, profile.Name), c.Clock.Now()
	if r.deselected.IsZero() {
		r.deselected = now
	}
	return max(0, r.deselected.Add(decisionGrace).Sub(now)), nil
}

// removable returns whether what set has for a cluster that the cache does not select may be
// removed, and after how long. It reads without a cache: neither an API that is away for a while
// nor a stale cache may end what is in use.
func (c *Controller) removable(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet, cluster string,
) (removable bool, after time.Duration, err error) {
	cached, err := c.profile(set, cluster)
	if err != nil {
		return false, 0, err
	}
	namespace := credentialset.ProfileNamespace(set)
	stored, err := c.Inventory.ApisV1alpha1().ClusterProfiles(namespace).Get(ctx, cluster, metav1.GetOptions{})
	switch {
	case gone.Is(err, clusterProfiles, cluster):
		return true, 0, nil
	case err != nil || cached == nil:
		return false, 0, err
	case cached.ResourceVersion != stored.ResourceVersion:
		return false, 0, fmt.Errorf("ClusterProfile %s/%s is newer than the cache", namespace, cluster)
	case c.Members.CachedLeaving(cached) != nil && c.Members.StoredLeaving(ctx, stored) == nil:
		return false, 0, fmt.Errorf("the cluster of ClusterProfile %s/%s stays after all: the cache is behind", namespace, cluster)
	}
	after, err = c.grace(set, cached)
	return err == nil, after, err
}

// finish deletes everything of a set that is being deleted, and removes its finalizer. What the
// controller manager may not delete stays, with an event: the tokens end with the grants.
func (c *Controller) finish(ctx context.Context, set *v1alpha1.ClusterCredentialSet) error {
	if !slices.Contains(set.Finalizers, v1alpha1.CredentialSetFinalizer) {
		return nil
	}
	err := c.removeConsumer(ctx, set)
	_, kueueStays := multikueue.IsBlocked(set, err)
	if err != nil && !kueueStays {
		return err
	}
	secretsStay, err := c.deleteSecrets(ctx, set)
	if err != nil {
		return err
	}
	grants, err := c.grantsOf(set)
	if err != nil {
		return err
	}
	if err := deleteAll(ctx, grants, c.deleteGrant); err != nil {
		return err
	}
	next := set.DeepCopy()
	next.Finalizers = slices.DeleteFunc(next.Finalizers, func(f string) bool { return f == v1alpha1.CredentialSetFinalizer })
	_, err = c.Client.ClusterpassV1alpha1().ClusterCredentialSets(set.Namespace).Update(ctx, next, metav1.UpdateOptions{})
	if err == nil {
		c.recordRemains(set, secretsStay, kueueStays)
	}
	return ignoreGone(err)
}

// recordRemains records events about what stays of a deleted set. Of Secrets it names those that
// the set has written, as far as its status lists them.
func (c *Controller) recordRemains(set *v1alpha1.ClusterCredentialSet, secrets, kueue bool) {
	selector := credentialset.Selector(set)
	var names []string
	for _, of := range set.Status.Credentials {
		if of.GrantName != "" {
			names = append(names, of.SecretName)
		}
	}
	if secrets && len(names) > 0 {
		namespace := secretNamespace(set)
		c.Recorder.Eventf(set, nil, corev1.EventTypeWarning, "SecretsLeft", "Delete", "%s", words.Message(fmt.Sprintf(
			"the controller manager may not delete Secrets in namespace %s. Their tokens end. To delete what is left: "+
				"kubectl -n %s delete secrets --selector=%s. They are: %s", namespace, namespace, selector, strings.Join(names, ", "))))
	}
	if kueue {
		c.Recorder.Eventf(set, nil, corev1.EventTypeWarning, "KueueObjectsLeft", "Delete",
			"the controller manager may not delete objects of Kueue. To delete what is left: "+
				"kubectl delete admissionchecks,multikueueconfigs,multikueueclusters --selector=%s", selector)
	}
}

// deleteSecrets deletes the Secrets of a set, and returns whether they stay because the controller
// manager may not. They are listed without a cache: their namespace may not be watched.
func (c *Controller) deleteSecrets(ctx context.Context, set *v1alpha1.ClusterCredentialSet) (stay bool, err error) {
	if !credentialset.KeepsCredentials(set) {
		return false, nil
	}
	namespace := secretNamespace(set)
	list, err := c.Hub.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: credentialset.Selector(set).String()})
	if err == nil {
		err = deleteAll(ctx, list.Items, func(ctx context.Context, secret corev1.Secret) error { return c.deleteSecret(ctx, &secret) })
	}
	if !apierrors.IsForbidden(err) {
		return false, err
	}
	// The Secrets are deleted with their namespace.
	goes, err := c.namespaceGoes(ctx, namespace)
	return !goes, err
}

// namespaceGoes returns whether a namespace is deleted or being deleted, with all Secrets in it.
// The rights of the controller manager there may be deleted first, and nobody can give them again
// in a namespace that is being deleted.
func (c *Controller) namespaceGoes(ctx context.Context, name string) (bool, error) {
	// By a list: the controller manager may not get them.
	list, err := c.Hub.CoreV1().Namespaces().List(ctx,
		metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()})
	if err != nil {
		return false, err
	}
	return len(list.Items) == 0 || list.Items[0].DeletionTimestamp != nil, nil
}

func (c *Controller) deleteSecret(ctx context.Context, secret *corev1.Secret) error {
	secrets := c.Hub.CoreV1().Secrets(secret.Namespace)
	return ignoreGone(secrets.Delete(ctx, secret.Name, *metav1.NewPreconditionDeleteOptions(string(secret.UID))))
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
	grants := c.Client.ClusterpassV1alpha1().AuthTokenGrants(g.Namespace)
	return ignoreGone(grants.Delete(ctx, g.Name, *metav1.NewPreconditionDeleteOptions(string(g.UID))))
}

// ignoreGone drops an error that says that an object is gone, or has changed, or that another one
// has its name: events will tell.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
