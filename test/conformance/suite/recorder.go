// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// rewatchPause is between two watches.
const rewatchPause = 200 * time.Millisecond

// recorder follows the objects of a resource in a namespace, from a list on and by a watch, as
// consumers do.
type recorder struct {
	done chan struct{}

	mu      sync.Mutex
	began   time.Time
	events  int
	err     error         // why it does not follow any more
	changed chan struct{} // closed at the next event
}

// noteFunc takes in an object of the list, or an event.
type noteFunc func(kind watch.EventType, object *unstructured.Unstructured, at time.Time) error

// start lists, and watches until ctx ends. note is called under the lock.
func (r *recorder) start(ctx context.Context, h *hub, resource, namespace string, note noteFunc) {
	r.done, r.changed, r.began = make(chan struct{}), make(chan struct{}), time.Now()
	watching, version, err := r.begin(ctx, h, resource, namespace, note)
	if err != nil {
		r.err = err
		close(r.done)
		return
	}
	go func() {
		defer close(r.done)
		r.follow(ctx, h.resource(resource, namespace), watching, version, note)
	}()
}

// begin takes in the objects of a list, and returns a watch of what comes after it.
func (r *recorder) begin(ctx context.Context, h *hub, resource, namespace string, note noteFunc) (watch.Interface, string, error) {
	items, version, err := h.list(ctx, resource, namespace)
	if err != nil {
		return nil, "", err
	}
	for i := range items {
		if err := note("", &items[i], r.began); err != nil {
			return nil, "", err
		}
	}
	watching, err := h.resource(resource, namespace).Watch(ctx, since(version))
	return watching, version, err
}

func since(version string) metav1.ListOptions {
	return metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true}
}

// wait returns when the recorder has ended.
func (r *recorder) wait() { <-r.done }

// follow reads a watch, and those that it begins where one ends.
func (r *recorder) follow(ctx context.Context, client dynamic.ResourceInterface, watching watch.Interface, version string, note noteFunc) {
	for {
		var err error
		if version, err = r.drain(ctx, watching, version, note); err == nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(rewatchPause):
			}
			watching, err = client.Watch(ctx, since(version))
		}
		if err != nil {
			r.fail(fmt.Errorf("watching: %w", err))
			return
		}
	}
}

// drain takes in the events of a watch, and returns the version of the last one.
func (r *recorder) drain(ctx context.Context, watching watch.Interface, version string, note noteFunc) (string, error) {
	defer watching.Stop()
	for {
		select {
		case <-ctx.Done():
			return version, nil
		case event, open := <-watching.ResultChan():
			if !open {
				return version, nil
			}
			object, ok := event.Object.(*unstructured.Unstructured)
			if event.Type == watch.Error || !ok {
				return version, apierrors.FromObject(event.Object)
			}
			version = object.GetResourceVersion()
			if event.Type == watch.Bookmark {
				continue
			}
			if err := r.take(event.Type, object, note); err != nil {
				return version, err
			}
		}
	}
}

func (r *recorder) take(kind watch.EventType, object *unstructured.Unstructured, note noteFunc) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events++
	close(r.changed)
	r.changed = make(chan struct{})
	return note(kind, object, time.Now())
}

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, err)
	close(r.changed)
	r.changed = make(chan struct{})
}

// until waits until seen, which is called under the lock, is true, at most until the deadline. It
// returns an error if the recorder has ended.
func (r *recorder) until(ctx context.Context, deadline time.Time, seen func() bool) error {
	timeout := time.NewTimer(time.Until(deadline))
	defer timeout.Stop()
	for {
		r.mu.Lock()
		is, err, changed := seen(), r.err, r.changed
		r.mu.Unlock()
		if is || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return nil
		case <-changed:
		}
	}
}

// untilQuiet waits until no event has come for quietTime, at most until the deadline.
func (r *recorder) untilQuiet(ctx context.Context, deadline time.Time) error {
	for time.Now().Before(deadline) {
		before, err := r.count()
		if err != nil {
			return err
		}
		moved := false
		err = r.until(ctx, time.Now().Add(quietTime), func() bool { moved = r.events > before; return moved })
		if err != nil || !moved {
			return err
		}
	}
	return nil
}

// count returns how many events have come, or why none come any more.
func (r *recorder) count() (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events, r.err
}

// watched says for how long, and how much has come.
func (r *recorder) watched() string {
	return fmt.Sprintf("%d events in %s", r.events, time.Since(r.began).Round(time.Second))
}
