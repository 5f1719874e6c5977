// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"slices"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
)

func TestDecisionSpecs(t *testing.T) {
	quick(t)
	type objects = []*unstructured.Unstructured
	for name, test := range map[string]struct {
		id             string
		slices         objects
		outcome, words string
	}{
		"there is no decision": {id: "slice-size", outcome: skippedSpec, words: "no PlacementDecision"},
		"a slice is full":      {id: "slice-size", slices: objects{newSlice("a", "k", "0", names(100)...)}, outcome: passed, words: "up to 100"},
		"a slice is too full": {
			id: "slice-size", slices: objects{newSlice("a", "k", "0", names(101)...)}, outcome: notConformant, words: `"a" has 101 clusters`,
		},
		"one slice needs no key": {id: "decision-key", slices: objects{newSlice("a", "", "")}, outcome: passed},
		"an index has a key":     {id: "decision-key", slices: objects{newSlice("a", "k", "0")}, outcome: passed},
		"an index without a key": {id: "decision-key", slices: objects{newSlice("a", "", "0")}, outcome: notConformant, words: `"a"`},
		"a key that is empty":    {id: "decision-key", slices: objects{emptyKey()}, outcome: notConformant, words: `"a"`},
		"nothing has an index":   {id: "decision-index", slices: objects{newSlice("a", "k", "")}, outcome: skippedSpec},
		"indexes from 0 on": {
			id: "decision-index", slices: objects{newSlice("b", "k", "0"), newSlice("a", "k", "1")}, outcome: passed,
		},
		"two keys count for themselves": {
			id: "decision-index", slices: objects{newSlice("a", "k", "0"), newSlice("b", "l", "0")}, outcome: passed, words: "2 decisions; 0 ",
		},
		"indexes that are shared": {
			id: "decision-index", slices: objects{newSlice("a", "k", "0"), newSlice("b", "k", "0"), newSlice("c", "k", "1")},
			outcome: passed, words: "1 slices share",
		},
		"ten indexes in their order": {id: "decision-index", slices: indexed(11), outcome: passed},
		"indexes from 1 on": {
			id: "decision-index", slices: objects{newSlice("a", "k", "1")}, outcome: notConformant, words: `the index "1" where 0 follows`,
		},
		"indexes with a gap": {
			id: "decision-index", slices: objects{newSlice("a", "k", "0"), newSlice("b", "k", "2")},
			outcome: notConformant, words: `the index "2" where 1 follows`,
		},
		"one slice lacks the index": {
			id: "decision-index", slices: objects{newSlice("a", "k", "0"), newSlice("b", "k", "")}, outcome: notConformant, words: `"b"`,
		},
		"an index that is no number":     {id: "decision-index", slices: objects{newSlice("a", "k", "zero")}, outcome: notConformant},
		"an index that is written oddly": {id: "decision-index", slices: objects{newSlice("a", "k", "00")}, outcome: notConformant},
		"a negative index":               {id: "decision-index", slices: objects{newSlice("a", "k", "-1")}, outcome: notConformant},
		"no index is shared": {
			id: "decision-index-unique", slices: objects{newSlice("a", "k", "0"), newSlice("b", "k", "1")}, outcome: passed,
		},
		"an index is shared": {
			id: "decision-index-unique", slices: objects{newSlice("a", "k", "0"), newSlice("b", "k", "0")},
			outcome: notConformant, words: `"a" and "b"`,
		},
		"each cluster is a profile": {
			id: "decision-profiles", slices: objects{newSlice("a", "k", "0", "one"), newProfile("one")}, outcome: passed,
		},
		"a cluster is no profile": {
			id: "decision-profiles", slices: objects{newSlice("a", "k", "0", "two"), newProfile("one")},
			outcome: notConformant, words: `"fleet/two" of "a"`,
		},
		"no slice has moved anything": {
			id: "decision-rewrite", slices: objects{newSlice("a", "k", "0", "one")}, outcome: skippedSpec, words: "--change-decision",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := fakeHub(test.slices...)
			h.decisions.recorder.start(t.Context(), h, placementDecisions, "fleet", h.decisions.note)
			expect(t, h, test.id, test.outcome, test.words)
		})
	}
}

func TestDecisionSpecs_NotServed(t *testing.T) {
	h, _ := fakeHub(newSlice("a", "k", "7"))
	h.discovery = served{{Name: clusterProfiles, Namespaced: true}}
	expect(t, h, "decisions-served", notConformant, "has no placementdecisions")
	for _, spec := range decisionSpecs()[1:] {
		expect(t, h, spec.ID, skippedSpec, "serves no placementdecisions")
	}
}

