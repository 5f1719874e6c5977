// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"cmp"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// returnTime is within which a cluster that leaves a decision and is in it again was missing
// between two writes. One that returns later was deselected, and selected again.
const returnTime = 10 * time.Second

// selected is a cluster in a decision, of one or more slices.
type selected struct{ decision, cluster string }

// decisionLog is what the watch of PlacementDecisions has told.
type decisionLog struct {
	recorder recorder
	// slices has what each PlacementDecision selects, by its name.
	slices map[string]map[selected]bool
	// in counts the slices that a cluster is in, and left is when it was in none any more.
	in   map[selected]int
	left map[selected]time.Time
	// moves counts how often a cluster left a slice and stayed in another.
	moves int
	// missing are the clusters that were in no slice between two writes.
	missing []string
}

// note takes in a slice. It is called under the recorder's lock.
func (l *decisionLog) note(kind watch.EventType, object *unstructured.Unstructured, at time.Time) error {
	var read decision
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &read); err != nil {
		return fmt.Errorf("reading PlacementDecision %s: %w", quote(object.GetName()), err)
	}
	l.take(kind == watch.Deleted, &read, at)
	return nil
}

func (l *decisionLog) take(deleted bool, read *decision, at time.Time) {
	if l.slices == nil {
		l.slices, l.in, l.left = map[string]map[selected]bool{}, map[selected]int{}, map[selected]time.Time{}
	}
	old, next := l.slices[read.Name], map[selected]bool{}
	delete(l.slices, read.Name)
	if !deleted {
		// A slice without a key is a decision of its own.
		key := cmp.Or(read.Labels[labelKey], "/"+read.Name)
		for _, cluster := range read.clusters() {
			next[selected{key, cluster}] = true
		}
		l.slices[read.Name] = next
	}
	// One write of one slice happens at once: what it keeps is never missing.
	for cluster := range next {
		if !old[cluster] {
			l.enter(cluster, at)
		}
	}
	for cluster := range old {
		if !next[cluster] {
			l.leave(cluster, at)
		}
	}
}

func (l *decisionLog) enter(cluster selected, at time.Time) {
	left, was := l.left[cluster]
	delete(l.left, cluster)
	if away := at.Sub(left); was && away < returnTime && len(l.missing) < maxObjects {
		l.missing = append(l.missing, fmt.Sprintf("%s was in no slice of %s for %s",
			quote(cluster.cluster), quote(cluster.decision), away.Round(time.Millisecond)))
	}
	l.in[cluster]++
}

func (l *decisionLog) leave(cluster selected, at time.Time) {
	if l.in[cluster]--; l.in[cluster] > 0 {
		l.moves++
		return
	}
	delete(l.in, cluster)
	l.left[cluster] = at
}
