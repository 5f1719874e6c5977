// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"slices"

	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/words"
)

// checkProviders looks for access that is in the deprecated credentialProviders alone, which
// v1alpha2 has not: its clients do not see it, and each of their updates removes it.
func checkProviders(_ context.Context, e *examination, f *findings) {
	for _, profile := range e.knownProfiles(f) {
		about, deprecated := aboutObject(kindProfile, profile), deprecatedProviders(profile)
		if len(deprecated) == 0 {
			f.ok(about, "none of its access is in status.credentialProviders alone")
			continue
		}
		f.warn(about, fmt.Sprintf("Have its manager write the same to status.accessProviders: "+
			"kubectl -n %s edit clusterprofiles.v1alpha1.%s %s --subresource=status", profile.Namespace, groupMulticluster, profile.Name),
			"%s: it is in the deprecated status.credentialProviders alone, which clients of v1alpha2 do not see, and remove by any update",
			words.Some(deprecated, ", ", maxLeft))
	}
}

// deprecatedProviders returns the names of the providers in credentialProviders that
// accessProviders does not have.
func deprecatedProviders(profile *inventoryv1alpha1.ClusterProfile) []string {
	var names []string
	for i := range profile.Status.CredentialProviders {
		name := profile.Status.CredentialProviders[i].Name
		if !slices.ContainsFunc(profile.Status.AccessProviders, func(p inventoryv1alpha1.AccessProvider) bool { return p.Name == name }) {
			names = append(names, words.Clean(name, maxName))
		}
	}
	return names
}
