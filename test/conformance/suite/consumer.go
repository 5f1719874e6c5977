// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// consumerSpecs are about finding profiles: an inventory is a namespace, and is not merged with
// others.
func consumerSpecs() []Spec {
	const anchor = "#how-should-we-organize-clusterprofile-objects-on-a-hub-cluster"
	return []Spec{
		{
			ID: "list-namespace", Side: Consumer, Level: Required, Ref: kep4322 + anchor,
			Sentence: "A list of one namespace has its profiles and no others, and they are those that a list of all namespaces has there.",
			check:    checkList,
		},
		{
			ID: "watch-namespace", Side: Consumer, Level: Required, Ref: kep4322 + anchor,
			Sentence: "A watch of one namespace begins with each of its profiles, and with no others.",
			check:    checkWatchBegins,
		},
	}
}

func checkList(ctx context.Context, h *hub) (string, error) {
	return settled(ctx, &h.profiles.recorder, func() (string, error) {
		own, err := h.profilesIn(ctx, h.Namespace)
		if err != nil {
			return "", err
		}
		all, err := h.profilesIn(ctx, metav1.NamespaceAll)
		if unreadable(err) {
			return "", skipped("the suite may not list the profiles of all namespaces")
		}
		if err != nil {
			return "", err
		}
		found, namespaces := compareLists(h.Namespace, own, all)
		switch {
		case len(found) > 0:
			return "", violated("%s", these(found))
		case namespaces == 0:
			return "", skipped("no namespace but %s has profiles, with which they could be merged", quote(h.Namespace))
		}
		return fmt.Sprintf("%d profiles, and %d in %d other namespaces", len(own), len(all)-len(own), namespaces), nil
	})
}

// compareLists returns what is wrong with the list of one namespace, beside that of all, and how
// many other namespaces have profiles.
func compareLists(namespace string, own, all []profile) (found []string, namespaces int) {
	there, others := map[types.UID]bool{}, map[string]bool{}
	for i := range all {
		if all[i].Namespace == namespace {
			there[all[i].UID] = true
		} else {
			others[all[i].Namespace] = true
		}
	}
	for i := range own {
		switch p := &own[i]; {
		case p.Namespace != namespace:
			found = append(found, fmt.Sprintf("the list of %s has %s", quote(namespace), quote(p.String())))
		case !there[p.UID]:
			found = append(found, fmt.Sprintf("the list of all namespaces lacks %s", quote(p.String())))
		}
		delete(there, own[i].UID)
	}
	if len(there) > 0 {
		found = append(found, fmt.Sprintf("the list of %s lacks %d profiles", quote(namespace), len(there)))
	}
	return found, len(others)
}

func checkWatchBegins(ctx context.Context, h *hub) (string, error) {
	return settled(ctx, &h.profiles.recorder, func() (string, error) {
		profiles, err := h.profilesIn(ctx, h.Namespace)
		if err != nil {
			return "", err
		}
		if len(profiles) == 0 {
			return "", errNoProfile
		}
		missing := map[types.UID]string{}
		for i := range profiles {
			missing[profiles[i].UID] = quote(profiles[i].String())
		}
		ctx, cancel := context.WithTimeout(ctx, settleTime)
		defer cancel()
		// Without a version, a watch begins with all that there is.
		watching, err := h.resource(clusterProfiles, h.Namespace).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		defer watching.Stop()
		if err := begins(ctx, watching, h.Namespace, missing); err != nil {
			return "", err
		}
		return fmt.Sprintf("%d profiles", len(profiles)), nil
	})
}

// begins reads a watch until it has told of all that are missing.
func begins(ctx context.Context, watching watch.Interface, namespace string, missing map[types.UID]string) error {
	for len(missing) > 0 {
		select {
		case <-ctx.Done():
			return violated("in %s the watch does not tell of %s", settleTime, these(slices.Sorted(maps.Values(missing))))
		case event, open := <-watching.ResultChan():
			object, ok := event.Object.(*unstructured.Unstructured)
			switch {
			case !open:
				return violated("the watch ends before it tells of %s", these(slices.Sorted(maps.Values(missing))))
			case !ok || event.Type == watch.Error:
				return fmt.Errorf("watching: %w", apierrors.FromObject(event.Object))
			case object.GetNamespace() != namespace:
				return violated("the watch of %s tells of %s", quote(namespace), quote(object.GetNamespace()+"/"+object.GetName()))
			}
			delete(missing, object.GetUID())
		}
	}
	return nil
}

func checkWatchChange(ctx context.Context, h *hub) (string, error) {
	log := &h.profiles
	before, err := log.recorder.count()
	if err != nil {
		return "", err
	}
	if err := h.command(ctx, "change-inventory", h.ChangeInventory); err != nil {
		return "", err
	}
	// What a command has changed arrives now; otherwise anything counts that has come so far.
	deadline := h.deadline
	if h.ChangeInventory == "" {
		before = 0
	} else {
		deadline = time.Now().Add(settleTime)
	}
	came := false
	err = log.recorder.until(ctx, deadline, func() bool { came = log.recorder.events > before; return came })
	switch {
	case err != nil:
		return "", err
	case !came && h.ChangeInventory != "":
		return "", violated("%s after --change-inventory the watch of %s has told nothing", settleTime, quote(h.Namespace))
	case !came:
		return "", skipped("no profile has changed in %s; --change-inventory would change one", h.WatchFor)
	}
	return settled(ctx, &h.profiles.recorder, func() (string, error) { return log.compare(ctx, h) })
}

// compare holds what the watch has told against a list.
func (l *profileLog) compare(ctx context.Context, h *hub) (string, error) {
	items, _, err := h.list(ctx, clusterProfiles, h.Namespace)
	if err != nil {
		return "", err
	}
	l.recorder.mu.Lock()
	defer l.recorder.mu.Unlock()
	if len(l.strays) > 0 {
		return "", violated("the watch of %s tells of %s", quote(h.Namespace), these(l.strays))
	}
	told := maps.Clone(l.versions)
	var found []string
	for i := range items {
		name := items[i].GetNamespace() + "/" + items[i].GetName()
		if told[name] != items[i].GetResourceVersion() {
			found = append(found, quote(name)+" is not the one of the list")
		}
		delete(told, name)
	}
	for name := range told {
		found = append(found, quote(name)+" is gone from the list")
	}
	if len(found) > 0 {
		slices.Sort(found)
		return "", violated("the watch tells other than a list: %s", these(found))
	}
	return l.recorder.watched(), nil
}

func checkIDKept(ctx context.Context, h *hub) (string, error) {
	if h.WatchFor <= 0 {
		return "", skipped("the suite does not watch; --watch-for says how long")
	}
	log := &h.profiles
	if err := log.recorder.until(ctx, h.deadline, func() bool { return len(log.changed) > 0 }); err != nil {
		return "", err
	}
	log.recorder.mu.Lock()
	defer log.recorder.mu.Unlock()
	if len(log.changed) > 0 {
		return "", violated("%s", these(log.changed))
	}
	with := 0
	for _, id := range log.ids {
		if id != "" {
			with++
		}
	}
	if with == 0 {
		return "", skipped("no profile has an inventory-member-id")
	}
	return fmt.Sprintf("%d profiles with an id, %s", with, log.recorder.watched()), nil
}
