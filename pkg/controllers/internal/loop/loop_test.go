// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

func TestRun(t *testing.T) {
	for name, test := range map[string]struct {
		again time.Duration
		err   error
		// want is how often an item is reconciled in 10 seconds, requeues how many failures the queue
		// then has counted.
		want, requeues int
	}{
		"an item is reconciled once":                                   {want: 1},
		"after the time that it returns again":                         {again: 4 * time.Second, want: 3},
		"after an error with backoff":                                  {err: errors.New("no"), want: 4, requeues: 4},
		"after the time that the error says, which counts no failures": {err: RetryError(3 * time.Second), want: 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				queue := NewQueue[string]("test", clock.RealClock{}, time.Second, time.Minute)
				queue.Add("a")
				count := 0
				Run(ctx, queue, 2, "item", func(_ context.Context, item string) (time.Duration, error) {
					assert.Equal(t, "a", item)
					count++
					return test.again, test.err
				})
				assert.Equal(t, test.want, count)
				assert.Equal(t, test.requeues, queue.NumRequeues("a"))
			})
		})
	}
}

// A handler has the object of every event, also of a deletion that was missed, and none of another
// type.
func TestTyped(t *testing.T) {
	object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"}}
	for name, test := range map[string]struct {
		event any
		want  []string
	}{
		"an object":             {object, []string{"a"}},
		"a missed deletion":     {cache.DeletedFinalStateUnknown{Key: "default/a", Obj: object}, []string{"a"}},
		"one of another type":   {cache.DeletedFinalStateUnknown{Key: "default/a", Obj: &metav1.Status{}}, nil},
		"one without an object": {cache.DeletedFinalStateUnknown{Key: "default/a"}, nil},
		"another type":          {&metav1.Status{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var byType, byInterface []string
			Typed(func(o *metav1.PartialObjectMetadata) { byType = append(byType, o.Name) })(test.event)
			Typed(func(o metav1.ObjectMetaAccessor) { byInterface = append(byInterface, o.GetObjectMeta().GetName()) })(test.event)
			assert.Equal(t, test.want, byType)
			assert.Equal(t, test.want, byInterface)
		})
	}
}

func TestPhase(t *testing.T) {
	slots := map[int]int{}
	for i := range 1000 {
		uid := types.UID(uuid.NewSHA1(uuid.NameSpaceURL, []byte(strconv.Itoa(i))).String())
		assert.Equal(t, Phase(uid), Phase(uid), "the same after every start") //nolint:testifylint // exactly
		slots[int(6*Phase(uid))]++
	}
	for slot := range 6 {
		assert.InDelta(t, 1000.0/6, slots[slot], 60, "objects in slot %d of the period", slot)
	}
}
