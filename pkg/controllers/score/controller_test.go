// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package score

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/metrics/testutil"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
)

const (
	createScore = "create clusterscores default/bravelion-usage"
	updateScore = "update clusterscores/status default/bravelion-usage"
)

// validFor returns how long a score is valid from now on.
func (f *fixture) validFor(t *testing.T) time.Duration {
	t.Helper()
	score := f.stored(t)
	require.NotNil(t, score)
	require.NotNil(t, score.Status.ValidUntil)
	return score.Status.ValidUntil.Sub(f.clock.Now())
}

// A first reading makes the score.
func TestController_Create(t *testing.T) {
	f := newFixture(t, newNode("a", "4"), newNode("b", "8"), newPod("on-a", "a", "3"), newPod("waiting", "", "2"))
	score := f.collectOnce(t.Context(), t)
	require.NotNil(t, score)
	assert.Equal(t, []string{createScore, updateScore}, f.writes())
	assert.Equal(t, []metav1.OwnerReference{{
		APIVersion: inventoryv1alpha1.GroupVersion.String(), Kind: inventoryv1alpha1.ClusterProfileKind, Name: f.profile.Name, UID: f.profile.UID,
	}}, score.OwnerReferences, "it goes with the profile")
	assert.Equal(t, v1alpha1.ClusterScoreSpec{ClusterProfileName: f.profile.Name, ResourceName: v1alpha1.UsageResourceName}, score.Spec)
	assert.Equal(t, "9", valueOf(score, "cpu"))
	assert.Equal(t, "8", valueOf(score, "cpu:largest-node"))
	assert.Equal(t, "2", valueOf(score, "cpu:pending"))
	assert.Len(t, score.Status.Scores, len(score.Status.Values))
	assert.Equal(t, valid, f.validFor(t))
	require.Len(t, score.Status.Conditions, 1)
	assert.Equal(t, v1alpha1.ScoreReasonCollected, score.Status.Conditions[0].Reason)
}

// The garbage collector looks for the owner in a version that the hub serves.
func TestNewScore(t *testing.T) {
	profile := &inventoryv1alpha1.ClusterProfile{TypeMeta: metav1.TypeMeta{APIVersion: "multicluster.x-k8s.io/v1alpha2"}}
	assert.Equal(t, "multicluster.x-k8s.io/v1alpha2", newScore(profile).OwnerReferences[0].APIVersion)
}

func TestScoreName(t *testing.T) {
	assert.Equal(t, "bravelion-usage", scoreName("bravelion"))
	for _, length := range []int{247, 248, 250, 253} {
		name := scoreName(strings.Repeat("a", length))
		assert.Empty(t, validation.IsDNS1123Subdomain(name), length)
	}
	assert.NotEqual(t, scoreName(strings.Repeat("a", 252)+"b"), scoreName(strings.Repeat("a", 252)+"c"))
}

// A score is written where it says something new.
func TestController_UpdateStatus(t *testing.T) {
	const fresh = freshPeriods * period
	for name, test := range map[string]struct {
		after  time.Duration
		change func(f *fixture) error
		writes []string
		valid  time.Duration
	}{
		"not while nothing has changed and most of its time is left": {period, nil, nil, valid - period},
		"not at the last moment when three periods are left":         {valid - fresh, nil, nil, fresh},
		"when less than three periods are left":                      {valid - fresh + time.Second, nil, []string{updateScore}, valid},
		"when it has run out":                                        {2 * valid, nil, []string{updateScore}, valid},
		"when a figure has changed": {period, func(f *fixture) error {
			return f.member.Tracker().Add(newPod("new", "a", "1"))
		}, []string{updateScore}, valid},
		"when somebody has deleted it": {period, func(f *fixture) error {
			return errors.Join(f.Scores.Informer().GetIndexer().Delete(newScore(f.profile)),
				f.hub.Tracker().Delete(scoreGVR, f.profile.Namespace, scoreName(f.profile.Name)))
		}, []string{createScore, updateScore}, valid},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, newNode("a", "4"))
			require.NotNil(t, f.collectOnce(t.Context(), t))
			f.writes()
			f.clock.Step(test.after)
			if test.change != nil {
				require.NoError(t, test.change(f))
			}
			f.collectOnce(t.Context(), t)
			assert.Equal(t, test.writes, f.writes())
			assert.Equal(t, test.valid, f.validFor(t))
		})
	}
}

