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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

func TestRun(t *testing.T) {
	tests := map[string]struct {
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
	}
	for name, test := range tests {
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
