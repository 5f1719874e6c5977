// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// inventorySpecs are those that upstream's suite has: what one sees of a cluster manager in one
// namespace.
func inventorySpecs() []Spec {
	return []Spec{
		{
			ID: "inventory-served", Side: Inventory, Level: Required, Ref: kep4322,
			Sentence: "The hub serves clusterprofiles in multicluster.x-k8s.io/v1alpha2, and lists them.",
			check:    checkServed,
		},
		{
			ID: "inventory-namespaced", Side: Inventory, Level: Required,
			Ref:      kep4322 + "#how-should-we-organize-clusterprofile-objects-on-a-hub-cluster",
			Sentence: "ClusterProfiles belong to namespaces.",
			check:    checkNamespaced,
		},
		{
			ID: "inventory-registered", Side: Inventory, Level: Required,
			Ref:      kep4322 + "#whats-the-relationship-between-the-clusterprofile-api-and-cluster-inventory",
			Sentence: "Registered clusters are ClusterProfiles in the namespace of the inventory.",
			check:    checkRegistered,
		},
		eachProfile("manager-label", Required, "cluster-manager",
			"The label x-k8s.io/cluster-manager of a ClusterProfile is the name in spec.clusterManager.", checkManager),
		eachProfile("member-id-not-empty", Required, "uniqueness-of-the-clusterprofile-object",
			"The label multicluster.x-k8s.io/inventory-member-id is not empty if it is set.", checkIDNotEmpty),
		eachProfile("member-id-set", Optional, "uniqueness-of-the-clusterprofile-object",
			"A ClusterProfile has the label multicluster.x-k8s.io/inventory-member-id.", checkIDSet),
		{
			ID: "member-once", Side: Inventory, Level: Optional, Ref: kep4322 + "#uniqueness-of-the-clusterprofile-object",
			Sentence: "A member cluster has at most one ClusterProfile in the namespace, whoever manages it.",
			check:    checkOnce,
		},
		eachProfile("condition-healthy", Optional, "conditions",
			"A ClusterProfile has the condition ControlPlaneHealthy.", checkCondition(conditionHealthy)),
		eachProfile("condition-joined", Optional, "conditions",
			"A ClusterProfile has the condition Joined.", checkCondition(conditionJoined)),
		eachProfile("kubernetes-version", Optional, "version",
			"A ClusterProfile has the Kubernetes version of its cluster.", checkVersion),
	}
}

// errNoProfile says that there is nothing to check.
var errNoProfile = errors.New("no ClusterProfile is there to be checked")

// eachProfile returns a spec that every profile under test has to meet: wrong returns what is wrong
// with one, or nothing.
func eachProfile(id string, level Level, anchor, sentence string, wrong func(p *profile) string) Spec {
	check := func(ctx context.Context, h *hub) (string, error) {
		profiles, err := h.underTest(ctx)
		if err != nil {
			return "", err
		}
		var found []string
		for i := range profiles {
			if what := wrong(&profiles[i]); what != "" {
				found = append(found, quote(profiles[i].Name)+" "+what)
			}
		}
		if len(found) > 0 {
			return "", violated("%d of %d profiles: %s", len(found), len(profiles), these(found))
		}
		return fmt.Sprintf("%d profiles", len(profiles)), nil
	}
	return Spec{ID: id, Side: Inventory, Level: level, Ref: kep4322 + "#" + anchor, Sentence: sentence, check: check}
}

func checkServed(ctx context.Context, h *hub) (string, error) {
	if _, err := h.served(ctx, clusterProfiles); err != nil {
		return "", err
	}
	profiles, err := h.profilesIn(ctx, h.Namespace)
	switch {
	case unreadable(err):
		return "", err
	case err != nil:
		return "", violated("namespace %s: %v", quote(h.Namespace), err)
	}
	return fmt.Sprintf("%d profiles in namespace %s", len(profiles), quote(h.Namespace)), nil
}

func checkNamespaced(ctx context.Context, h *hub) (string, error) {
	resource, err := h.served(ctx, clusterProfiles)
	if err == nil && !resource.Namespaced {
		err = violated("clusterprofiles have no namespace")
	}
	return "discovery says so", err
}

// served returns what discovery says of a resource. It is a violation if that is not served.
func (h *hub) served(ctx context.Context, resource string) (*metav1.APIResource, error) {
	list, err := h.discovery.ServerResourcesForGroupVersionWithContext(ctx, groupVersion.String())
	if apierrors.IsNotFound(err) {
		return nil, violated("%s is not served", groupVersion)
	}
	if err != nil {
		return nil, fmt.Errorf("discovery of %s: %w", groupVersion, err)
	}
	at := slices.IndexFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == resource })
	if at < 0 {
		return nil, violated("%s has no %s", groupVersion, resource)
	}
	return &list.APIResources[at], nil
}

func checkRegistered(ctx context.Context, h *hub) (string, error) {
	profiles, err := h.underTest(ctx)
	if errors.Is(err, errNoProfile) {
		err = violated("namespace %s has no ClusterProfile to check; register a cluster first", quote(h.Namespace))
	}
	return fmt.Sprintf("%d profiles", len(profiles)), err
}

func checkManager(p *profile) string {
	value, set := p.Labels[labelManager]
	switch {
	case !set:
		return "lacks the label"
	case value != p.Spec.ClusterManager.Name:
		return fmt.Sprintf("has the label %s and the manager %s", quote(value), quote(p.Spec.ClusterManager.Name))
	}
	return ""
}

func checkIDNotEmpty(p *profile) string {
	if id, set := p.Labels[labelMemberID]; set && id == "" {
		return "has an empty label"
	}
	return ""
}

func checkIDSet(p *profile) string {
	if p.memberID() == "" {
		return "lacks the label, or it is empty"
	}
	return ""
}

func checkOnce(ctx context.Context, h *hub) (string, error) {
	profiles, err := h.profilesIn(ctx, h.Namespace)
	if err != nil {
		return "", err
	}
	named := map[string][]string{}
	for i := range profiles {
		if id := profiles[i].memberID(); id != "" {
			named[id] = append(named[id], quote(profiles[i].Name))
		}
	}
	var found []string
	for _, id := range slices.Sorted(maps.Keys(named)) {
		if names := named[id]; len(names) > 1 {
			found = append(found, fmt.Sprintf("member %s has %s", quote(id), these(names)))
		}
	}
	if len(found) > 0 {
		return "", violated("%s", these(found))
	}
	if len(named) == 0 {
		return "", skipped("no profile has an inventory-member-id")
	}
	return fmt.Sprintf("%d members", len(named)), nil
}

func checkCondition(name string) func(*profile) string {
	return func(p *profile) string {
		if meta.FindStatusCondition(p.Status.Conditions, name) == nil {
			return "lacks the condition"
		}
		return ""
	}
}

func checkVersion(p *profile) string {
	if p.Status.Version.Kubernetes == "" {
		return "lacks the version"
	}
	return ""
}
