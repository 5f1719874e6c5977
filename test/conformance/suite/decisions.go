// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxSlice is how many clusters a PlacementDecision may have.
const maxSlice = 100

// decisionSpecs are about what a scheduler has written, at rest.
func decisionSpecs() []Spec {
	return []Spec{
		{
			ID: "decisions-served", Side: Scheduler, Level: Optional, Ref: kep5313,
			Sentence: "The hub serves placementdecisions in multicluster.x-k8s.io/v1alpha2, in namespaces.",
			check:    checkDecisionsServed,
		},
		decisions("slice-size", Required, "A PlacementDecision has at most 100 clusters.", checkSize),
		decisions("decision-key", Required,
			"A PlacementDecision with a decision-index has a decision-key, which is not empty if it is set.", checkKey),
		decisions("decision-index", Required,
			"The slices of a decision-key have decision-indexes from 0 on without a gap, or none of them has one.", checkIndex),
		decisions("decision-index-unique", Optional,
			"No two slices of a decision-key have one decision-index; readers order those that do by name.", checkUnique),
		{
			ID: "decision-profiles", Side: Scheduler, Level: Optional, Ref: kep5313,
			Sentence: "Each cluster of a decision is a ClusterProfile, of the namespace of the decision if it names no other.",
			check:    checkResolves,
		},
	}
}

// decisions returns a spec about all PlacementDecisions of the namespace, when they are at rest.
func decisions(id string, level Level, sentence string, check func(all []decision) (string, error)) Spec {
	return Spec{ID: id, Side: Scheduler, Level: level, Ref: kep5313, Sentence: sentence,
		check: func(ctx context.Context, h *hub) (string, error) {
			return settled(ctx, &h.decisions.recorder, func() (string, error) {
				all, err := h.allDecisions(ctx)
				if err != nil {
					return "", err
				}
				return check(all)
			})
		}}
}

// allDecisions returns the PlacementDecisions of the namespace. It is a skip if there are none.
func (h *hub) allDecisions(ctx context.Context) ([]decision, error) {
	if _, err := h.served(ctx, placementDecisions); isA[violationError](err) {
		return nil, skipped("the hub serves no placementdecisions")
	}
	items, _, err := h.list(ctx, placementDecisions, h.DecisionNamespace)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, skipped("namespace %s has no PlacementDecision", quote(h.DecisionNamespace))
	}
	return decode[decision](items)
}

func checkDecisionsServed(ctx context.Context, h *hub) (string, error) {
	resource, err := h.served(ctx, placementDecisions)
	if err == nil && !resource.Namespaced {
		err = violated("placementdecisions have no namespace")
	}
	return "discovery says so", err
}

func checkSize(all []decision) (string, error) {
	most, found := 0, []string{}
	for i := range all {
		count := len(all[i].Decisions)
		if most = max(most, count); count > maxSlice {
			found = append(found, fmt.Sprintf("%s has %d clusters", quote(all[i].Name), count))
		}
	}
	if len(found) > 0 {
		return "", violated("%s", these(found))
	}
	return fmt.Sprintf("%d slices of up to %d clusters", len(all), most), nil
}

func checkKey(all []decision) (string, error) {
	var found []string
	for i := range all {
		key, keyed := all[i].Labels[labelKey]
		_, indexed := all[i].Labels[labelIndex]
		if key == "" && (keyed || indexed) {
			found = append(found, quote(all[i].Name))
		}
	}
	if len(found) > 0 {
		return "", violated("without a decision-key: %s", these(found))
	}
	return fmt.Sprintf("%d slices of %d decision-keys", len(all), len(byKey(all))), nil
}

// byKey returns the slices of each decision-key, as a reader orders them: by their index, and those
// of one index by name.
func byKey(all []decision) map[string][]decision {
	grouped := map[string][]decision{}
	for i := range all {
		if key := all[i].Labels[labelKey]; key != "" {
			grouped[key] = append(grouped[key], all[i])
		}
	}
	for _, ofKey := range grouped {
		slices.SortFunc(ofKey, func(a, b decision) int {
			return cmp.Or(cmp.Compare(index(&a), index(&b)), cmp.Compare(a.Name, b.Name))
		})
	}
	return grouped
}

// index returns the decision-index of a slice, -1 if it is not a number as one writes it.
func index(d *decision) int {
	text := d.Labels[labelIndex]
	number, err := strconv.Atoi(text)
	if err != nil || number < 0 || strconv.Itoa(number) != text {
		return -1
	}
	return number
}

// checkIndex tolerates that slices share an index.
func checkIndex(all []decision) (string, error) {
	grouped, found, indexed, ties := byKey(all), []string{}, 0, 0
	for _, key := range slices.Sorted(maps.Keys(grouped)) {
		ofKey := grouped[key]
		if !slices.ContainsFunc(ofKey, func(d decision) bool { _, has := d.Labels[labelIndex]; return has }) {
			continue
		}
		next := 0
		for i := range ofKey {
			switch at := index(&ofKey[i]); {
			case at == next:
				next++
			case at >= 0 && at == next-1:
				ties++
			default:
				found = append(found, fmt.Sprintf("%s of key %s has the index %s where %d follows",
					quote(ofKey[i].Name), quote(key), quote(ofKey[i].Labels[labelIndex]), next))
				next = max(next, at+1)
			}
		}
		indexed++
	}
	switch {
	case len(found) > 0:
		return "", violated("%s", these(found))
	case indexed == 0:
		return "", skipped("no PlacementDecision has a decision-key and a decision-index")
	}
	return fmt.Sprintf("%d decisions; %d slices share an index", indexed, ties), nil
}

func checkUnique(all []decision) (string, error) {
	grouped, found, indexed := byKey(all), []string{}, 0
	for _, key := range slices.Sorted(maps.Keys(grouped)) {
		for i, d := range grouped[key] {
			if index(&d) < 0 {
				continue
			}
			indexed++
			if i > 0 && index(&grouped[key][i-1]) == index(&d) {
				found = append(found, fmt.Sprintf("%s and %s of key %s", quote(grouped[key][i-1].Name), quote(d.Name), quote(key)))
			}
		}
	}
	switch {
	case len(found) > 0:
		return "", violated("one index: %s", these(found))
	case indexed == 0:
		return "", skipped("no PlacementDecision has a decision-key and a decision-index")
	}
	return fmt.Sprintf("%d slices", indexed), nil
}

func checkResolves(ctx context.Context, h *hub) (string, error) {
	return settled(ctx, &h.decisions.recorder, func() (string, error) {
		all, err := h.allDecisions(ctx)
		if err != nil {
			return "", err
		}
		profiles, err := h.profilesIn(ctx, metav1.NamespaceAll)
		if unreadable(err) {
			return "", skipped("the suite may not list the profiles of all namespaces")
		}
		if err != nil {
			return "", err
		}
		there := map[string]bool{}
		for i := range profiles {
			there[profiles[i].String()] = true
		}
		count, found := 0, []string{}
		for i := range all {
			for _, name := range all[i].clusters() {
				if count++; !there[name] {
					found = append(found, fmt.Sprintf("%s of %s", quote(name), quote(all[i].Name)))
				}
			}
		}
		if len(found) > 0 {
			return "", violated("no such ClusterProfile: %s", these(found))
		}
		return fmt.Sprintf("%d clusters in %d slices", count, len(all)), nil
	})
}
