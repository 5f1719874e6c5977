// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"
	"k8s.io/utils/ptr"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/hub"
)

const (
	mendRegister = "Register it: kubectl apply -k artifacts/deploy/overlays/OVERLAY"
	mendServer   = "See why the server is not ready: kubectl -n " + SystemNamespace + " logs deployment/" + serverName
	mendBundle   = "Have it trust the server's CA, as the component for certificates of your overlay does (cert-manager's cainjector, " +
		"or gen-certs.sh): kubectl apply -k artifacts/deploy/overlays/OVERLAY"
)

// expectedServices names the APIServices that have to lead to clusterpass.
func (e *examination) expectedServices() []string {
	if e.mode() == hub.InventoryExternal {
		return []string{clusterpassService}
	}
	return allServices()
}

// checkAPIServices looks at how the hub's aggregator is led to clusterpass, and whether it gets
// there.
func checkAPIServices(ctx context.Context, e *examination, f *findings) {
	if f.unknown("APIServices", e.hub.apiServices.err) {
		return
	}
	services := sets.New[types.NamespacedName]()
	for _, name := range e.expectedServices() {
		service, ok := e.hub.apiServices.value[name]
		switch {
		case !ok && name == laterService && e.isAvailable(multiclusterService):
			f.warn("APIService "+name, "After the upgrade of the server, register it: kubectl apply -k artifacts/deploy/overlays/OVERLAY",
				"it is missing: clients of that version find no ClusterProfiles. A server of an earlier release does not serve it")
			continue
		case !ok:
			f.fail("APIService "+name, mendRegister, "it is missing: the hub does not know what clusterpass serves")
			continue
		case name == laterService && isNotServed(service) && e.isAvailable(multiclusterService):
			f.fail("APIService "+name, "Upgrade the server, or delete it until then: kubectl delete apiservice "+name,
				"the server is of an earlier release and does not serve it: no namespace of the hub finishes deleting")
			continue
		}
		f.apiService(service)
		if to := service.Spec.Service; to != nil {
			services.Insert(types.NamespacedName{Namespace: to.Namespace, Name: to.Name})
		}
	}
	for service := range services {
		e.checkService(ctx, f, service)
	}
	if e.mode() == hub.InventoryExternal {
		e.checkLeftServices(f)
	}
}

// checkLeftServices looks for APIServices that hide the CustomResourceDefinitions that clusterpass
// reads.
func (e *examination) checkLeftServices(f *findings) {
	for _, name := range hub.InventoryServices() {
		service, ok := e.hub.apiServices.value[name]
		if ok && service.Spec.Service != nil && service.Labels[hub.AutomanagedLabel] == "" {
			f.fail("APIService "+name, "Delete it: kubectl delete apiservice "+name,
				"it hides the hub's CustomResourceDefinitions, which clusterpass reads with --inventory=%s", hub.InventoryExternal)
		}
	}
}

func (e *examination) isAvailable(name string) bool {
	service, ok := e.hub.apiServices.value[name]
	return ok && helper.IsAPIServiceConditionTrue(service, apiregistrationv1.Available)
}

// isNotServed returns whether a server answers, and has no such group-version.
func isNotServed(service *apiregistrationv1.APIService) bool {
	condition := helper.GetAPIServiceConditionByType(service, apiregistrationv1.Available)
	return condition != nil && condition.Status == apiregistrationv1.ConditionFalse && strings.Contains(condition.Message, "bad status") &&
		strings.Contains(condition.Message, "404")
}

// apiService looks at one that should lead to clusterpass.
func (f *findings) apiService(service *apiregistrationv1.APIService) {
	about := "APIService " + service.Name
	if label, ok := service.Labels[hub.AutomanagedLabel]; ok {
		f.fail(about, "Remove the CustomResourceDefinitions that the check crds names, then delete it and apply the overlay again: "+
			"kubectl delete apiservice "+service.Name,
			"it has the label %s=%s: kube-apiserver undoes every change to it", hub.AutomanagedLabel, label)
		return
	}
	if service.Spec.Service == nil {
		f.fail(about, mendRegister, "it leads to no Service: the hub serves the group itself")
		return
	}
	if helper.IsAPIServiceConditionTrue(service, apiregistrationv1.Available) {
		f.ok(about, "available")
		return
	}
	condition := ptr.Deref(helper.GetAPIServiceConditionByType(service, apiregistrationv1.Available), apiregistrationv1.APIServiceCondition{})
	f.fail(about, mendAvailability(service, condition), "not available: %s: %s",
		cmp.Or(condition.Reason, "Unknown"), cmp.Or(condition.Message, "the hub has not tried it yet"))
}

// mendAvailability goes by the reasons of kube-aggregator's controller.
func mendAvailability(service *apiregistrationv1.APIService, condition apiregistrationv1.APIServiceCondition) string {
	switch condition.Reason {
	case "ServiceNotFound", "ServicePortError":
		return "Create the Service from the overlay: kubectl apply -k artifacts/deploy/overlays/OVERLAY"
	case "EndpointsNotFound", "MissingEndpoints":
		return mendServer
	}
	if strings.Contains(condition.Message, "x509") || strings.Contains(condition.Message, "tls: ") {
		return mendBundle
	}
	if strings.Contains(condition.Message, "bad status") {
		return mendServer
	}
	return "See what the hub says about it, and whether a NetworkPolicy or firewall blocks it: kubectl describe apiservice " + service.Name
}

