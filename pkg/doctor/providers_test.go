// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"

	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

func TestCheckProviders(t *testing.T) {
	named := func(names ...string) []inventoryv1alpha1.AccessProvider {
		var all []inventoryv1alpha1.AccessProvider
		for _, name := range names {
			all = append(all, inventoryv1alpha1.AccessProvider{Name: name})
		}
		return all
	}
	for name, test := range map[string]struct {
		status inventoryv1alpha1.ClusterProfileStatus
		want   verdict
	}{
		"no access":                   {inventoryv1alpha1.ClusterProfileStatus{}, passes("")},
		"access in the list of today": {inventoryv1alpha1.ClusterProfileStatus{AccessProviders: named("a")}, passes("")},
		"access in both lists": {
			inventoryv1alpha1.ClusterProfileStatus{AccessProviders: named("b", "a"), CredentialProviders: named("a")}, passes("")},
		"access in the deprecated list alone": {
			inventoryv1alpha1.ClusterProfileStatus{CredentialProviders: named("a")},
			warns("a: it is in the deprecated status.credentialProviders alone", "edit clusterprofiles.v1alpha1.multicluster.x-k8s.io bravelion")},
		"access of another provider in the deprecated list alone": {
			inventoryv1alpha1.ClusterProfileStatus{AccessProviders: named("a"), CredentialProviders: named("a", "b", "c")},
			warns("b, c: it is in the deprecated", "")},
		"a name is not printed without end": {
			inventoryv1alpha1.ClusterProfileStatus{CredentialProviders: named(strings.Repeat("n", 10_000))},
			warns("nnn...: it is in the deprecated", "")},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExamination(&Clients{})
			profile := &inventoryv1alpha1.ClusterProfile{Status: test.status}
			profile.Namespace, profile.Name = "default", "bravelion"
			e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{profile}
			test.want.expect(t, examine(t, checkProviders, e))
		})
	}
}
