// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

var (
	loadFor   = flag.Duration("load", 30*time.Second, "for how long Jobs are submitted while tokens rotate")
	loadJobs  = flag.Int("load-jobs", 20, "how many Jobs are submitted in that time")
	rotations = flag.Duration("load-rotate", 5*time.Second, "how often all tokens are rotated meanwhile")
)

// Tokens rotate under load.
func TestMultiKueue_Rotation(t *testing.T) {
	f := startWithSet(t, nil, memberName, "smartfish")
	tokens := f.tokens(t)

	watched := f.watchClusters(t)
	count := f.rotateDuring(t, func(ctx context.Context) { f.submitMany(ctx, t) })
	jobs := f.allJobs(t)
	for _, name := range jobs {
		testenv.Eventually(t, f.complete(t, name))
	}
	assert.Empty(t, watched(), "Kueue was connected to both clusters all the time")
	for name, token := range f.tokens(t) {
		assert.NotEqual(t, tokens[name], token, name)
	}

	made := map[string]int{}
	credentials := 0
	for _, m := range f.members {
		used, _ := m.requestsOf(t, m.worker(t))
		credentials += used.Len()
		unauthorized := 0
		m.EachAuditEvent(t, func(event *auditv1.Event) {
			if event.ResponseStatus != nil && event.ResponseStatus.Code == http.StatusUnauthorized {
				unauthorized++
			}
			if event.Verb == "create" && event.ObjectRef != nil && event.ObjectRef.Resource == "jobs" &&
				event.ResponseStatus.Code == http.StatusCreated {
				made[event.ObjectRef.Name]++
			}
		})
		assert.Zero(t, unauthorized, "%s answered 401", m.Name())
	}
	for _, name := range jobs {
		assert.Equal(t, 1, made[name], "Job %s ran once", name)
	}
	t.Logf("%d Jobs in %s over %d rotations with %d tokens: none lost, none twice, never disconnected, no 401",
		len(jobs), *loadFor, count, credentials)
}

// rotateDuring has all tokens renewed again and again until do returns, and returns how often.
func (f *fleet) rotateDuring(t *testing.T, do func(ctx context.Context)) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), *loadFor)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { do(ctx) })
	count := 0
	for ticks := time.NewTicker(*rotations); ; {
		select {
		case <-ctx.Done():
			ticks.Stop()
			running.Wait()
			return count
		case <-ticks.C:
			count++
			kubectl(t, f.hub, "annotate", "clustercredentialset", setName, "-n", namespace, "--overwrite",
				v1alpha1.AnnotationRotate+"="+strconv.Itoa(count))
		}
	}
}

// submitMany submits Jobs, evenly until ctx ends.
func (f *fleet) submitMany(ctx context.Context, t *testing.T) {
	t.Helper()
	client, job := f.hub.Kube(t).BatchV1().Jobs(namespace), f.exampleJob(t)
	ticks := time.NewTicker(*loadFor / time.Duration(*loadJobs+1))
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			_, err := client.Create(context.WithoutCancel(ctx), job, metav1.CreateOptions{})
			assert.NoError(t, err, "a Job was not taken")
		}
	}
}

func (f *fleet) allJobs(t *testing.T) []string {
	t.Helper()
	list := testenv.List(t, f.hub.Kube(t).BatchV1().Jobs(namespace), metav1.ListOptions{})
	require.GreaterOrEqual(t, len(list.Items), *loadJobs-1)
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names
}

// watchClusters returns a function that returns what Kueue has said since of clusters that it was
// not connected to.
func (f *fleet) watchClusters(t *testing.T) func() []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	watch, err := dynamicClient(t, f.hub).Resource(multiKueueClusters).Watch(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	var said []string
	var watching sync.WaitGroup
	watching.Go(func() {
		for event := range watch.ResultChan() {
			cluster, ok := event.Object.(*unstructured.Unstructured)
			if ctx.Err() != nil {
				return
			}
			if !ok {
				said = append(said, fmt.Sprintf("the watch ended: %v", event.Object))
				continue
			}
			if is, err := activeCondition(cluster); err != nil || is.Status != metav1.ConditionTrue {
				said = append(said, fmt.Sprintf("%s: %+v %v", cluster.GetName(), is, err))
			}
		}
	})
	return func() []string {
		cancel()
		watching.Wait()
		return said
	}
}
