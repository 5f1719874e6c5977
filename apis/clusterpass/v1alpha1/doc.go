// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// +k8s:deepcopy-gen=package
// +k8s:defaulter-gen=TypeMeta
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=dev.clusterpass.apis.clusterpass.v1alpha1
// +groupName=clusterpass.dev

// Package v1alpha1 is the API group clusterpass.dev. AuthTokenGrant records what was granted on a
// member cluster. ClusterCredentialSet keeps credentials of clusters for consumers. Placement
// chooses clusters, by the figures in ClusterScores among others. AuthTokenRequest is the Go type
// of multicluster.x-k8s.io; it is in this group for hubs on which another manager owns that one.
package v1alpha1
