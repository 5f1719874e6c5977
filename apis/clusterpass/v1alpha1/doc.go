// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// +k8s:deepcopy-gen=package
// +k8s:defaulter-gen=TypeMeta
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=dev.clusterpass.apis.clusterpass.v1alpha1
// +groupName=clusterpass.dev

// Package v1alpha1 is the API group clusterpass.dev: the record of what was granted
// on member clusters, sets of credentials that are kept for consumers, and the figures of
// clusters that placements choose by. Its AuthTokenRequest is the Go type of multicluster.x-k8s.io, for hubs on which another
// manager owns that group.
package v1alpha1
