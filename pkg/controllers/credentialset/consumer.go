// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/credentialset/multikueue"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/decision"
)

// syncConsumer configures the consumer of set for what is selected, and returns the condition about
// it; nil if the set has no consumer. If a set keeps no credentials, and its author may not select,
// or it selects too many, its consumer keeps its configuration.
func (c *Controller) syncConsumer(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet, selected *selection,
) (*metav1.Condition, error) {
	was := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.MultiKueueReady)
	if selected.refused != "" && !credentialset.KeepsCredentials(set) {
		return was, nil
	}
	if set.Spec.Consumer.MultiKueue == nil {
		if err := c.removeConsumer(ctx, set); err != nil {
			return was, err
		}
		return nil, nil //nolint:nilnil // that there is none is an answer
	}
	workers, err := c.workers(ctx, set, selected.clusters)
	if errors.Is(err, decision.ErrNotServed) {
		// What was decided last stays.
		return was, nil
	}
	if err != nil {
		return nil, err
	}
	ready, err := c.kueue.Sync(ctx, set, workers)
	return &ready, err
}

// workers returns the selected clusters that Kueue can reach: those whose Secret exists. They are
// in the order of the set's names or decisions, else by name.
func (c *Controller) workers(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet, clusters profilesByName,
) ([]multikueue.Worker, error) {
	var workers []multikueue.Worker
	names := set.Spec.Clusters.Names
	if set.Spec.Clusters.DecisionKey != "" {
		decided, err := c.decided(ctx, set)
		if err != nil {
			return nil, err
		}
		names = decided.names
	}
	if len(names) == 0 || set.Spec.Consumer.MultiKueue.Order == v1alpha1.MultiKueueOrderName {
		names = slices.Sorted(maps.Keys(clusters))
	}
	for _, name := range names {
		if clusters[name] == nil {
			continue
		}
		worker := multikueue.Worker{Name: name}
		if credentialset.KeepsCredentials(set) {
			secret, err := c.cachedSecret(set, name)
			if err != nil {
				return nil, err
			}
			if secret == nil || !credentialset.Owns(set, secret) {
				continue
			}
			worker.Secret = secret.Name
		}
		workers = append(workers, worker)
	}
	return workers, nil
}

// removeConsumer removes the configuration of consumers for set.
func (c *Controller) removeConsumer(ctx context.Context, set *v1alpha1.ClusterCredentialSet) error {
	if set.Spec.Consumer.MultiKueue == nil && meta.FindStatusCondition(set.Status.Conditions, v1alpha1.MultiKueueReady) == nil {
		return nil
	}
	err := c.kueue.Remove(ctx, set)
	if blocked, ok := multikueue.IsBlocked(set, err); ok {
		next := set.DeepCopy()
		meta.SetStatusCondition(&next.Status.Conditions, blocked)
		return errors.Join(err, c.writeStatus(ctx, set, next))
	}
	return err
}

// consumerChanged enqueues the set whose consumer's objects have changed, and a set that has its
// name now: it may have waited for their deletion.
func (c *Controller) consumerChanged(uid types.UID, name string) {
	c.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
		if set.UID == uid || cache.MetaObjectToName(set).String() == name {
			c.setQueue.Add(cache.MetaObjectToName(set))
		}
	})
}

// conflicts are the ways in which two Secrets conflict in Argo CD, the worst first.
var conflicts = []struct{ annotation, reason, what, cure string }{
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

// conflict returns the reason and the message of the condition Conflict: one of the Secrets of set
// gives Argo CD the same server, or the same name, as another Secret of any set. The reason is
// empty if none does.
func (c *Controller) conflict(set *v1alpha1.ClusterCredentialSet) (reason, message string, err error) {
	if set.Spec.Secret.Format != v1alpha1.SecretFormatArgoCD || !credentialset.KeepsCredentials(set) {
		return "", "", nil
	}
	all, err := c.cachedSecrets(set, labels.Everything())
	if err != nil {
		return "", "", err
	}
	all = slices.SortedFunc(slices.Values(all), func(a, b *corev1.Secret) int { return cmp.Compare(a.Name, b.Name) })
	for _, by := range conflicts {
		if message := c.conflictBy(set, all, by.annotation, by.what); message != "" {
			return by.reason, message + ": " + by.cure, nil
		}
	}
	return "", "", nil
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
		if !credentialset.Owns(set, secret) || len(same) < 2 {
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
	set := c.setOf(types.UID(secret.Labels[v1alpha1.LabelCredentialSetUID]))
	if set == nil || set.Namespace != to.Namespace || credentialset.ProfileNamespace(set) != credentialset.ProfileNamespace(to) {
		return "a Secret of another ClusterCredentialSet"
	}
	return fmt.Sprintf("%s (ClusterCredentialSet %s, ClusterProfile %s/%s)", secret.Name,
		cache.MetaObjectToName(set), credentialset.ProfileNamespace(set), secret.Annotations[annotationCluster])
}
