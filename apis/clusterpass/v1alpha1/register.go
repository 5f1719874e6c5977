// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

// GroupName is clusterpass's own API group.
const GroupName = "clusterpass.dev"

// SchemeGroupVersion is the group and version of the types in this package.
var SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

var (
	// SchemeBuilder collects what AddToScheme does.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes, RegisterDefaults)
	// AddToScheme registers the types of this group with a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

// Resource returns resource with the group of this package.
func Resource(resource string) schema.GroupResource {
	return SchemeGroupVersion.WithResource(resource).GroupResource()
}

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(SchemeGroupVersion,
		&multiclusterv1alpha1.AuthTokenRequest{},
		&AuthTokenGrant{},
		&AuthTokenGrantList{},
		&ClusterCredentialSet{},
		&ClusterCredentialSetList{},
		&ClusterScore{},
		&ClusterScoreList{},
		&Placement{},
		&PlacementList{},
	)
	metav1.AddToGroupVersion(scheme, SchemeGroupVersion)
	return nil
}
