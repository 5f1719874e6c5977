// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package sharedread

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	testingclock "k8s.io/utils/clock/testing"
)

const soon = 10 * time.Second

// store counts the reads of each key. A read ends when the test lets it, or its context does.
type store struct {
	mu    sync.Mutex
	reads map[string]int
	err   error

	begun chan string
	let   chan struct{}
	ended chan error
}

func (s *store) read(ctx context.Context, key string) (string, error) {
	s.mu.Lock()
	s.reads[key]++
	value, err := fmt.Sprintf("%s-%d", key, s.reads[key]), s.err
	s.mu.Unlock()
	s.begun <- key
	select {
	case <-s.let:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.ended <- err
	return value, err
}

func (s *store) count(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads[key]
}

// answer is what one call of Get has come to.
type answer struct {
	value string
	err   error
}

func ask(ctx context.Context, r *Reader[string, string], key string, callers int) <-chan answer {
	answers := make(chan answer, callers)
	for range callers {
		go func() {
			value, err := r.Get(ctx, key)
			answers <- answer{value, err}
		}()
	}
	return answers
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(soon):
		require.Fail(t, "nothing came")
		panic("unreachable")
	}
}

// waiting waits until so many callers wait for the next read of a key.
func waiting(t *testing.T, r *Reader[string, string], key string, callers int) {
	t.Helper()
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return callers == 0 && r.next[key] == nil || r.next[key] != nil && r.next[key].callers == callers
	}, soon, time.Millisecond)
}

func newTestReader() (*store, *Reader[string, string], *testingclock.FakeClock) {
	s := &store{reads: map[string]int{}, begun: make(chan string, 1000), let: make(chan struct{}, 1000), ended: make(chan error, 1000)}
	clock := testingclock.NewFakeClock(time.Now())
	return s, NewReader(clock, s.read), clock
}

func TestReader_Get(t *testing.T) {
	t.Run("reads an object once in an interval, for all who ask meanwhile", func(t *testing.T) {
		s, r, clock := newTestReader()
		first := ask(t.Context(), r, "a", 1)
		receive(t, s.begun)
		s.let <- struct{}{}
		assert.Equal(t, answer{"a-1", nil}, receive(t, first))

		others := ask(t.Context(), r, "a", 200)
		waiting(t, r, "a", 200)
		require.Eventually(t, clock.HasWaiters, soon, time.Millisecond)
		clock.Step(Interval - time.Millisecond)
		assert.Equal(t, 1, s.count("a"), "the interval is not over")
		clock.Step(time.Millisecond)
		receive(t, s.begun)
		s.let <- struct{}{}
		for range 200 {
			assert.Equal(t, answer{"a-2", nil}, receive(t, others))
		}
		assert.Equal(t, 2, s.count("a"))
	})

	t.Run("does not answer by a read that had begun before the question", func(t *testing.T) {
		s, r, clock := newTestReader()
		early := ask(t.Context(), r, "a", 1)
		receive(t, s.begun)
		late := ask(t.Context(), r, "a", 1)
		waiting(t, r, "a", 1)
		require.Eventually(t, clock.HasWaiters, soon, time.Millisecond)
		s.let <- struct{}{}
		assert.Equal(t, "a-1", receive(t, early).value)
		clock.Step(Interval)
		receive(t, s.begun)
		s.let <- struct{}{}
		assert.Equal(t, "a-2", receive(t, late).value)
	})

	t.Run("one object does not wait for another", func(t *testing.T) {
		s, r, _ := newTestReader()
		for _, key := range []string{"a", "b", "c"} {
			got := ask(t.Context(), r, key, 1)
			assert.Equal(t, key, receive(t, s.begun))
			s.let <- struct{}{}
			assert.Equal(t, key+"-1", receive(t, got).value)
		}
	})

	t.Run("returns the error of the read, and reads again", func(t *testing.T) {
		s, r, clock := newTestReader()
		s.err = errors.New("etcd is away")
		s.let <- struct{}{}
		require.ErrorIs(t, receive(t, ask(t.Context(), r, "a", 1)).err, s.err)
		s.mu.Lock()
		s.err = nil
		s.mu.Unlock()
		again := ask(t.Context(), r, "a", 1)
		require.Eventually(t, clock.HasWaiters, soon, time.Millisecond)
		clock.Step(Interval)
		s.let <- struct{}{}
		assert.Equal(t, answer{"a-2", nil}, receive(t, again))
	})
}

func TestReader_GetCancelled(t *testing.T) {
	t.Run("others wait on for the same read", func(t *testing.T) {
		s, r, clock := newTestReader()
		s.let <- struct{}{}
		receive(t, ask(t.Context(), r, "a", 1))
		impatient, cancel := context.WithCancel(t.Context())
		gone := ask(impatient, r, "a", 1) // whose read it is
		waiting(t, r, "a", 1)
		patient := ask(t.Context(), r, "a", 1)
		waiting(t, r, "a", 2)
		cancel()
		require.ErrorIs(t, receive(t, gone).err, context.Canceled)
		require.Eventually(t, clock.HasWaiters, soon, time.Millisecond)
		clock.Step(Interval)
		s.let <- struct{}{}
		assert.Equal(t, answer{"a-2", nil}, receive(t, patient))
	})

	t.Run("with the last of them the read ends", func(t *testing.T) {
		s, r, _ := newTestReader()
		impatient, cancel := context.WithCancel(t.Context())
		gone := ask(impatient, r, "a", 3)
		receive(t, s.begun)
		cancel()
		for range 3 {
			require.ErrorIs(t, receive(t, gone).err, context.Canceled)
		}
		require.ErrorIs(t, receive(t, s.ended), context.Canceled, "the read goes on")
	})

	t.Run("one that has not begun never does, and does not delay the next", func(t *testing.T) {
		s, r, clock := newTestReader()
		s.let <- struct{}{}
		receive(t, ask(t.Context(), r, "a", 1))
		impatient, cancel := context.WithCancel(t.Context())
		gone := ask(impatient, r, "a", 1)
		waiting(t, r, "a", 1)
		cancel()
		receive(t, gone)
		waiting(t, r, "a", 0)
		require.Eventually(t, func() bool { return !clock.HasWaiters() }, soon, time.Millisecond, "its timer is left")
		clock.Step(Interval)
		assert.Equal(t, 1, s.count("a"))
		s.let <- struct{}{}
		assert.Equal(t, "a-2", receive(t, ask(t.Context(), r, "a", 1)).value)
	})
}

func TestReader_GetIsBounded(t *testing.T) {
	r := NewReader(testingclock.NewFakeClock(time.Now()), func(context.Context, int) (int, error) { return 0, nil })
	for key := range remembered + 100 {
		_, err := r.Get(t.Context(), key)
		require.NoError(t, err)
	}
	assert.Len(t, r.begun.Keys(), remembered)
	assert.Empty(t, r.next)
}
