// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestInventorySpecs(t *testing.T) {
	profiles := func(all ...*unstructured.Unstructured) []*unstructured.Unstructured { return all }
	for name, test := range map[string]struct {
		id             string
		profiles       []*unstructured.Unstructured
		served         served
		manager        string
		outcome, words string
	}{
		"the resource is served": {id: "inventory-served", profiles: profiles(newProfile("a")), served: all, outcome: passed},
		"the version is not served": {
			id: "inventory-served", outcome: notConformant, words: "multicluster.x-k8s.io/v1alpha2 is not served",
		},
		"the version has another resource": {
			id: "inventory-served", served: served{{Name: placementDecisions}}, outcome: notConformant, words: "has no clusterprofiles",
		},
		"profiles are namespaced": {id: "inventory-namespaced", served: all, outcome: passed},
		"profiles are not namespaced": {
			id: "inventory-namespaced", served: served{{Name: clusterProfiles}}, outcome: notConformant, words: "no namespace",
		},
		"a cluster is registered": {id: "inventory-registered", profiles: profiles(newProfile("a")), outcome: passed},
		"no cluster is registered": {
			id: "inventory-registered", profiles: profiles(newProfile("a", in("other"))), outcome: notConformant, words: "no ClusterProfile",
		},
		"clusters of another manager do not count": {
			id: "inventory-registered", profiles: profiles(newProfile("a")), manager: "other", outcome: notConformant,
		},
		"the label is that of the manager": {id: "manager-label", profiles: profiles(newProfile("a")), outcome: passed, words: "1 profiles"},
		"the label is of another manager": {
			id: "manager-label", profiles: profiles(newProfile("a"), newProfile("b", labelled(labelManager, "x"))),
			outcome: notConformant, words: `1 of 2 profiles: "b" has the label "x" and the manager "test"`,
		},
		"the label of the manager is missing": {
			id: "manager-label", profiles: profiles(newProfile("a", without("metadata", "labels"))), outcome: notConformant, words: "lacks",
		},
		"nothing can be told of no profile": {id: "manager-label", outcome: unknown, words: "no ClusterProfile"},
		"an id that is not set is in order": {
			id: "member-id-not-empty", profiles: profiles(newProfile("a", without("metadata", "labels"))), outcome: passed,
		},
		"an id is empty": {
			id: "member-id-not-empty", profiles: profiles(newProfile("a", labelled(labelMemberID, ""))), outcome: notConformant, words: `"a"`,
		},
		"an id is set": {id: "member-id-set", profiles: profiles(newProfile("a")), outcome: passed},
		"an id is not set": {
			id: "member-id-set", profiles: profiles(newProfile("a", without("metadata", "labels"))), outcome: notConformant, words: `"a"`,
		},
		"each member has one profile": {
			id: "member-once", profiles: profiles(newProfile("a"), newProfile("b")), outcome: passed, words: "2 members",
		},
		"a member has two profiles, of whatever manager": {
			id: "member-once", profiles: profiles(newProfile("a"), newProfile("b", labelled(labelMemberID, "id-of-a"))), manager: "other",
			outcome: notConformant, words: `member "id-of-a" has "a"; "b"`,
		},
		"a member has a profile in another namespace, too": {
			id: "member-once", profiles: profiles(newProfile("a"), newProfile("a", in("other"))), outcome: passed,
		},
		"no member has an id": {
			id: "member-once", profiles: profiles(newProfile("a", without("metadata", "labels"))), outcome: skippedSpec,
		},
		"health is there": {id: "condition-healthy", profiles: profiles(newProfile("a")), outcome: passed},
		"health is missing": {
			id: "condition-healthy", profiles: profiles(newProfile("a", without("status", "conditions"))), outcome: notConformant,
		},
		"membership is there": {id: "condition-joined", profiles: profiles(newProfile("a")), outcome: passed},
		"membership is missing": {
			id: "condition-joined", profiles: profiles(newProfile("a", without("status", "conditions"))), outcome: notConformant,
		},
		"the version is there":   {id: "kubernetes-version", profiles: profiles(newProfile("a")), outcome: passed},
		"the version is missing": {id: "kubernetes-version", profiles: profiles(newProfile("a", without("status"))), outcome: notConformant},
		"words of others are cut": {
			id: "manager-label", profiles: profiles(newProfile("a", labelled(labelManager, strings.Repeat("x\x1b", 1000)))),
			outcome: notConformant, words: `has the label "` + strings.Repeat("x ", 50) + `..."`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := fakeHub(test.profiles...)
			h.ClusterManager, h.discovery = test.manager, test.served
			expect(t, h, test.id, test.outcome, test.words)
		})
	}
}
