// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubelet plays the nodes and the Job controller of a cluster that has neither: it starts
// and completes every Job that is not suspended. It makes no pods and runs nothing.
package kubelet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
)

// RunForAnnotation is how long a Job takes from its start to its end, as a duration such as 5s.
// Jobs without it end at once.
const RunForAnnotation = "kubelet.test.clusterpass.dev/run-for"

// workers bounds how many Jobs are written at a time.
const workers = 4

// Kubelet completes the Jobs of one cluster.
type Kubelet struct {
	client kubernetes.Interface
	clock  clock.WithTicker
	jobs   batchlisters.JobLister
	synced cache.InformerSynced
	start  func(stop <-chan struct{})
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
}

// New returns one for the cluster; Run makes it work.
func New(config *rest.Config) (*Kubelet, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return newKubelet(client, clock.RealClock{})
}

func newKubelet(client kubernetes.Interface, clock clock.WithTicker) (*Kubelet, error) {
	factory := informers.NewSharedInformerFactory(client, 0)
	jobs := factory.Batch().V1().Jobs()
	k := &Kubelet{
		client: client,
		clock:  clock,
		jobs:   jobs.Lister(),
		start:  factory.Start,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName](),
			workqueue.TypedRateLimitingQueueConfig[cache.ObjectName]{Clock: clock},
		),
	}
	registration, err := jobs.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    k.enqueue,
		UpdateFunc: func(_, job any) { k.enqueue(job) },
	})
	if err != nil {
		return nil, err
	}
	k.synced = registration.HasSynced
	return k, nil
}

func (k *Kubelet) enqueue(object any) {
	if job, ok := object.(*batchv1.Job); ok {
		k.queue.Add(cache.MetaObjectToName(job))
	}
}

// Ready returns nil once it has seen all Jobs that there are.
func (k *Kubelet) Ready(context.Context) error {
	if !k.synced() {
		return errors.New("the Jobs are not listed yet")
	}
	return nil
}

// Run completes Jobs until ctx ends.
func (k *Kubelet) Run(ctx context.Context) {
	k.start(ctx.Done())
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for k.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	k.queue.ShutDown()
	running.Wait()
}

// next does what is due for one Job. It returns false when there is no more to come.
func (k *Kubelet) next(ctx context.Context) bool {
	name, shutdown := k.queue.Get()
	if shutdown {
		return false
	}
	defer k.queue.Done(name)
	after, err := k.sync(ctx, name)
	switch {
	case apierrors.IsNotFound(err) || err == nil && after <= 0:
		k.queue.Forget(name)
	case err == nil:
		k.queue.Forget(name)
		k.queue.AddAfter(name, after)
	default:
		klog.FromContext(ctx).V(2).Info("Trying again", "job", klog.KRef(name.Namespace, name.Name), "err", err)
		k.queue.AddRateLimited(name)
	}
	return true
}

// sync brings a Job one step further, and returns in how long to look at it again, 0 for when it
// changes.
func (k *Kubelet) sync(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	job, err := k.jobs.Jobs(name.Namespace).Get(name.Name)
	if err != nil {
		return 0, err
	}
	if !runs(job) {
		return 0, nil
	}
	runFor, err := runFor(job)
	if err != nil {
		klog.FromContext(ctx).Error(err, "The Job is left alone", "job", klog.KObj(job))
		return 0, nil
	}
	job = job.DeepCopy()
	if job.Status.StartTime == nil {
		started(job, metav1.NewTime(k.clock.Now()))
		return 0, k.update(ctx, job)
	}
	if left := runFor - k.clock.Since(job.Status.StartTime.Time); left > 0 {
		return left, nil
	}
	completed(job, metav1.NewTime(k.clock.Now()))
	return 0, k.update(ctx, job)
}

func (k *Kubelet) update(ctx context.Context, job *batchv1.Job) error {
	_, err := k.client.BatchV1().Jobs(job.Namespace).UpdateStatus(ctx, job, metav1.UpdateOptions{})
	return err
}

// runs says whether pods of the Job would run here: it is not suspended, has not ended and is not
// another's to manage.
func runs(job *batchv1.Job) bool {
	if job.DeletionTimestamp != nil || ptr.Deref(job.Spec.Suspend, false) {
		return false
	}
	if ptr.Deref(job.Spec.ManagedBy, batchv1.JobControllerName) != batchv1.JobControllerName {
		return false
	}
	for _, condition := range job.Status.Conditions {
		ended := condition.Type == batchv1.JobComplete || condition.Type == batchv1.JobFailed
		if ended && condition.Status == corev1.ConditionTrue {
			return false
		}
	}
	return true
}

func runFor(job *batchv1.Job) (time.Duration, error) {
	value, ok := job.Annotations[RunForAnnotation]
	if !ok {
		return 0, nil
	}
	duration, err := time.ParseDuration(value)
	if err != nil {
		return 0, fmt.Errorf("annotation %s: %w", RunForAnnotation, err)
	}
	return duration, nil
}

// started is the status that the Job controller writes when all pods run.
func started(job *batchv1.Job, now metav1.Time) {
	job.Status.StartTime = &now
	job.Status.Active = ptr.Deref(job.Spec.Parallelism, 1)
	job.Status.Ready = ptr.To(job.Status.Active)
	job.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
}

// completed is the status that it writes when all pods have succeeded.
func completed(job *batchv1.Job, now metav1.Time) {
	job.Status.Active, job.Status.Ready = 0, ptr.To[int32](0)
	job.Status.Succeeded = ptr.Deref(job.Spec.Completions, ptr.Deref(job.Spec.Parallelism, 1))
	job.Status.CompletionTime = &now
	for _, conditionType := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete} {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
			Type:               conditionType,
			Status:             corev1.ConditionTrue,
			Reason:             batchv1.JobReasonCompletionsReached,
			LastProbeTime:      now,
			LastTransitionTime: now,
		})
	}
}
