// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
)

var (
	now  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	name = cache.NewObjectName("default", "job")
)

func TestSync(t *testing.T) {
	started := func(job *batchv1.Job, ago time.Duration) {
		job.Status.StartTime = ptr.To(metav1.NewTime(now.Add(-ago)))
	}
	tests := []struct {
		name string
		job  func(*batchv1.Job)
		// left is in how long the Job is to be looked at again.
		left                       time.Duration
		wantStarted, wantCompleted bool
	}{
		{name: "a Job is started first, although it takes no time", job: func(*batchv1.Job) {}, wantStarted: true},
		{
			name: "a Job that was started is completed",
			job:  func(job *batchv1.Job) { started(job, 0) }, wantStarted: true, wantCompleted: true,
		},
		{
			name: "a Job takes as long as it says",
			job: func(job *batchv1.Job) {
				job.Annotations = map[string]string{RunForAnnotation: "5s"}
				started(job, 2*time.Second)
			},
			left: 3 * time.Second, wantStarted: true,
		},
		{
			name: "a Job that doesn't say how long in words of ours is left alone",
			job:  func(job *batchv1.Job) { job.Annotations = map[string]string{RunForAnnotation: "a while"} },
		},
		{
			name: "a suspended Job is left alone",
			job:  func(job *batchv1.Job) { job.Spec.Suspend = ptr.To(true) },
		},
		{
			name: "a Job that is another's to manage is left alone",
			job:  func(job *batchv1.Job) { job.Spec.ManagedBy = ptr.To("kueue.x-k8s.io/multikueue") },
		},
		{
			name: "a Job that is being deleted is left alone",
			job: func(job *batchv1.Job) {
				job.DeletionTimestamp = ptr.To(metav1.NewTime(now))
				job.Finalizers = []string{"example.com/keep"}
			},
		},
		{
			name: "a Job that has failed is left alone",
			job: func(job *batchv1.Job) {
				job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
			test.job(job)
			got, left := syncOnce(t, job)
			require.Equal(t, test.left, left)
			require.Equal(t, test.wantStarted, got.Status.StartTime != nil)
			require.Equal(t, test.wantCompleted, got.Status.CompletionTime != nil)
			if test.wantCompleted {
				require.Equal(t, int32(1), got.Status.Succeeded)
				require.Len(t, got.Status.Conditions, 2)
				require.Equal(t, batchv1.JobComplete, got.Status.Conditions[1].Type)
			}
		})
	}
}

// syncOnce returns the Job after one step, and in how long to look at it again.
func syncOnce(t *testing.T, job *batchv1.Job) (*batchv1.Job, time.Duration) {
	t.Helper()
	client := fake.NewClientset(job)
	k, err := newKubelet(client, clocktesting.NewFakeClock(now))
	require.NoError(t, err)
	k.start(t.Context().Done())
	require.True(t, cache.WaitForCacheSync(t.Context().Done(), k.synced))
	left, err := k.sync(t.Context(), name)
	require.NoError(t, err)
	got, err := client.BatchV1().Jobs(name.Namespace).Get(t.Context(), name.Name, metav1.GetOptions{})
	require.NoError(t, err)
	return got, left
}
