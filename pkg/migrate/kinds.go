// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"encoding/json"
	"fmt"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/hub"
)

// inventory is the group-version that moves from CustomResourceDefinitions to clusterpass, and
// inventoryService its APIService.
var (
	inventory        = multiclusterv1alpha1.SchemeGroupVersion
	inventoryService = hub.APIServiceName(inventory)
)

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
	others := map[string]string{}
	for key, value := range object.GetAnnotations() {
		if key != v1alpha1.AnnotationDecisionWriter && key != v1alpha1.AnnotationCreator {
			others[key] = value
		}
	}
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
	for name := range first {
		if !apiequality.Semantic.DeepEqual(first[name], second[name]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
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