// A member that cannot be read keeps its last figures until they run out.
func TestController_UnreadableMember(t *testing.T) {
	for name, fail := range map[string]func(*fixture){
		"it does not answer":          func(f *fixture) { f.member.SetDown(true) },
		"it answers with an error":    func(f *fixture) { f.member.Answer(nodes, answer(http.StatusInternalServerError, "broken")) },
		"its pods are not to be read": func(f *fixture) { f.member.Answer("/api/v1/pods", answer(http.StatusInternalServerError, "broken")) },
		"it takes no credential":      func(f *fixture) { f.member.Answer(nodes, answer(http.StatusUnauthorized, "")) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, newNode("a", "4"))
			before := f.collectOnce(t.Context(), t).DeepCopy()
			f.writes()
			fail(f)
			for i := range 3 {
				f.clock.Step(valid)
				assert.Equal(t, before, f.collectOnce(t.Context(), t))
				assert.Equal(t, i+1, f.requeues())
			}
			assert.Empty(t, f.writes())
		})
	}
}

// A member that forbids to be read has no figures.
func TestController_ForbiddenMember(t *testing.T) {
	f := newFixture(t, newNode("a", "4"))
	require.NotEmpty(t, f.collectOnce(t.Context(), t).Status.Values)
	f.writes()
	f.member.Answer(nodes, answer(http.StatusForbidden, ""))

	assert.NotEmpty(t, f.collectOnce(t.Context(), t).Status.Values, "an API server that starts refuses for a moment")
	assert.Empty(t, f.writes())
	assert.Equal(t, 1, f.requeues())

	score := f.collectOnce(t.Context(), t)
	assert.Equal(t, []string{updateScore}, f.writes())
	assert.Empty(t, score.Status.Values)
	assert.Empty(t, score.Status.Scores)
	assert.Nil(t, score.Status.ValidUntil)
	require.Len(t, score.Status.Conditions, 1)
	assert.Equal(t, metav1.ConditionFalse, score.Status.Conditions[0].Status)
	assert.Equal(t, v1alpha1.ScoreReasonForbidden, score.Status.Conditions[0].Reason)
	assert.Contains(t, score.Status.Conditions[0].Message, "artifacts/deploy/member/base/usage.yaml")

	for range 5 {
		f.clock.Step(valid)
		f.collectOnce(t.Context(), t)
	}
	assert.Empty(t, f.writes(), "it was written again")

	f.member.Answer(nodes, listOf(t, false, newNode("a", "4")))
	assert.Equal(t, "4", valueOf(f.collectOnce(t.Context(), t), "cpu"))
	assert.Equal(t, valid, f.validFor(t))
}

// A score that is another's is not touched.
func TestController_ForeignScore(t *testing.T) {
	f := newFixture(t, newNode("a", "4"))
	other := newScore(f.profile)
	other.OwnerReferences[0].UID = "of-a-profile-before"
	require.NoError(t, f.hub.Tracker().Add(other))
	f.stored(t)
	_, err := f.syncOnce(t)
	require.ErrorContains(t, err, "ClusterScore default/bravelion-usage: "+
		"it does not belong to the ClusterProfile of UID "+string(f.profile.UID))
	assert.Empty(t, f.writes())
}

// A hub that refuses a score is tried again.
func TestController_HubRefuses(t *testing.T) {
	for name, verb := range map[string]string{"to make it": "create", "to write its status": "update"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, newNode("a", "4"))
			refuse := true
			f.hub.PrependReactor(verb, "clusterscores", func(clienttesting.Action) (bool, runtime.Object, error) {
				return refuse, nil, apierrors.NewConflict(scoreGVR.GroupResource(), "bravelion-usage", nil)
			})
			f.collectOnce(t.Context(), t)
			assert.Equal(t, 1, f.requeues())
			refuse = false
			assert.Equal(t, "4", valueOf(f.collectOnce(t.Context(), t), "cpu"))
			assert.Equal(t, 0, f.requeues())
		})
	}
}

