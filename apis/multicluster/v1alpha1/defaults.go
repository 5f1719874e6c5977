// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"cmp"

	"k8s.io/utils/ptr"
)

// SetDefaults_AuthTokenRequest fills in what a request may leave out. The
// target's namespace is not among it: it defaults to the namespace of the
// request's URL, which only the server knows.
func SetDefaults_AuthTokenRequest(obj *AuthTokenRequest) {
	target := &obj.Spec.TargetClusterProfile
	target.APIGroup = cmp.Or(target.APIGroup, GroupName)
	target.Kind = cmp.Or(target.Kind, "ClusterProfile")
	if obj.Spec.ExpirationSeconds == nil {
		obj.Spec.ExpirationSeconds = ptr.To(DefaultExpirationSeconds)
	}
}
