// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/bounds"
	"clusterpass.dev/pkg/hub"
)

// inventory is the group-version in which objects move from CustomResourceDefinitions to
// clusterpass, and inventoryService its APIService.
var (
	inventory        = multiclusterv1alpha1.SchemeGroupVersion
	inventoryService = hub.APIServiceName(inventory)
)

// inventoryServices names the APIServices that clusterpass needs for the inventory, for people.
func inventoryServices() string { return strings.Join(hub.InventoryServices(), " and ") }

// statusSection is the one section that a create leaves empty: the subresource writes it.
const statusSection = "status"

// kind is one of the two kinds that move.
type kind struct {
	// name is that of the kind, resource its plural in paths.
	name, resource string
	hasStatus      bool
	// sections decodes an object in export form, as far as clusterpass can hold it. It returns an
	// error for fields that clusterpass does not know and would lose.
	sections func(*unstructured.Unstructured) (sections, error)
}

// kinds are in the order of their import: a PlacementDecision may be owned by a ClusterProfile.
var kinds = []kind{
	{name: "ClusterProfile", resource: "clusterprofiles", hasStatus: true, sections: profileSections},
	{name: "PlacementDecision", resource: "placementdecisions", sections: decisionSections},
}

func (k kind) gvr() schema.GroupVersionResource { return inventory.WithResource(k.resource) }

// crd returns the name of the kind's CustomResourceDefinition.
func (k kind) crd() string { return k.resource + "." + inventory.Group }

// count says how many objects of the kind there are.
func (k kind) count(n int) string {
	if n == 1 {
		return "1 " + k.name
	}
	return fmt.Sprintf("%d %ss", n, k.name)
}

// sections are the parts of an object that move with it, by the names in messages about
// differences.
type sections map[string]any

func profileSections(object *unstructured.Unstructured) (sections, error) {
	profile, err := decode[inventoryv1alpha1.ClusterProfile](object)
	if err != nil {
		return nil, err
	}
	s := metadataSections(profile)
	s["spec"], s[statusSection] = profile.Spec, profile.Status
	return s, nil
}

func decisionSections(object *unstructured.Unstructured) (sections, error) {
	decision, err := decode[inventoryv1alpha1.PlacementDecision](object)
	if err != nil {
		return nil, err
	}
	s := metadataSections(decision)
	s["decisions"], s["schedulerName"] = decision.Decisions, decision.SchedulerName
	return s, nil
}

func metadataSections(object metav1.Object) sections {
	return sections{
		"labels":          object.GetLabels(),
		"annotations":     othersAnnotations(object),
		"finalizers":      object.GetFinalizers(),
		"ownerReferences": object.GetOwnerReferences(),
	}
}

// othersAnnotations returns the annotations of object but for those that the server of clusterpass
// keeps.
func othersAnnotations(object metav1.Object) map[string]string {
	others := maps.Clone(object.GetAnnotations())
	delete(others, v1alpha1.AnnotationDecisionWriter)
	delete(others, v1alpha1.AnnotationCreator)
	return others
}

// decode returns what clusterpass would store of object as upstream's Go type T: times are kept to
// the second.
func decode[T any](object *unstructured.Unstructured) (*T, error) {
	var whole, stored T
	const strict = true
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &whole, strict); err != nil {
		return nil, fmt.Errorf("%s: %w", nameOf(object), err)
	}
	data, err := json.Marshal(&whole)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", nameOf(object), err)
	}
	if err := json.Unmarshal(data, &stored); err != nil {
		return nil, fmt.Errorf("%s: %w", nameOf(object), err)
	}
	return &stored, nil
}

// differences returns the sorted names of the sections in which two objects differ. Absent and
// empty are equal.
func (k kind) differences(a, b *unstructured.Unstructured) ([]string, error) {
	first, err := k.sections(exportForm(a))
	if err != nil {
		return nil, err
	}
	second, err := k.sections(exportForm(b))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(first)) {
		if !apiequality.Semantic.DeepEqual(first[name], second[name]) {
			names = append(names, name)
		}
	}
	return names, nil
}

// exportForm returns a copy of an object without what only the hub that stores it can set.
func exportForm(object *unstructured.Unstructured) *unstructured.Unstructured {
	exported := object.DeepCopy()
	for _, field := range []string{
		"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink",
		"deletionTimestamp", "deletionGracePeriodSeconds",
	} {
		unstructured.RemoveNestedField(exported.Object, "metadata", field)
	}
	return exported
}

// nameOf returns namespace/name.
func nameOf(object *unstructured.Unstructured) string {
	return object.GetNamespace() + "/" + object.GetName()
}

// readVersion returns the version in which the objects of crd are read: the one in which they move,
// because it has all fields, or else the other one. ok is false if crd serves neither.
func readVersion(crd *apiextensionsv1.CustomResourceDefinition) (gv schema.GroupVersion, ok bool) {
	for _, gv := range slices.Backward(hub.InventoryVersions) {
		if apihelpers.HasServedCRDVersion(crd, gv.Version) {
			return gv, true
		}
	}
	return schema.GroupVersion{}, false
}

// list returns all objects of a kind that the hub has, in all namespaces. They are read in a
// version, and returned in the one in which they move: it has all fields of the other one.
func (h *Hub) list(ctx context.Context, k kind, version schema.GroupVersion) ([]*unstructured.Unstructured, error) {
	list, err := h.Objects.Resource(version.WithResource(k.resource)).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing %ss: %w", k.name, err)
	}
	objects := make([]*unstructured.Unstructured, 0, len(list.Items))
	for i := range list.Items {
		list.Items[i].SetAPIVersion(inventory.String())
		objects = append(objects, &list.Items[i])
	}
	return objects, nil
}

// listCRD returns all objects of a kind that the hub's CustomResourceDefinition has. The hub may go
// on forwarding requests to clusterpass for a while after its APIService leads there no more, and
// clusterpass would answer with its own objects, or with none. So listCRD waits until it does not.
func (m *Migration) listCRD(ctx context.Context, k *foundKind) ([]*unstructured.Unstructured, error) {
	version, _ := readVersion(k.crd)
	notForwarded := func(ctx context.Context) error {
		forwarded, err := m.forwarded(ctx, version)
		if forwarded {
			err = fmt.Errorf("the hub forwards requests for %s to clusterpass, which hides the objects that are to be moved", version)
		}
		return err
	}
	if err := m.poll(ctx, notForwarded); err != nil {
		return nil, err
	}
	live, err := m.hub.list(ctx, k.kind, version)
	if err != nil {
		return nil, err
	}
	return live, notForwarded(ctx)
}

// findObjects reads what is to be moved: from the hub while a CustomResourceDefinition is there to
// stay, else from the folder.
func (m *Migration) findObjects(ctx context.Context, found *findings) error {
	for i := range found.kinds {
		k := &found.kinds[i]
		var err error
		if k.crd != nil && !k.terminating() {
			k.live, err = m.listCRD(ctx, k)
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
	before := make(map[string]objectID, len(exported))
	for _, id := range exported {
		before[id.Namespace+"/"+id.Name] = id
	}
	var said []string
	for _, object := range live {
		name := nameOf(object)
		was, ok := before[name]
		delete(before, name)
		switch {
		case !ok:
			said = append(said, name+" is new")
		case was != identify(object):
			said = append(said, name+" has changed")
		}
	}
	for name := range before {
		said = append(said, name+" is gone")
	}
	slices.Sort(said)
	return said
}