// checkService looks at the Service behind the APIServices and its endpoints.
func (e *examination) checkService(ctx context.Context, f *findings, name types.NamespacedName) {
	about := "Service " + name.String()
	service, err := e.Kubernetes.CoreV1().Services(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if !f.found(about, err, Fail, "Create it from the overlay: kubectl apply -k artifacts/deploy/overlays/OVERLAY",
		"it is missing, and the APIServices lead to it") {
		return
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		f.ok(about, "leads to %s", service.Spec.ExternalName)
		return
	}
	endpoints, err := e.Kubernetes.DiscoveryV1().EndpointSlices(name.Namespace).List(ctx,
		metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name.Name})
	if f.unknown(about, err) {
		return
	}
	ready, all := countEndpoints(endpoints.Items)
	if ready == 0 {
		f.fail(about, mendServer, "none of its %d endpoints is ready", all)
		return
	}
	f.ok(about, "%d of %d endpoints are ready", ready, all)
}

// countEndpoints counts the addresses of a Service.
func countEndpoints(list []discoveryv1.EndpointSlice) (ready, all int) {
	for i := range list {
		all += len(list[i].Endpoints)
		for _, endpoint := range list[i].Endpoints {
			// Nil is to be taken as ready, by the API.
			if ptr.Deref(endpoint.Conditions.Ready, true) {
				ready++
			}
		}
	}
	return ready, all
}

const (
	// openAPIv2 is as kubectl and Helm ask for it: a quarter of the JSON, and kept ready by the hub.
	openAPIv2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
	// maxBody bounds what is read of an answer. A hub with hundreds of CustomResourceDefinitions has
	// some megabytes.
	maxBody = 256 << 20
	// maxWords bounds what is shown of the hub's own words.
	maxWords = 300
)

// checkOpenAPI asks for what a clash of an APIService with CustomResourceDefinitions breaks for the
// whole hub.
func checkOpenAPI(ctx context.Context, e *examination, f *findings) {
	const path = "/openapi/v2"
	response, err := e.Get(ctx, path, openAPIv2)
	if f.unknown(path, err) {
		return
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusForbidden {
		f.skip(path, "you may not read this: %s", response.Status)
		return
	}
	if response.StatusCode != http.StatusOK {
		words, _ := io.ReadAll(io.LimitReader(response.Body, maxWords))
		f.fail(path,
			"Resolve the clash of CustomResourceDefinitions that the check crds names, then see the log of kube-apiserver: kubectl get --raw "+path,
			"the hub answers %s, which stops kubectl apply, Helm and Argo CD: %s", response.Status, strings.TrimSpace(string(words)))
		return
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxBody)); !f.unknown(path, err) {
		f.ok(path, "the hub describes its whole API")
	}
}

// checkCRDs looks for CustomResourceDefinitions that clash with clusterpass, or, where the hub
// serves the group without clusterpass, for the one of ClusterProfile.
func checkCRDs(_ context.Context, e *examination, f *findings) {
	switch {
	case e.hub.crds.err != nil:
		f.unknown("CustomResourceDefinitions", e.hub.crds.err)
	case e.mode() == hub.InventoryExternal:
		e.expectProfilesCRD(f)
	default:
		e.expectNoCRDs(f)
	}
}

func (e *examination) expectNoCRDs(f *findings) {
	ours := multiclusterv1alpha1.GroupName
	names := e.hub.crds.value.names
	if len(names) == 0 {
		f.ok("", "none that clashes with what clusterpass serves in %s", ours)
		return
	}
	for _, name := range names {
		f.fail("CustomResourceDefinition "+name,
			"Export its objects and remove it, or leave the group to it, as docs/migration.md says (From the CRD to Served): "+
				"kubectl delete crd "+name,
			"it clashes with what clusterpass serves in %s: clusterpass is not ready beside it", ours)
	}
}

func (e *examination) expectProfilesCRD(f *findings) {
	ours := multiclusterv1alpha1.GroupName
	crds := e.hub.crds.value
	if crds.unread || !slices.Contains(crds.names, profilesCRD) {
		f.fail("CustomResourceDefinition "+profilesCRD,
			"Install it from sigs.k8s.io/cluster-inventory-api, or let clusterpass serve the group: "+
				"kubectl apply -f config/crd/bases/multicluster.x-k8s.io_clusterprofiles.yaml",
			"it is missing, or does not serve %s: clusterpass runs with --inventory=%s and reads ClusterProfiles from it",
			hub.InventoryVersionNames(), hub.InventoryExternal)
		return
	}
	served, ok := e.hub.apiServices.value[clusterpassService]
	if e.Inventory == "" && ok && !helper.IsAPIServiceConditionTrue(served, apiregistrationv1.Available) {
		f.warn("CustomResourceDefinitions "+strings.Join(crds.names, ", "),
			"If clusterpass is to serve the group, remove them as docs/migration.md says (From the CRD to Served), "+
				"else check that it runs with --inventory=External: kubectl -n "+
				SystemNamespace+" get deployment "+serverName+" -o yaml",
			"the hub serves %s from them, and clusterpass is not available: without --inventory=%s it is not ready beside them",
			ours, hub.InventoryExternal)
		return
	}
	f.ok("CustomResourceDefinition "+profilesCRD, "the hub serves ClusterProfiles from it (--inventory=%s)", hub.InventoryExternal)
}
