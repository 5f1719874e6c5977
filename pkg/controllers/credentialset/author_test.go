// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	testingclock "k8s.io/utils/clock/testing"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

func TestController_TellAuthor(t *testing.T) {
	const day, maxAge = 24 * time.Hour, 90 * 24 * time.Hour
	now := time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		age          time.Duration
		groups       []string
		expiring     string
		unrestricted bool
		queued       bool
	}{
		"an author who has time is nothing to tell of": {age: maxAge - 15*day},
		"14 days before the end, a set says so": {age: maxAge - 14*day, expiring: v1alpha1.CredentialSetReasonExpiresSoon,
			queued: true},
		"and after it": {age: maxAge, expiring: v1alpha1.CredentialSetReasonExpired},
		"an author in system:masters gets a warning": {groups: []string{"system:masters"}, unrestricted: true},
	} {
		t.Run(name, func(t *testing.T) {
			recorder, clock := events.NewFakeRecorder(4), testingclock.NewFakeClock(now)
			c := &Controller{
				Options: Options{MaxAuthorAge: maxAge, Clock: clock, Recorder: recorder},
				setQueue: workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName](),
					workqueue.TypedRateLimitingQueueConfig[cache.ObjectName]{Clock: clock}),
			}
			t.Cleanup(c.setQueue.ShutDown)
			since := metav1.NewTime(now.Add(-test.age))
			set := setOf(all)
			set.Spec.Author.Since, set.Spec.Author.Groups = &since, test.groups
			next := set.DeepCopy()
			c.setAuthorConditions(set, next)
			assert.Equal(t, test.unrestricted, meta.IsStatusConditionTrue(next.Status.Conditions, v1alpha1.CredentialSetAuthorUnrestricted))
			is := meta.FindStatusCondition(next.Status.Conditions, v1alpha1.CredentialSetAuthorExpiring)
			if test.expiring == "" {
				assert.Nil(t, is)
				assert.Empty(t, recorder.Events)
				return
			}
			require.NotNil(t, is)
			assert.Equal(t, test.expiring, is.Reason)
			assert.Contains(t, is.Message, "kubectl clusterpass renew-author set -n team")
			assert.Len(t, recorder.Events, 1)

			again := next.DeepCopy()
			c.setAuthorConditions(next, again)
			assert.Len(t, recorder.Events, 1, "the event is not repeated")
			clock.Step(14 * day)
			assert.Eventually(t, func() bool { return c.setQueue.Len() > 0 == test.queued }, 10*time.Second, 10*time.Millisecond,
				"it is looked at again at the end")

			set.Spec.Author.Since = &metav1.Time{Time: clock.Now()}
			c.setAuthorConditions(set, again)
			assert.Nil(t, meta.FindStatusCondition(again.Status.Conditions, v1alpha1.CredentialSetAuthorExpiring), "a new author has time again")
		})
	}
}
