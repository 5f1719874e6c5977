// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package score

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/score/usage"
	"clusterpass.dev/pkg/names"
)

// scoreName returns the name of the ClusterScore of a ClusterProfile. Its spec identifies the
// ClusterProfile.
func scoreName(profile string) string { return names.Fit(profile + "-" + v1alpha1.UsageResourceName) }

// store stores the result of a collection in the ClusterScore of profile, with its validity. It
// writes only if the result has changed, or if the stored validity ends too soon.
func (c *Controller) store(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, what *found, valid time.Duration) error {
	score, err := c.ensure(ctx, profile)
	if err != nil {
		return fmt.Errorf("ClusterScore %s/%s: %w", profile.Namespace, scoreName(profile.Name), err)
	}
	now := c.Clock.Now()
	next := score.DeepCopy()
	next.Status.Values, next.Status.Scores = what.values, usage.Scores(what.values)
	changed := meta.SetStatusCondition(&next.Status.Conditions, what.condition)
	changed = changed || !equality.Semantic.DeepEqual(next.Status.Values, score.Status.Values) ||
		!equality.Semantic.DeepEqual(next.Status.Scores, score.Status.Scores)
	until, fresh := score.Status.ValidUntil, now.Add(freshPeriods*valid/validPeriods)
	if !changed && until != nil && !until.Time.Before(fresh) {
		return nil
	}
	next.Status.ValidUntil = nil
	if what.condition.Status == metav1.ConditionTrue {
		next.Status.ValidUntil = &metav1.Time{Time: now.Add(valid)}
	}
	if equality.Semantic.DeepEqual(next.Status, score.Status) {
		return nil
	}
	_, err = c.Client.ClusterpassV1alpha1().ClusterScores(score.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("ClusterScore %s/%s: %w", score.Namespace, score.Name, err)
	}
	writes.Inc()
	return nil
}

// ensure returns the ClusterScore of profile, and creates it if it is missing. It returns an error
// if an object of that name belongs to another owner, or to an earlier profile of the same name and
// is about to be deleted.
func (c *Controller) ensure(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*v1alpha1.ClusterScore, error) {
	score, err := c.Scores.Lister().ClusterScores(profile.Namespace).Get(scoreName(profile.Name))
	if apierrors.IsNotFound(err) {
		score, err = c.Client.ClusterpassV1alpha1().ClusterScores(profile.Namespace).Create(ctx, newScore(profile), metav1.CreateOptions{})
	}
	if err != nil {
		return nil, err
	}
	if !isScoreOf(score, profile.UID) {
		return nil, fmt.Errorf("it does not belong to the ClusterProfile of UID %s", profile.UID)
	}
	return score, nil
}

func newScore(profile *inventoryv1alpha1.ClusterProfile) *v1alpha1.ClusterScore {
	return &v1alpha1.ClusterScore{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: profile.Namespace,
			Name:      scoreName(profile.Name),
			OwnerReferences: []metav1.OwnerReference{{
				// The garbage collector looks for the owner in this version, which the hub must serve.
				APIVersion: cmp.Or(profile.APIVersion, inventoryv1alpha1.GroupVersion.String()),
				Kind:       inventoryv1alpha1.ClusterProfileKind,
				Name:       profile.Name,
				UID:        profile.UID,
			}},
		},
		Spec: v1alpha1.ClusterScoreSpec{ClusterProfileName: profile.Name, ResourceName: v1alpha1.UsageResourceName},
	}
}

func isScoreOf(score *v1alpha1.ClusterScore, profile types.UID) bool {
	return slices.ContainsFunc(score.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == profile })
}
