// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package score

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// collections returns how many readings had a result.
func collections(t *testing.T, result string) (count float64) {
	t.Helper()
	for _, sample := range testenv.Scrape(t, shared.Manager)["clusterpass_score_collections_total"] {
		if string(sample.Metric["result"]) == result {
			count += float64(sample.Value)
		}
	}
	return count
}

// A member of another manager has a score once it is adopted, and its profile is not written.
func TestUsage_Adopted(t *testing.T) {
	scores := hub(t, admin).ClusterpassV1alpha1().ClusterScores(namespace)
	profiles := shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles(namespace)
	adopted := testenv.Create(t, profiles, testenv.NewProfile("adopted", "another-platform"))
	foreign := testenv.Create(t, profiles, testenv.NewProfile("foreign", "another-platform"))
	secrets := shared.Hub.Kube(t).CoreV1().Secrets(testenv.SystemNamespace)
	const both = `{"metadata":{"annotations":{"clusterpass.dev/cluster-profile":"default/bravelion, default/adopted"}}}`
	testenv.Patch(t, secrets, "member-default-bravelion", both)

	version := ""
	renewed := func(score *v1alpha1.ClusterScore) error {
		if until := score.Status.ValidUntil; until == nil || time.Now().After(until.Time) || score.ResourceVersion == version {
			return fmt.Errorf("version %s, valid until %v", score.ResourceVersion, until)
		}
		version = score.ResourceVersion
		return nil
	}
	testenv.Await(t, scores, "adopted-usage", renewed)
	failed := collections(t, "Failed")
	for range 2 {
		score := testenv.Await(t, scores, "adopted-usage", renewed)
		assert.Equal(t, adopted.UID, score.OwnerReferences[0].UID)
	}

	_, err := scores.Get(t.Context(), "foreign-usage", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "a profile without access has no score: %v", err)
	assert.InDelta(t, failed, collections(t, "Failed"), 0, "and is no failure")
	assert.Equal(t, adopted.ResourceVersion, testenv.Get(t, profiles, "adopted").ResourceVersion, "the profile is its manager's")
	assert.Equal(t, foreign.ResourceVersion, testenv.Get(t, profiles, "foreign").ResourceVersion)

	require.NoError(t, profiles.Delete(t.Context(), "adopted", metav1.DeleteOptions{}))
	testenv.AwaitGone(t, scores, "adopted-usage")
}
