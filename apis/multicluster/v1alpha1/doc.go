// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// +k8s:deepcopy-gen=package
// +k8s:defaulter-gen=TypeMeta
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=dev.clusterpass.apis.multicluster.v1alpha1
// +groupName=multicluster.x-k8s.io

// Package v1alpha1 holds what clusterpass adds to the API group multicluster.x-k8s.io: the virtual
// resource AuthTokenRequest. ClusterProfile and PlacementDecision of the same group are upstream's
// types, from sigs.k8s.io/cluster-inventory-api, used unchanged.
package v1alpha1
