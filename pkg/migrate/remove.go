// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// export writes the objects that are still the hub's to the folder. Those whose
// CustomResourceDefinition is gone, or about to go, were written before.
func (m *Migration) export(_ context.Context, found *findings) (string, error) {
	live := found.live()
	if len(live) == 0 {
		return "was done before, into " + m.folder.path, nil
	}
	exports := make([]resourceExport, 0, len(live))
	for _, k := range live {
		export, err := m.folder.save(k.kind, k.crd, k.live)
		if err != nil {
			return "", err
		}
		exports = append(exports, export)
	}
	if err := m.folder.saveManifest(found.hubUID, exports); err != nil {
		return "", err
	}
	return countAll(live) + " to " + m.folder.path, nil
}

// remove deletes the CustomResourceDefinitions if nothing has changed since the export, and waits
// until they are gone.
func (m *Migration) remove(ctx context.Context, found *findings) (string, error) {
	live := found.live()
	if len(live) > 0 {
		if err := m.confirm(ctx, live); err != nil {
			return "", err
		}
	}
	for _, k := range live {
		if err := m.compare(ctx, k.kind); err != nil {
			return "", err
		}
	}
	for _, k := range found.kinds {
		m.removing = m.removing || k.terminating()
	}
	// Owners last: what they own is collected with them, and would be missing if this run ended in
	// between.
	for _, k := range slices.Backward(live) {
		m.removing = true
		err := m.hub.CRDs.ApiextensionsV1().CustomResourceDefinitions().
			Delete(ctx, k.crd.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(k.crd.UID))})
		if err != nil && !apierrors.IsNotFound(err) {
			return "", fmt.Errorf("deleting CustomResourceDefinition %s: %w", k.crd.Name, err)
		}
	}
	for _, k := range found.kinds {
		if err := m.poll(ctx, func(ctx context.Context) error { return m.gone(ctx, k.kind) }); err != nil {
			return "", err
		}
	}
	return crdNames(found.kinds) + " are gone", nil
}

// confirm asks the person who runs this.
func (m *Migration) confirm(ctx context.Context, live []foundKind) error {
	if m.options.Yes {
		return nil
	}
	fmt.Fprintf(m.streams.ErrOut, "About to delete %s of hub %s with %s, all exported to %s. "+
		"The cluster manager that owns them must be stopped: what it writes from now on is lost, "+
		"and it may treat this as the removal of its clusters. Continue? Answer yes: ", crdNames(live), m.hub.URL, countAll(live), m.folder.path)
	// A read from a terminal cannot be interrupted: it is left behind when ctx ends, and the program
	// ends with it.
	answers := make(chan string, 1)
	go func() {
		answer, err := bufio.NewReader(m.streams.In).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			answer = ""
		}
		answers <- strings.TrimSpace(answer)
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case answer := <-answers:
		if answer != "yes" {
			return errNotConfirmed
		}
		return nil
	}
}

// compare returns an error that names the objects of a kind that are not as they were exported.
func (m *Migration) compare(ctx context.Context, k kind) error {
	live, err := m.listCRD(ctx, k)
	if err != nil {
		return err
	}
	if changed := changes(m.folder.export(k.resource).Objects, live); len(changed) > 0 {
		return fmt.Errorf("%ss are not as they were exported: %s. Stop their writer; the next run exports them again", k.name, named(changed))
	}
	return nil
}

// gone returns nil once the CustomResourceDefinition of a kind is gone, else what it waits for.
func (m *Migration) gone(ctx context.Context, k kind) error {
	_, err := m.hub.CRDs.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, k.crd(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	left, err := m.hub.list(ctx, k)
	if err != nil {
		return fmt.Errorf("CustomResourceDefinition %s is still there: %w", k.crd(), err)
	}
	names := make([]string, 0, len(left))
	for _, object := range left {
		names = append(names, fmt.Sprintf("%s (finalizers: %s)", nameOf(object), strings.Join(object.GetFinalizers(), ", ")))
	}
	return fmt.Errorf("CustomResourceDefinition %s is still there, with %s: %s. "+
		"Whoever set the finalizers has to finish, or remove them from the objects", k.crd(), k.count(len(left)), named(names))
}
