// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// importer creates objects at clusterpass.
type importer struct {
	*Migration
	owners *owners
	// refused says what was not imported, kept has the names of objects that exist, differ and are to
	// stay.
	refused, kept []string
}

// errDiffers is that of an object which exists and is not what was exported. It is never written
// over.
var errDiffers = errors.New("409 it exists and differs from the export")

// importAll creates what is missing and makes sure that everything is as it was exported.
func (m *Migration) importAll(ctx context.Context, found *findings) (string, error) {
	i := &importer{Migration: m, owners: newOwners(m.hub, m.folder.moved())}
	for _, k := range found.kinds {
		if err := i.importKind(ctx, &k); err != nil {
			return "", err
		}
	}
	if err := i.refusals(); err != nil {
		return "", err
	}
	said := countAll(found.kinds)
	if len(i.kept) > 0 {
		return fmt.Sprintf("%s, of which %d exist and differ and were kept: %s", said, len(i.kept), named(i.kept)), nil
	}
	return said + " are as they were exported", nil
}

// refusals returns what was not imported as one error, or nil.
func (i *importer) refusals() error {
	if len(i.refused) == 0 {
		return nil
	}
	said := strings.Join(i.refused[:min(len(i.refused), namedAtMost)], "\n- ")
	if more := len(i.refused) - namedAtMost; more > 0 {
		said += fmt.Sprintf("\n- and %d more", more)
	}
	return fmt.Errorf("%d objects were not imported, all others were:\n- %s\n"+
		"Delete those that exist and are wrong, create by hand those that are refused, and keep those that exist and differ with --keep-existing",
		len(i.refused), said)
}

// importKind creates the objects of a kind and compares all of them with the export. It returns an
// error where going on would be in vain.
func (i *importer) importKind(ctx context.Context, k *foundKind) error {
	wanted := make(map[string]*unstructured.Unstructured, len(k.wanted))
	for _, exported := range k.wanted {
		object, err := i.withOwners(ctx, k.kind, exported)
		if err == nil {
			err = i.importOne(ctx, k.kind, object)
		}
		switch {
		case err == nil:
			wanted[nameOf(object)] = object
		case isAnswer(err):
			i.refuse(k.kind, exported, err)
		default:
			return fmt.Errorf("importing %s %s: %w", k.name, nameOf(exported), err)
		}
	}
	return i.verify(ctx, k.kind, wanted)
}

// refuse notes what is wrong with one object.
func (i *importer) refuse(k kind, object *unstructured.Unstructured, err error) {
	if errors.Is(err, errDiffers) && i.options.KeepExisting {
		i.kept = append(i.kept, k.name+" "+nameOf(object))
		return
	}
	i.refused = append(i.refused, fmt.Sprintf("%s %s: %v", k.name, nameOf(object), err))
}

// isAnswer returns whether err is about one object, so that others may fare better.
func isAnswer(err error) bool {
	return errors.Is(err, errDiffers) || errors.Is(err, errOwnerMissing) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) ||
		apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsConflict(err)
}

// withOwners returns a copy of an exported object with references to the owners that are there.
func (i *importer) withOwners(ctx context.Context, k kind, exported *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	kept, _, err := i.owners.split(ctx, k, exported)
	if err != nil {
		return nil, err
	}
	object := exported.DeepCopy()
	object.SetOwnerReferences(kept)
	return object, nil
}

// importOne creates an object, if it is missing, and then writes its status, if it has none. It is
// the same whether or not it was tried before.
func (i *importer) importOne(ctx context.Context, k kind, wanted *unstructured.Unstructured) error {
	client := i.hub.Objects.Resource(k.gvr()).Namespace(wanted.GetNamespace())
	live, err := client.Create(ctx, wanted, metav1.CreateOptions{FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict})
	if apierrors.IsAlreadyExists(err) {
		live, err = client.Get(ctx, wanted.GetName(), metav1.GetOptions{})
	}
	if err != nil {
		return err
	}
	different, err := k.differences(wanted, live)
	if err != nil || len(different) == 0 {
		return err
	}
	if !slices.Equal(different, []string{statusSection}) || hasStatus(k, live) {
		return differs(different)
	}
	live.Object[statusSection] = wanted.Object[statusSection]
	// With the resource version of what was compared: nobody else's status is written over.
	_, err = client.UpdateStatus(ctx, live, metav1.UpdateOptions{FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict})
	if apierrors.IsConflict(err) {
		return differs(different)
	}
	return err
}

// hasStatus returns whether anybody has written the status of a live object.
func hasStatus(k kind, live *unstructured.Unstructured) bool {
	bare := live.DeepCopy()
	unstructured.RemoveNestedField(bare.Object, statusSection)
	different, err := k.differences(bare, live)
	return err != nil || len(different) > 0
}

func differs(in []string) error {
	return fmt.Errorf("%w, in %s", errDiffers, strings.Join(in, ", "))
}

// verify compares what the hub has of a kind with what was imported.
func (i *importer) verify(ctx context.Context, k kind, wanted map[string]*unstructured.Unstructured) error {
	live, err := i.hub.list(ctx, k, inventory)
	if err != nil {
		return fmt.Errorf("verifying the import: %w", err)
	}
	for _, object := range live {
		want, ok := wanted[nameOf(object)]
		if !ok {
			continue
		}
		delete(wanted, nameOf(object))
		different, err := k.differences(want, object)
		if err != nil {
			return fmt.Errorf("verifying the import: %w", err)
		}
		if len(different) > 0 {
			i.refuse(k, object, differs(different))
		}
	}
	for name := range wanted {
		i.refused = append(i.refused, fmt.Sprintf("%s %s: it was imported but does not exist any more", k.name, name))
	}
	return nil
}
