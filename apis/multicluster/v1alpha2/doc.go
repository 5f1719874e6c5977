// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// +k8s:deepcopy-gen=package
// +k8s:conversion-gen=sigs.k8s.io/cluster-inventory-api/apis/v1alpha1
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=dev.clusterpass.apis.multicluster.v1alpha2
// +groupName=multicluster.x-k8s.io

// Package v1alpha2 holds ClusterProfile and PlacementDecision in the next version of the API group
// multicluster.x-k8s.io (KEP-4322), and their conversion from and to v1alpha1, which is stored. The
// types have the wire format of sigs.k8s.io/cluster-inventory-api, apis/v1alpha2. They are replaced
// by those as soon as a release of that module has them.
//
// A v1alpha2 object is converted to v1alpha1 and back without loss. The other way,
// status.credentialProviders and certificate-authority, the path of a file, are lost: v1alpha2 has
// neither.
package v1alpha2
