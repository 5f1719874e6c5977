// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	multiclusterv1alpha2 "clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/registry/authtokengrant"
	"clusterpass.dev/pkg/registry/clusterprofile"
	"clusterpass.dev/pkg/registry/clusterscore"
)

var (
	// Scheme has all served types. The Go type of the stored version is also that of the internal
	// version.
	Scheme = runtime.NewScheme()
	// Codecs encodes and decodes the types of Scheme.
	Codecs = serializer.NewCodecFactory(Scheme)

	// externalScheme is Scheme without the internal versions, for OpenAPI.
	externalScheme = runtime.NewScheme()

	// groupVersions are the API groups that can be served, in all their versions: in each group, the
	// version that clients prefer comes first.
	groupVersions = append(slices.Clone(hub.InventoryVersions), clusterpassv1alpha1.SchemeGroupVersion)
	// storedVersions are the API groups in the version in which their objects are stored.
	storedVersions = []schema.GroupVersion{multiclusterv1alpha1.SchemeGroupVersion, clusterpassv1alpha1.SchemeGroupVersion}
)

func init() {
	for _, scheme := range []*runtime.Scheme{Scheme, externalScheme} {
		utilruntime.Must(inventoryv1alpha1.AddToScheme(scheme))
		utilruntime.Must(multiclusterv1alpha1.AddToScheme(scheme))
		utilruntime.Must(multiclusterv1alpha2.AddToScheme(scheme))
		utilruntime.Must(clusterpassv1alpha1.AddToScheme(scheme))
	}
	utilruntime.Must(addInternalVersions(Scheme))
	clusterprofile.AddDefaults(Scheme)
	utilruntime.Must(clusterprofile.AddFieldLabelConversion(Scheme))
	utilruntime.Must(authtokengrant.AddFieldLabelConversion(Scheme))
	utilruntime.Must(clusterscore.AddFieldLabelConversion(Scheme))

	// The API machinery needs types of the group "" to decode options and to write discovery
	// documents.
	unversioned := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(Scheme, unversioned)
	Scheme.AddUnversionedTypes(unversioned,
		&metav1.Status{},
		&metav1.APIVersions{},
		&metav1.APIGroupList{},
		&metav1.APIGroup{},
		&metav1.APIResourceList{},
	)
}

// addInternalVersions registers the Go type of each stored kind for the internal version of its
// group, too. The generic registry stores and patches internal objects. Internal types of their
// own, with conversions, would be useless: v1alpha1 of multicluster.x-k8s.io has all that v1alpha2
// has.
func addInternalVersions(scheme *runtime.Scheme) error {
	for _, gv := range storedVersions {
		internal := schema.GroupVersion{Group: gv.Group, Version: runtime.APIVersionInternal}
		for _, kind := range servedKinds[gv] {
			obj, err := scheme.New(gv.WithKind(kind))
			if err != nil {
				return fmt.Errorf("internal version of %s: %w", gv.WithKind(kind), err)
			}
			scheme.AddKnownTypeWithName(internal.WithKind(kind), obj)
		}
		if err := scheme.SetVersionPriority(versionsOf(gv.Group)...); err != nil {
			return fmt.Errorf("version priority of %s: %w", gv.Group, err)
		}
	}
	return nil
}

// versionsOf returns the versions of a group that can be served, the preferred one first.
func versionsOf(group string) []schema.GroupVersion {
	return slices.DeleteFunc(slices.Clone(groupVersions), func(gv schema.GroupVersion) bool { return gv.Group != group })
}

var servedKinds = map[schema.GroupVersion][]string{
	multiclusterv1alpha2.SchemeGroupVersion: {"ClusterProfile", "ClusterProfileList", "PlacementDecision", "PlacementDecisionList"},
	multiclusterv1alpha1.SchemeGroupVersion: {
		inventoryv1alpha1.ClusterProfileKind, inventoryv1alpha1.ClusterProfileKind + "List",
		inventoryv1alpha1.PlacementDecisionKind, inventoryv1alpha1.PlacementDecisionKind + "List",
		"AuthTokenRequest",
	},
	clusterpassv1alpha1.SchemeGroupVersion: {
		"AuthTokenRequest", "AuthTokenGrant", "AuthTokenGrantList",
		"ClusterCredentialSet", "ClusterCredentialSetList", "ClusterScore", "ClusterScoreList",
		"Placement", "PlacementList",
	},
}
