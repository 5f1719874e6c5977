// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
)

// errOwnerMissing is that of an object whose owner moves, too, and is not there.
var errOwnerMissing = errors.New("it has not been imported")

// owners finds the owners of objects. An object whose owner is not there would be collected as soon
// as it is imported.
type owners struct {
	hub *Hub
	// moved are the UIDs that objects which move had before.
	moved sets.Set[types.UID]
	// ahead is set before the import, when owners that move are yet to get their new UIDs.
	ahead bool
	// known has the UIDs of owners that were looked for, by namespace and the UID before: empty for
	// those that are not there.
	known map[string]types.UID
}

func newOwners(hub *Hub, moved sets.Set[types.UID]) *owners {
	return &owners{hub: hub, moved: moved, known: map[string]types.UID{}}
}

// split returns the references of an object to owners that are there, with the UIDs they have now,
// and the others. An owner of the same kind that moves, too, is among the others: it may be
// imported later than what it owns.
func (o *owners) split(ctx context.Context, k kind, object *unstructured.Unstructured) (kept, dropped []metav1.OwnerReference, err error) {
	for _, reference := range object.GetOwnerReferences() {
		if o.moved.Has(reference.UID) && reference.Kind == k.name {
			dropped = append(dropped, reference)
			continue
		}
		uid, err := o.uid(ctx, object.GetNamespace(), reference)
		if err != nil {
			return nil, nil, fmt.Errorf("owner %s %s: %w", reference.Kind, reference.Name, err)
		}
		if uid == "" {
			dropped = append(dropped, reference)
			continue
		}
		reference.UID = uid
		kept = append(kept, reference)
	}
	return kept, dropped, nil
}

// uid returns the UID that an owner has now, or none where it is not there. It is an error where an
// owner that moves is not there.
func (o *owners) uid(ctx context.Context, namespace string, reference metav1.OwnerReference) (types.UID, error) {
	moved := o.moved.Has(reference.UID)
	if moved && o.ahead {
		return reference.UID, nil
	}
	key := namespace + "/" + string(reference.UID)
	if uid, ok := o.known[key]; ok {
		return uid, nil
	}
	owner, err := o.get(ctx, namespace, reference)
	gone := apierrors.IsNotFound(err) || meta.IsNoMatchError(err)
	switch {
	case gone && moved:
		return "", errOwnerMissing
	case gone, err == nil && owner.UID != reference.UID && !moved: // another one of that name
		o.known[key] = ""
		return "", nil
	case err != nil:
		return "", err
	}
	o.known[key] = owner.UID
	return owner.UID, nil
}

// get returns an owner. The resources of those that move are not looked for in the hub's discovery,
// which trails its APIServices.
func (o *owners) get(ctx context.Context, namespace string, reference metav1.OwnerReference) (*metav1.PartialObjectMetadata, error) {
	gv, err := schema.ParseGroupVersion(reference.APIVersion)
	if err != nil {
		return nil, err
	}
	var resource schema.GroupVersionResource
	if i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == reference.Kind }); i >= 0 && gv.Group == inventory.Group {
		resource = kinds[i].gvr()
	} else {
		mapping, err := o.hub.Mapper.RESTMapping(gv.WithKind(reference.Kind).GroupKind(), gv.Version)
		if err != nil {
			return nil, err
		}
		resource = mapping.Resource
		if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
			namespace = metav1.NamespaceNone
		}
	}
	return o.hub.Metadata.Resource(resource).Namespace(namespace).Get(ctx, reference.Name, metav1.GetOptions{})
}

// findOwners warns of references that will be dropped.
func (m *Migration) findOwners(ctx context.Context, found *findings) error {
	moved := m.folder.moved()
	for _, k := range found.kinds {
		for _, object := range k.live {
			moved.Insert(object.GetUID())
		}
	}
	owners := newOwners(m.hub, moved)
	owners.ahead = true
	for _, k := range found.kinds {
		var said []string
		for _, object := range k.wanted {
			_, dropped, err := owners.split(ctx, k.kind, object)
			if err != nil {
				return fmt.Errorf("%s %s: %w", k.name, nameOf(object), err)
			}
			for _, reference := range dropped {
				said = append(said, fmt.Sprintf("%s (%s %s)", nameOf(object), reference.Kind, reference.Name))
			}
		}
		if len(said) > 0 {
			found.warn("%s imported without an owner that is not there any more or gets a new UID: %s", k.count(len(said)), named(said))
		}
	}
	return nil
}
