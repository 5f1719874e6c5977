// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/rights"
	"clusterpass.dev/pkg/words"
)

const (
	// allowedPeriod and refusedPeriod are how long a review of an author is used. Each token is
	// reviewed anew.
	allowedPeriod = 5 * time.Minute
	refusedPeriod = 30 * time.Second
	// maxReviews bounds the reviews that are kept, one for each set.
	maxReviews = 10_000
	// maxNamed is how many clusters are reviewed one by one. An author who names more needs get on all
	// of the namespace.
	maxNamed = 20
)

// review is the key of a review of the author of a set. A change of the author changes the
// generation.
type review struct {
	set        types.UID
	generation int64
}

// authorRefused returns why the author of set may not see what it selects; empty if the author may.
// The status and the events of a set show its readers which clusters exist: no more than its author
// may see.
func (c *Controller) authorRefused(ctx context.Context, set *v1alpha1.ClusterCredentialSet) (string, error) {
	key := review{set.UID, set.Generation}
	known, _ := c.reviews.Get(key)
	if refused, ok := known.(string); ok {
		return refused, nil
	}
	refused, err := c.reviewAuthor(ctx, set)
	if err != nil {
		return "", err
	}
	period := allowedPeriod
	if refused != "" {
		period = refusedPeriod
	}
	c.reviews.Add(key, refused, period)
	return refused, nil
}

// reviewAuthor is authorRefused without a cache. To select by names takes get on each of them,
// everything else takes list.
func (c *Controller) reviewAuthor(ctx context.Context, set *v1alpha1.ClusterCredentialSet) (string, error) {
	what := authorizationv1.ResourceAttributes{
		Namespace: credentialset.ProfileNamespace(set), Verb: "list",
		Group: inventoryv1alpha1.Group, Version: inventoryv1alpha1.GroupVersion.Version, Resource: "clusterprofiles",
	}
	names := []string{""}
	if clusters := &set.Spec.Clusters; clusters.DecisionKey == "" && len(clusters.Names) > 0 {
		what.Verb = "get"
		// An author who may get all needs no review for each.
		if may, err := rights.Of(ctx, c.Hub, set.Spec.Author, what); may || err != nil {
			return "", err
		}
		if names = clusters.Names; len(names) > maxNamed {
			return refusal(what, fmt.Sprintf(", all of them, because the set names more than %d", maxNamed)), nil
		}
	}
	for _, what.Name = range names {
		may, err := rights.Of(ctx, c.Hub, set.Spec.Author, what)
		if err != nil {
			return "", err
		}
		if !may {
			return refusal(what, ""), nil
		}
	}
	return "", nil
}

// refusal returns what an author may not do, and the rule that would allow it.
func refusal(what authorizationv1.ResourceAttributes, more string) string {
	if what.Name != "" {
		more = fmt.Sprintf(" %q", what.Name)
	}
	return fmt.Sprintf("its author may not %s in namespace %q: clusterprofiles.%s%s. "+
		"Bind a Role like this one to it: kubectl -n %s create role select-clusters --verb=%s --resource=clusterprofiles.%s",
		what.Verb, what.Namespace, what.Group, more, what.Namespace, what.Verb, what.Group)
}

// authorWarning is how long before an author expires the set says so.
const authorWarning = 14 * 24 * time.Hour

// setAuthorConditions sets the conditions about the author in next, the new status of set.
func (c *Controller) setAuthorConditions(set, next *v1alpha1.ClusterCredentialSet) {
	unrestricted := ""
	if credentialset.IsUnrestricted(set.Spec.Author) {
		unrestricted = v1alpha1.CredentialSetReasonMasters
	}
	setWarning(next, v1alpha1.CredentialSetAuthorUnrestricted, unrestricted,
		"the author is in system:masters: RBAC cannot limit what the set gets. To become the author: "+credentialset.RenewCommand(set))
	reason, after := c.authorEnds(set)
	if after > 0 {
		c.setQueue.AddAfter(cache.MetaObjectToName(set), after)
	}
	message := words.Message(fmt.Sprintf(
		"the author was recorded at %s, and credentials are renewed for %s after that. To become the author: %s",
		credentialset.AuthorSince(set).UTC().Format(time.RFC3339), c.MaxAuthorAge, credentialset.RenewCommand(set)))
	setWarning(next, v1alpha1.CredentialSetAuthorExpiring, reason, message)
	was := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.CredentialSetAuthorExpiring)
	if reason != "" && (was == nil || was.Reason != reason) {
		c.Recorder.Eventf(set, nil, corev1.EventTypeWarning, "AuthorExpiring", "Renew", "%s", message)
	}
}

// authorEnds returns the reason of the condition AuthorExpiring, empty for none, and after what
// time the reason changes, zero for never.
func (c *Controller) authorEnds(set *v1alpha1.ClusterCredentialSet) (reason string, after time.Duration) {
	end := credentialset.AuthorEnd(set, c.MaxAuthorAge)
	if end.IsZero() || !credentialset.KeepsCredentials(set) {
		return "", 0
	}
	switch left := end.Sub(c.Clock.Now()); {
	case left <= 0:
		return v1alpha1.CredentialSetReasonExpired, 0
	case left <= authorWarning:
		return v1alpha1.CredentialSetReasonExpiresSoon, left
	default:
		return "", left - authorWarning
	}
}
