// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/words"
)

// namedAtMost bounds how many objects an answer names.
const namedAtMost = 20

// findings are what preflight has found on the hub and in the folder.
type findings struct {
	hubUID types.UID
	kinds  []foundKind
	target target
	// blockers are what has to be mended first, warnings what a person should know.
	blockers, warnings []string
	summary            string
	// hidden is set where the hub does not lead to the objects that are to be moved.
	hidden bool
	// done is set where no step is left.
	done bool
}

// foundKind is where the objects of a kind are: under crd, or in the folder alone.
type foundKind struct {
	kind
	// crd is nil if the CustomResourceDefinition is gone.
	crd *apiextensionsv1.CustomResourceDefinition
	// live are the hub's objects while the CustomResourceDefinition is there to stay.
	live []*unstructured.Unstructured
	// wanted are the objects to import, in export form.
	wanted []*unstructured.Unstructured
}

// terminating returns whether the hub is removing the CustomResourceDefinition.
func (k *foundKind) terminating() bool { return k.crd != nil && k.crd.DeletionTimestamp != nil }

func (f *findings) block(format string, args ...any) {
	f.blockers = append(f.blockers, fmt.Sprintf(format, args...))
}

func (f *findings) warn(format string, args ...any) {
	f.warnings = append(f.warnings, fmt.Sprintf(format, args...))
}

// blocked returns all blockers as one error, or nil.
func (f *findings) blocked() error {
	if len(f.blockers) == 0 {
		return nil
	}
	return errors.New("the migration can't go on:\n- " + strings.Join(f.blockers, "\n- "))
}

// live returns the kinds whose objects are still the hub's.
func (f *findings) live() []foundKind {
	return slices.DeleteFunc(slices.Clone(f.kinds), func(k foundKind) bool { return k.crd == nil || k.terminating() })
}

// preflight finds out where the migration is and whether it can go on. It changes nothing.
func (m *Migration) preflight(ctx context.Context) (*findings, error) {
	missing, err := m.hub.missing(ctx, m.rights())
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, missingError(missing)
	}
	found := &findings{}
	if err := m.findFolder(ctx, found); err != nil || found.done {
		return found, err
	}
	if err := m.findCRDs(ctx, found); err != nil {
		return nil, err
	}
	if err := m.findTarget(ctx, found); err != nil {
		return nil, err
	}
	if err := m.findAPIService(ctx, found); err != nil || found.done || found.hidden {
		return found, err
	}
	if err := m.findObjects(ctx, found); err != nil {
		return nil, err
	}
	found.summary = fmt.Sprintf("%s of hub %s", countAll(found.kinds), m.hub.URL)
	return found, m.findOwners(ctx, found)
}

// missingError lists the rights that are missing.
func missingError(missing []right) error {
	said := make([]string, 0, len(missing))
	for _, r := range missing {
		said = append(said, r.String())
	}
	return fmt.Errorf("rights on the hub are missing:\n- %s", strings.Join(said, "\n- "))
}

// findFolder opens the folder of this hub's migration.
func (m *Migration) findFolder(ctx context.Context, found *findings) error {
	system, err := m.hub.Kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("identifying the hub: %w", err)
	}
	found.hubUID = system.UID
	dir := m.options.Dir
	if dir == "" {
		dir = defaultDir(system.UID)
	}
	if dir, err = filepath.Abs(dir); err != nil { // errors name it, for runs from elsewhere
		return fmt.Errorf("finding the folder of the migration: %w", err)
	}
	if m.folder, err = openFolder(dir); err != nil {
		return err
	}
	if known := m.folder.manifest.HubUID; known != "" && known != system.UID {
		return fmt.Errorf("folder %s is of another hub: its namespace %s has the UID %s, and that of %s is %s",
			dir, metav1.NamespaceSystem, known, m.hub.URL, system.UID)
	}
	if m.folder.state.Completed == StepImport {
		found.done = true
		found.summary = fmt.Sprintf("hub %s has been migrated already, as folder %s says; nothing is left to do", m.hub.URL, dir)
	}
	return nil
}

// defaultDir returns the folder for a hub, by the first digits of its UID.
func defaultDir(hub types.UID) string {
	const digits = 8
	return "clusterpass-migration-" + string(hub)[:min(digits, len(hub))]
}

// findCRDs finds the CustomResourceDefinitions that clash with clusterpass.
func (m *Migration) findCRDs(ctx context.Context, found *findings) error {
	crds, err := m.hub.CRDs.ApiextensionsV1().CustomResourceDefinitions().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing the hub's CustomResourceDefinitions: %w", err)
	}
	ours := map[string]*apiextensionsv1.CustomResourceDefinition{}
	for i := range crds.Items {
		crd := &crds.Items[i]
		if !hub.Clashes(crd) {
			continue
		}
		if slices.ContainsFunc(kinds, func(k kind) bool { return k.crd() == crd.Name }) {
			ours[crd.Name] = crd
			continue
		}
		found.block("CustomResourceDefinition %s is in %s, which clusterpass serves as a whole, and it is not one that moves. "+
			"Have it stop serving that version (spec.versions[].served: false) or delete it, "+
			"or leave the inventory where it is, with --inventory=External", crd.Name, inventory)
	}
	for _, k := range kinds {
		m.findCRD(found, foundKind{kind: k, crd: ours[k.crd()]})
	}
	return nil
}

// findCRD adds a kind to the findings if there is anything of it, on the hub or in the folder.
func (m *Migration) findCRD(found *findings, k foundKind) {
	export := m.folder.export(k.resource)
	if k.crd == nil && export == nil {
		return
	}
	found.kinds = append(found.kinds, k)
	if k.crd == nil {
		return
	}
	if !apihelpers.HasServedCRDVersion(k.crd, inventory.Version) {
		found.hidden = true
		found.block("CustomResourceDefinition %s does not serve %s, the version that moves. "+
			"Have it serve that version until the migration is done (spec.versions[].served: true)", k.crd.Name, inventory.Version)
	}
	for _, version := range k.crd.Spec.Versions {
		if version.Name != inventory.Version && version.Served {
			found.warn("CustomResourceDefinition %s also serves version %s, which will be gone", k.crd.Name, version.Name)
		}
	}
	switch {
	case export != nil && export.CRDUID != k.crd.UID:
		found.block("CustomResourceDefinition %s is not the one that was exported to %s: somebody has created it again. "+
			"Stop whoever did, and delete it; or start over with another --dir, if what it has now is all that is to be moved",
			k.crd.Name, m.folder.path)
	case export == nil && k.terminating():
		found.block("CustomResourceDefinition %s is being deleted, and folder %s has no export of its objects. "+
			"If another folder has, give it with --dir", k.crd.Name, m.folder.path)
	}
}

// crdNames joins the names of the kinds' CustomResourceDefinitions.
func crdNames(found []foundKind) string {
	names := make([]string, 0, len(found))
	for _, k := range found {
		names = append(names, k.kind.crd())
	}
	return "CustomResourceDefinitions " + strings.Join(names, " and ")
}

// countAll says how many objects of each kind are to be moved.
func countAll(found []foundKind) string {
	counts := make([]string, 0, len(found))
	for _, k := range found {
		counts = append(counts, k.count(len(k.wanted)))
	}
	return strings.Join(counts, " and ")
}

// named joins the first of many names.
func named(names []string) string {
	return words.Some(names, ", ", namedAtMost)
}