// A member without access keeps its last figures until they run out, and is no failure.
func TestController_NoAccess(t *testing.T) {
	for name, managers := range map[string][]string{"all profiles": nil, "those of one manager": {manager}} {
		t.Run("a controller for "+name, func(t *testing.T) {
			f := newFixture(t, newNode("a", "4"))
			f.Managers = managers
			extension := &f.profile.Status.AccessProviders[0].Cluster.Extensions[0].Extension
			there, missing := extension.Raw, []byte(`{"name":"missing"}`)
			extension.Raw = missing
			failed, err := testutil.GetCounterMetricValue(collections.WithLabelValues("Failed"))
			require.NoError(t, err)
			for range 3 {
				again, err := f.reconcile(t.Context(), cache.MetaObjectToName(f.profile))
				require.NoError(t, err)
				assert.Equal(t, period, again, "access may be given later")
			}
			assert.Empty(t, f.writes())
			assert.Empty(t, f.member.Calls())
			after, err := testutil.GetCounterMetricValue(collections.WithLabelValues("Failed"))
			require.NoError(t, err)
			assert.InDelta(t, failed, after, 0)

			extension.Raw = there
			before := f.collectOnce(t.Context(), t).DeepCopy()
			f.writes()
			extension.Raw = missing
			f.clock.Step(valid)
			assert.Equal(t, before, f.collectOnce(t.Context(), t))
			assert.Empty(t, f.writes())
		})
	}
}

// Without a manager of its own, the controller reads the profiles of every manager.
func TestController_AllManagers(t *testing.T) {
	f := newFixture(t, newNode("a", "4"))
	f.Managers, f.profile.Spec.ClusterManager.Name = nil, "open-cluster-management"
	assert.Equal(t, "4", valueOf(f.collectOnce(t.Context(), t), "cpu"))
	assert.Equal(t, []string{createScore, updateScore}, f.writes())
	f.clock.Step(period)
	f.collectOnce(t.Context(), t)
	assert.Empty(t, f.writes())
}

func TestController_ProfilesNotRead(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *fixture){
		"one that is gone": func(t *testing.T, f *fixture) {
			t.Helper()
			require.NoError(t, f.Profiles.Informer().GetIndexer().Delete(f.profile))
		},
		"one of another manager, if the controller has one": func(_ *testing.T, f *fixture) {
			f.profile.Spec.ClusterManager.Name = "another"
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, newNode("a", "4"))
			f.queue.AddRateLimited(cache.MetaObjectToName(f.profile))
			change(t, f)
			f.collectOnce(t.Context(), t)
			assert.Empty(t, f.member.Calls())
			assert.Empty(t, f.writes())
			assert.Equal(t, 0, f.requeues())
		})
	}
}

// A large member is read less often.
func TestController_LargeMember(t *testing.T) {
	for name, test := range map[string]struct{ took, again time.Duration }{
		"one that takes no time is read every period":        {0, period},
		"one that takes a twentieth of it, as well":          {period / costFactor, period},
		"one that takes ten seconds is read every 200":       {10 * time.Second, 200 * time.Second},
		"and its score is valid for five times as long then": {30 * time.Second, 600 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, newNode("a", "4"))
			list := listOf(t, false, newNode("a", "4"))
			f.member.Answer(nodes, func(w http.ResponseWriter, r *http.Request) {
				f.clock.Step(test.took)
				list(w, r)
			})
			again, err := f.syncOnce(t)
			require.NoError(t, err)
			assert.Equal(t, test.again, again)
			assert.Equal(t, validPeriods*test.again, f.validFor(t))
		})
	}
}

// TestController_Period has the queue wait for the fake clock, as it does in the program.
func TestController_Period(t *testing.T) {
	f := newFixture(t, newNode("a", "4"))
	f.queue.Add(cache.MetaObjectToName(f.profile))
	for reading := range 5 {
		require.True(t, loop.Next(t.Context(), f.queue, "cluster", f.reconcile))
		assert.Equal(t, reading+1, f.readings())
		require.NotNil(t, f.stored(t))
		require.Equal(t, 0, f.requeues())
		f.clock.Step(period - time.Second)
		assert.Equal(t, 0, f.queue.Len())
		require.Eventually(t, func() bool {
			f.clock.Step(time.Second)
			return f.queue.Len() == 1
		}, time.Minute, time.Millisecond)
	}
}

// readings returns how often the nodes of the member were listed.
func (f *fixture) readings() int {
	return len(slices.DeleteFunc(f.member.Calls(), func(call string) bool { return call != "list nodes /" }))
}