// Readers put slices that share an index in the order of their names.
func TestByKey(t *testing.T) {
	var all []decision
	for _, slice := range []*unstructured.Unstructured{
		newSlice("d", "k", "10"), newSlice("c", "k", "2"), newSlice("b", "k", "0"), newSlice("a", "k", "2"), newSlice("none", "", ""),
	} {
		decoded, err := decode[decision]([]unstructured.Unstructured{*slice})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, decoded...)
	}
	var order []string
	for _, slice := range byKey(all)["k"] {
		order = append(order, slice.Name)
	}
	if !slices.Equal(order, []string{"b", "a", "c", "d"}) {
		t.Errorf("the slices come in the order %v", order)
	}
}

func TestDecisionLog(t *testing.T) {
	type write struct {
		slice   *unstructured.Unstructured
		deleted bool
		after   time.Duration
	}
	for name, test := range map[string]struct {
		writes  []write
		moves   int
		missing string
	}{
		"a cluster goes where it is to be, and then from where it was": {
			writes: []write{{slice: newSlice("b", "k", "1", "one", "two")}, {slice: newSlice("a", "k", "0")}}, moves: 1,
		},
		"a cluster goes from where it was first": {
			writes:  []write{{slice: newSlice("a", "k", "0")}, {slice: newSlice("b", "k", "1", "one", "two"), after: 10 * time.Millisecond}},
			missing: `"fleet/one" was in no slice of "k" for 10ms`,
		},
		"a cluster is deselected, and selected again much later": {
			writes: []write{{slice: newSlice("a", "k", "0")}, {slice: newSlice("a", "k", "0", "one"), after: time.Minute}},
		},
		"a slice is deleted before its clusters are elsewhere": {
			writes:  []write{{slice: newSlice("a", "k", "0", "one"), deleted: true}, {slice: newSlice("b", "k", "1", "one", "two")}},
			missing: `"fleet/one" was in no slice of "k" for 0s`,
		},
		"a slice is written with the same clusters in another order": {
			writes: []write{{slice: newSlice("c", "k", "2", "x", "y")}, {slice: newSlice("c", "k", "2", "y", "x")}},
		},
		"a slice of another decision does not hold a cluster": {
			writes: []write{
				{slice: newSlice("c", "l", "0", "one")}, {slice: newSlice("a", "k", "0")}, {slice: newSlice("b", "k", "1", "one", "two")},
			},
			missing: `"fleet/one" was in no slice of "k" for 0s`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log decisionLog
			at := time.Unix(1000, 0)
			first := []write{{slice: newSlice("a", "k", "0", "one")}, {slice: newSlice("b", "k", "1", "two")}}
			for _, write := range append(first, test.writes...) {
				at = at.Add(write.after)
				kind := watch.Modified
				if write.deleted {
					kind = watch.Deleted
				}
				if err := log.note(kind, write.slice, at); err != nil {
					t.Fatal(err)
				}
			}
			if log.moves != test.moves || these(log.missing) != test.missing {
				t.Errorf("%d moves, missing: %s; want %d, %s", log.moves, these(log.missing), test.moves, test.missing)
			}
		})
	}
}

// The watch of the hub tells of the writes.
func TestRewrite(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		writes         []*unstructured.Unstructured
		outcome, words string
	}{
		"no cluster is missing": {
			writes:  []*unstructured.Unstructured{newSlice("b", "k", "1", "one", "two"), newSlice("a", "k", "0", "three")},
			outcome: passed, words: "1 moves",
		},
		"a cluster is missing": {
			writes:  []*unstructured.Unstructured{newSlice("a", "k", "0", "three"), newSlice("b", "k", "1", "one", "two")},
			outcome: notConformant, words: `"fleet/one" was in no slice`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, client := fakeHub(newSlice("a", "k", "0", "one"), newSlice("b", "k", "1", "two"))
			h.deadline = time.Now().Add(5 * time.Second)
			h.decisions.recorder.start(t.Context(), h, placementDecisions, "fleet", h.decisions.note)
			for _, slice := range test.writes {
				decisions := client.Resource(groupVersion.WithResource(placementDecisions)).Namespace("fleet")
				if _, err := decisions.Update(t.Context(), slice, metav1.UpdateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			expect(t, h, "decision-rewrite", test.outcome, test.words)
		})
	}
}

func emptyKey() *unstructured.Unstructured {
	slice := newSlice("a", "k", "")
	labelled(labelKey, "")(slice)
	return slice
}

func indexed(count int) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for i := range count {
		all = append(all, newSlice(names(count)[i], "k", strconv.Itoa(i)))
	}
	return all
}
