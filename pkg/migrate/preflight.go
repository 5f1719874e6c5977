// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/words"
)

const (
	// namedAtMost bounds how many objects an answer names.
	namedAtMost = 20
	// dirDigits is how many digits of the hub's UID are in the name of its folder.
	dirDigits = 8
)

// findings are what preflight has found on the hub and in the folder.
type findings struct {
	hubUID types.UID
	kinds  []foundKind
	// target is the APIService as it is to be.
	target *apiregistrationv1.APIService
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

// live returns the kinds whose objects are still the hub's.
func (f *findings) live() []foundKind {
	return slices.DeleteFunc(slices.Clone(f.kinds), func(k foundKind) bool { return k.crd == nil || k.terminating() })
}

// preflight finds out where the migration is and whether it can go on. It changes nothing.
func (m *Migration) preflight(ctx context.Context) (*findings, error) {
	if err := m.checkRights(ctx); err != nil {
		return nil, err
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

// right is something that whoever migrates has to be allowed.
type right authorizationv1.ResourceAttributes

// String returns the right as a person would say it.
func (r right) String() string {
	resource := r.Resource
	if r.Subresource != "" {
		resource += "/" + r.Subresource
	}
	if r.Group != "" {
		resource += "." + r.Group
	}
	said := r.Verb + " " + resource
	if r.Name != "" {
		said += fmt.Sprintf(" %q", r.Name)
	}
	if r.Namespace != "" {
		said += " in namespace " + r.Namespace
	}
	return said
}

// rights returns what any migration takes, from its first step to its last.
func (m *Migration) rights() []right {
	const crds, apiServices = "customresourcedefinitions", "apiservices"
	service := m.options.Service
	all := []right{
		{Verb: "get", Resource: "namespaces", Name: metav1.NamespaceSystem},
		{Verb: "get", Resource: "services", Namespace: service.Namespace, Name: service.Name},
		{Verb: "get", Group: "apps", Resource: "deployments", Namespace: service.Namespace, Name: service.Name},
		{Verb: "list", Group: apiextensionsv1.GroupName, Resource: crds},
	}
	for _, name := range hub.InventoryServices() {
		for _, verb := range []string{"get", "create", "update", "delete"} {
			all = append(all, right{Verb: verb, Group: apiregistrationv1.GroupName, Resource: apiServices, Name: name})
		}
	}
	all = append(all, right{Verb: "get", Group: apiregistrationv1.GroupName, Resource: apiServices, Name: ourService})
	for _, k := range kinds {
		all = append(all, right{Verb: "delete", Group: apiextensionsv1.GroupName, Resource: crds, Name: k.crd()})
		for _, verb := range []string{"list", "get", "create"} {
			all = append(all, right{Verb: verb, Group: inventory.Group, Resource: k.resource})
		}
		if k.hasStatus {
			all = append(all, right{Verb: "update", Group: inventory.Group, Resource: k.resource, Subresource: statusSection})
		}
	}
	return all
}

// checkRights returns an error that lists the rights that the hub denies to whoever asks.
func (m *Migration) checkRights(ctx context.Context) error {
	var missing []string
	for _, r := range m.rights() {
		attributes := authorizationv1.ResourceAttributes(r)
		attributes.Version = "*"
		review, err := m.hub.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes},
		}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("asking the hub for the right to %s: %w", r, err)
		}
		if !review.Status.Allowed {
			missing = append(missing, r.String())
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("rights on the hub are missing:\n- %s", strings.Join(missing, "\n- "))
	}
	return nil
}

// findFolder opens the folder of this hub's migration.
func (m *Migration) findFolder(ctx context.Context, found *findings) error {
	system, err := m.hub.Kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("identifying the hub: %w", err)
	}
	found.hubUID = system.UID
	dir, err := filepath.Abs(cmp.Or(m.options.Dir, "clusterpass-migration-"+string(system.UID)[:min(dirDigits, len(system.UID))]))
	if err != nil { // errors name it, for runs from elsewhere
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
		clash := slices.IndexFunc(hub.InventoryVersions, func(gv schema.GroupVersion) bool {
			return apihelpers.HasServedCRDVersion(crd, gv.Version)
		})
		found.block("CustomResourceDefinition %s is in %s, which clusterpass serves as a whole, and it is not one that moves. "+
			"Have it stop serving that version (spec.versions[].served: false) or delete it, "+
			"or leave the inventory where it is, with --inventory=External", crd.Name, hub.InventoryVersions[clash])
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
	if _, ok := readVersion(k.crd); !ok {
		found.hidden = true
		found.block("CustomResourceDefinition %s does not serve %s, in which objects can be moved. "+
			"Have it serve one of them until the migration is done (spec.versions[].served: true)", k.crd.Name, hub.InventoryVersionNames())
	}
	if version, ok := readVersion(k.crd); ok && version != inventory && slices.Contains(k.crd.Status.StoredVersions, inventory.Version) {
		found.warn("CustomResourceDefinition %s has stored objects in %s and does not serve it: what %s lacks does not move "+
			"(credentialProviders and paths of CA files). Have it serve that version first if they are needed (spec.versions[].served: true)",
			k.crd.Name, inventory.Version, version.Version)
	}
	for _, version := range k.crd.Spec.Versions {
		known := slices.ContainsFunc(hub.InventoryVersions, func(gv schema.GroupVersion) bool { return gv.Version == version.Name })
		if !known && version.Served {
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
