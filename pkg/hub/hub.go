// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hub has the facts about a hub that several programs need: the names of what is deployed
// there, who serves its inventory and what clashes with that, and which namespaces of members are
// not for requests. It calls nobody.
package hub

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	multiclusterv1alpha2 "clusterpass.dev/apis/multicluster/v1alpha2"
)

// Names in artifacts/deploy.
const (
	// SystemNamespace is the namespace of clusterpass on the hub and on every member.
	SystemNamespace = "clusterpass-system"
	// ServerName is the name of the Deployment, Service and ServiceAccount of clusterpass-apiserver.
	ServerName = "clusterpass-apiserver"
	// ManagerName is the name of the Deployment, ServiceAccount and Lease of
	// clusterpass-controller-manager.
	ManagerName = "clusterpass-controller-manager"
	// ServingSecret is the name of the Secret with the server's certificate.
	ServingSecret = ServerName + "-cert"
)

// Who serves the ClusterProfiles of a hub: the values of --inventory of clusterpass-apiserver.
const (
	// InventoryServed is the mode in which clusterpass-apiserver stores and serves the group
	// multicluster.x-k8s.io.
	InventoryServed = "Served"
	// InventoryExternal is the mode in which the hub's CRD of ClusterProfile, and another manager,
	// serve that group. clusterpass-apiserver reads ClusterProfiles, and serves only clusterpass.dev.
	InventoryExternal = "External"
)

// AutomanagedLabel is on the APIServices that kube-apiserver makes for CRDs. While there are such
// CRDs, it undoes every change to the APIService.
const AutomanagedLabel = "kube-aggregator.kubernetes.io/automanaged"

// ReservedNamespaces are the namespaces of a member in which no request may name a ServiceAccount
// or a role by default, and which join never allows a hub. A user with rights in one of them can
// take over the member.
var ReservedNamespaces = sets.New(metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease, SystemNamespace)

// InventoryVersions are the versions of the group multicluster.x-k8s.io that clusterpass serves
// where it serves that group, the preferred one first.
var InventoryVersions = []schema.GroupVersion{multiclusterv1alpha2.SchemeGroupVersion, multiclusterv1alpha1.SchemeGroupVersion}

// InventoryVersionNames names InventoryVersions, the earliest first, as "v1alpha1 or v1alpha2".
func InventoryVersionNames() string {
	var names []string
	for _, gv := range slices.Backward(InventoryVersions) {
		names = append(names, gv.Version)
	}
	return strings.Join(names, " or ")
}

// APIServiceName returns the name of the APIService for a group-version.
func APIServiceName(gv schema.GroupVersion) string { return gv.Version + "." + gv.Group }

// InventoryServices returns the names of the APIServices of InventoryVersions.
func InventoryServices() []string {
	var names []string
	for _, gv := range InventoryVersions {
		names = append(names, APIServiceName(gv))
	}
	return names
}

// ownResources are the resources that clusterpass stores in the group of ClusterProfile.
var ownResources = sets.New("clusterprofiles", "placementdecisions")

// Clashes returns whether there must be no such crd while clusterpass serves ClusterProfiles: one
// that serves anything in InventoryVersions, each of which an APIService owns as a whole, or one
// that serves ClusterProfiles or PlacementDecisions in whatever version. The hub would have two
// inventories of one kind, each with objects of its own.
func Clashes(crd *apiextensionsv1.CustomResourceDefinition) bool {
	if crd.Spec.Group != multiclusterv1alpha1.GroupName {
		return false
	}
	owned := func(gv schema.GroupVersion) bool { return apihelpers.HasServedCRDVersion(crd, gv.Version) }
	served := func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Served }
	return slices.ContainsFunc(InventoryVersions, owned) ||
		ownResources.Has(crd.Spec.Names.Plural) && slices.ContainsFunc(crd.Spec.Versions, served)
}

// Flag returns the value of a flag, such as --hub-id, in the commands of a Deployment's containers:
// of FLAG=VALUE or FLAG VALUE, the last as the flag's program does, or "" if there is none. The
// first container that has it counts: one beside the program may have a flag of that name.
func Flag(deployment *appsv1.Deployment, flag string) (value string) {
	for _, container := range deployment.Spec.Template.Spec.Containers {
		// One argument may be all of a shell's command.
		words := strings.Fields(strings.Join(slices.Concat(container.Command, container.Args), " "))
		for i, word := range words {
			if given, ok := strings.CutPrefix(word, flag+"="); ok {
				value = given
			} else if word == flag && i+1 < len(words) {
				value = words[i+1]
			}
		}
		if value != "" {
			return value
		}
	}
	return value
}
