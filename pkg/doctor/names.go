// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

// checkNames looks for names of clusterpass's resources that resources of other groups have, too,
// and says whose kubectl takes. It asks as kubectl does, by the same code.
func checkNames(ctx context.Context, e *examination, f *findings) {
	hub := discovery.ToDiscoveryInterfaceWithContext(memory.NewMemCacheClient(e.Kubernetes.Discovery()))
	groups, err := restmapper.GetAPIGroupResourcesWithContext(ctx, hub)
	if f.unknown("the hub's discovery", err) {
		return
	}
	if !slices.ContainsFunc(groups, func(g *restmapper.APIGroupResources) bool { return isOurs(g.Group.Name) && len(resourcesOf(g)) > 0 }) {
		f.skip("", "the hub's discovery has none of clusterpass's resources, see apiservices")
		return
	}
	mapper := restmapper.NewShortcutExpanderWithContext(restmapper.NewDiscoveryRESTMapperWithContext(groups), hub, nil)
	byName := resourcesByName(groups)
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		// Contested is what a resource of ours has, and not ours alone.
		if ours := fullNames(byName[name], isOurs); ours != "" && ours != fullNames(byName[name], nil) {
			f.contested(ctx, mapper, name, byName[name])
		}
	}
	if len(*f) == 0 {
		f.ok("", "no other group of the hub has a name of clusterpass's resources")
	}
}

func isOurs(group string) bool {
	return group == multiclusterv1alpha1.GroupName || group == clusterpassv1alpha1.GroupName
}

// resourcesByName returns the resources that have a name, in the order of the hub's discovery. A
// name is what kubectl takes without a group: a plural, a singular or a short name.
func resourcesByName(groups []*restmapper.APIGroupResources) map[string][]schema.GroupResource {
	byName := map[string][]schema.GroupResource{}
	for _, group := range groups {
		for _, resource := range resourcesOf(group) {
			for _, name := range namesOf(&resource) {
				has := schema.GroupResource{Group: group.Group.Name, Resource: resource.Name}
				if !slices.Contains(byName[name], has) {
					byName[name] = append(byName[name], has)
				}
			}
		}
	}
	return byName
}

// resourcesOf returns the resources of all versions of a group, without subresources.
func resourcesOf(group *restmapper.APIGroupResources) []metav1.APIResource {
	var all []metav1.APIResource
	for _, version := range group.Group.Versions {
		for _, resource := range group.VersionedResources[version.Version] {
			if !strings.Contains(resource.Name, "/") {
				all = append(all, resource)
			}
		}
	}
	return all
}

// namesOf returns what kubectl accepts for a resource. It knows a kind in lower case as a singular,
// too.
func namesOf(resource *metav1.APIResource) []string {
	names := sets.New(append(resource.ShortNames, resource.Name, strings.ToLower(resource.Kind))...)
	if resource.SingularName != "" {
		names.Insert(resource.SingularName)
	}
	return sets.List(names)
}

// contested reports whose resource kubectl takes for a name that several have.
func (f *findings) contested(ctx context.Context, mapper meta.RESTMapperWithContext, name string, resources []schema.GroupResource) {
	about, mend := "kubectl get "+name, "Use the full name: kubectl get "+fullNames(resources, isOurs)
	taken, err := mapper.ResourceForWithContext(ctx, schema.GroupVersionResource{Resource: name})
	if err != nil {
		f.warn(about, mend, "kubectl cannot tell which of %s it means: %v", fullNames(resources, nil), err)
		return
	}
	hidden := fullNames(resources, func(group string) bool { return group != taken.Group })
	if isOurs(taken.Group) {
		f.ok(about, "it shows clusterpass's %s; only the full name shows %s", taken.GroupResource(), hidden)
		return
	}
	f.warn(about, mend+
		"; or have clusterpass's come first, by the groupPriorityMinimum of its APIService: kubectl apply -k artifacts/deploy/overlays/OVERLAY",
		"it shows %s, which is not clusterpass's; only the full name shows %s", taken.GroupResource(), hidden)
}

// fullNames returns the resources of the groups that are wanted, nil: of all, as kubectl takes
// them.
func fullNames(resources []schema.GroupResource, wanted func(group string) bool) string {
	var names []string
	for _, resource := range resources {
		if wanted == nil || wanted(resource.Group) {
			names = append(names, resource.String())
		}
	}
	return strings.Join(names, ", ")
}
