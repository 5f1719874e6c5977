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
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/credentialset/multikueue"
	"clusterpass.dev/pkg/controllers/internal/gone"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/words"
)

var clusterProfiles = schema.GroupResource{Group: inventoryv1alpha1.Group, Resource: "clusterprofiles"}

// decisionGrace is how long the credential for a cluster is kept that decisions do not name any
// more. Somebody may have changed them, and the controller of Placements writes them again.
const decisionGrace = time.Minute

// prune deletes what set has for clusters that it does not select any more: first the Secret, so
// nobody begins to use it, then the grants, which ends its tokens. It returns after how long to do
// so for the first of those that are kept for now, zero if there are none.
func (c *Controller) prune(ctx context.Context, set *v1alpha1.ClusterCredentialSet, selected selection) (time.Duration, error) {
	c.decided(set, selected)
	all, err := c.leftovers(set, selected)
	if err != nil {
		return 0, err
	}
	var errs []error
	var again time.Duration
	for cluster, of := range all {
		stays, err := c.remove(ctx, set, cluster, of, selected[cluster] == nil)
		if stays > 0 && (again == 0 || stays < again) {
			again = stays
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

// leftovers returns what set has for clusters that are not selected, by their names, and its grants
// for clusters that were replaced under their names.
func (c *Controller) leftovers(set *v1alpha1.ClusterCredentialSet, selected selection) (map[string]*leftover, error) {
	secrets, err := c.secrets.of(set)
	if err != nil {
		return nil, err
	}
	grants, err := c.grantsOf(set)
	if err != nil {
		return nil, err
	}
	all := map[string]*leftover{}
	of := func(cluster string) *leftover {
		if all[cluster] == nil {
			all[cluster] = &leftover{}
		}
		return all[cluster]
	}
	for _, secret := range secrets {
		if cluster := secret.Annotations[annotationCluster]; selected[cluster] == nil {
			of(cluster).secrets = append(of(cluster).secrets, secret)
		}
	}
	for _, g := range grants {
		ref := g.Spec.ClusterProfile
		if profile := selected[ref.Name]; profile == nil || profile.UID != ref.UID {
			of(ref.Name).grants = append(of(ref.Name).grants, g)
		}
	}
	return all, nil
}

// remove deletes a leftover of set, or returns how long it is kept. A Secret without a grant holds
// no token of the set, so it is not kept.
func (c *Controller) remove(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet, cluster string, of *leftover, unselected bool,
) (time.Duration, error) {
	left, stays, err := c.left(ctx, set, cluster)
	if err != nil || !left {
		return 0, err
	}
	if unselected && len(of.grants) > 0 && stays > 0 {
		return stays, nil
	}
	var errs []error
	for _, secret := range of.secrets {
		errs = append(errs, c.deleteSecret(ctx, secret))
	}
	for _, g := range of.grants {
		errs = append(errs, c.deleteGrant(ctx, g))
	}
	if unselected {
		c.forget(set, cluster)
	}
	return 0, errors.Join(errs...)
}

// decided notes that decisions name the clusters that set selects.
func (c *Controller) decided(set *v1alpha1.ClusterCredentialSet, selected selection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for cluster := range selected {
		delete(c.undecided, credentialKey{cache.MetaObjectToName(set), cluster})
	}
}

// grace returns how long the credential of set for a cluster that is not selected is still kept;
// zero if it is deleted at once. Only decisions get a grace: what the set itself says was changed
// by its author.
func (c *Controller) grace(set *v1alpha1.ClusterCredentialSet, profile *inventoryv1alpha1.ClusterProfile) (time.Duration, error) {
	if set.Spec.Clusters.DecisionKey == "" || profile.DeletionTimestamp != nil || c.Members.CachedLeaving(profile) != nil {
		return 0, nil
	}
	bound, err := boundOf(&set.Spec.Clusters)
	if err != nil || !bound(profile) {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key, now := credentialKey{cache.MetaObjectToName(set), profile.Name}, c.Clock.Now()
	since, known := c.undecided[key]
	if !known {
		since = now
		c.undecided[key] = now
	}
	return max(0, since.Add(decisionGrace).Sub(now)), nil
}

// left returns whether a cluster is not selected any more, and how long its credential is still
// kept. It reads without a cache: neither an API that is away for a while nor a stale cache may end
// what is in use.
func (c *Controller) left(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet, cluster string,
) (left bool, stays time.Duration, err error) {
	namespace := credentialset.ProfileNamespace(set)
	cached, err := c.profiles.ClusterProfiles(namespace).Get(cluster)
	if err != nil && !apierrors.IsNotFound(err) {
		return false, 0, err
	}
	stored, storedErr := c.Inventory.ApisV1alpha1().ClusterProfiles(namespace).Get(ctx, cluster, metav1.GetOptions{})
	switch {
	case gone.Is(storedErr, clusterProfiles, cluster):
		return true, 0, nil
	case storedErr != nil:
		return false, 0, storedErr
	case err == nil && cached.ResourceVersion != stored.ResourceVersion:
		return false, 0, fmt.Errorf("ClusterProfile %s/%s is newer than the cache", namespace, cluster)
	case err == nil && c.Members.CachedLeaving(cached) != nil && c.Members.StoredLeaving(ctx, stored) == nil:
		return false, 0, fmt.Errorf("the cluster of ClusterProfile %s/%s stays after all: the cache is behind", namespace, cluster)
	case err == nil:
		stays, err = c.grace(set, cached)
		return err == nil, stays, err
	}
	return false, 0, nil
}

// finish deletes everything of a set that is being deleted, and removes its finalizer. What the
// controller manager may not delete stays, with an event: the tokens end with the grants.
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
		c.recordLeft(set, secretsLeft, kueueLeft)
	}
	return ignoreGone(err)
}

// recordLeft records events about what a deleted set has left.
func (c *Controller) recordLeft(set *v1alpha1.ClusterCredentialSet, secrets, kueue bool) {
	if names := writtenSecrets(set); secrets && len(names) > 0 {
		namespace := credentialset.SecretName(set, "").Namespace
		c.Recorder.Eventf(set, nil, corev1.EventTypeWarning, "SecretsLeft", "Delete", "%s", words.Message(fmt.Sprintf(
			"the controller manager may not delete Secrets in namespace %s. Their tokens end. To delete what is left: "+
				"kubectl -n %s delete secrets --selector=%s. They are: %s", namespace, namespace, selectorOf(set), strings.Join(names, ", "))))
	}
	if kueue {
		c.Recorder.Eventf(set, nil, corev1.EventTypeWarning, "KueueObjectsLeft", "Delete",
			"the controller manager may not delete objects of Kueue. "+
				"To delete what is left: kubectl delete admissionchecks,multikueueconfigs,multikueueclusters --selector=%s", selectorOf(set))
	}
}

// writtenSecrets returns the names of the Secrets that a set has written, as far as its status
// lists them.
func writtenSecrets(set *v1alpha1.ClusterCredentialSet) []string {
	var names []string
	for _, of := range set.Status.Credentials {
		if of.GrantName != "" {
			names = append(names, of.SecretName)
		}
	}
	return names
}

// deleteSecrets deletes the Secrets of a set, and returns whether they stay because the controller
// manager may not. They are listed without a cache: their namespace may not be watched.
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
