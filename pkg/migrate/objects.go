// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"clusterpass.dev/pkg/bounds"
)

// list returns all objects of a kind that the hub has, in all namespaces.
func (h *Hub) list(ctx context.Context, k kind) ([]*unstructured.Unstructured, error) {
	list, err := h.Objects.Resource(k.gvr()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing %ss: %w", k.name, err)
	}
	objects := make([]*unstructured.Unstructured, 0, len(list.Items))
	for i := range list.Items {
		objects = append(objects, &list.Items[i])
	}
	return objects, nil
}

// listCRD returns all objects of a kind that the hub's CustomResourceDefinition has. The hub may go
// on forwarding requests to clusterpass for a while after its APIService leads there no more, and
// clusterpass would answer with its own objects, or with none. So listCRD waits until it does not.
func (m *Migration) listCRD(ctx context.Context, k kind) ([]*unstructured.Unstructured, error) {
	if err := m.poll(ctx, m.notForwarded); err != nil {
		return nil, err
	}
	live, err := m.hub.list(ctx, k)
	if err != nil {
		return nil, err
	}
	return live, m.notForwarded(ctx)
}

func (m *Migration) notForwarded(ctx context.Context) error {
	forwarded, err := m.forwarded(ctx)
	if forwarded {
		err = fmt.Errorf("the hub forwards requests for %s to clusterpass, which hides the objects that are to be moved", inventory)
	}
	return err
}

// findObjects reads what is to be moved: from the hub while a CustomResourceDefinition is there to
// stay, else from the folder.
func (m *Migration) findObjects(ctx context.Context, found *findings) error {
	for i := range found.kinds {
		k := &found.kinds[i]
		var err error
		if k.crd != nil && !k.terminating() {
			k.live, err = m.listCRD(ctx, k.kind)
		} else if export := m.folder.export(k.resource); export != nil {
			k.wanted, err = m.folder.load(export)
		}
		if err != nil {
			return err
		}
		for _, object := range k.live {
			k.wanted = append(k.wanted, exportForm(object))
		}
		inspect(found, k)
	}
	return nil
}

// inspect looks for live objects that cannot be moved, or not without anybody's doing.
func inspect(found *findings, k *foundKind) {
	var deleted, finalized []string
	for _, object := range k.live {
		if object.GetDeletionTimestamp() != nil {
			deleted = append(deleted, nameOf(object))
		}
		if finalizers := object.GetFinalizers(); len(finalizers) > 0 {
			finalized = append(finalized, fmt.Sprintf("%s (%s)", nameOf(object), strings.Join(finalizers, ", ")))
		}
		if _, err := k.sections(exportForm(object)); err != nil {
			found.block("%s %v: clusterpass would lose that. Upgrade clusterpass: a later release may know it", k.name, err)
		}
		if errs := bounds.Check(exportForm(object).Object, nil); len(errs) > 0 {
			found.block("%s %s is larger than clusterpass takes. Shorten it: %v", k.name, nameOf(object), bounds.Limit(errs).ToAggregate())
		}
	}
	if len(deleted) > 0 {
		found.block("%s being deleted: %s. Wait until they are gone", k.count(len(deleted)), named(deleted))
	}
	if len(finalized) > 0 {
		found.warn("%s with finalizers: %s. Whoever set them handles the removal of the CustomResourceDefinition like a deletion of each, "+
			"and the removal waits for that. They are imported with their finalizers", k.count(len(finalized)), named(finalized))
	}
}

// changes returns what is different on the hub since objects were exported, sorted. It is empty if
// nothing is.
func changes(exported []objectID, live []*unstructured.Unstructured) []string {
	type key struct{ namespace, name string }
	before := make(map[key]objectID, len(exported))
	for _, id := range exported {
		before[key{id.Namespace, id.Name}] = id
	}
	var said []string
	for _, object := range live {
		id := identify(object)
		was, ok := before[key{id.Namespace, id.Name}]
		delete(before, key{id.Namespace, id.Name})
		switch {
		case !ok:
			said = append(said, nameOf(object)+" is new")
		case was != id:
			said = append(said, nameOf(object)+" has changed")
		}
	}
	for gone := range before {
		said = append(said, gone.namespace+"/"+gone.name+" is gone")
	}
	slices.Sort(said)
	return said
}
