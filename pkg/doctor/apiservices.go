// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
)

// automanagedLabel is on the APIServices that kube-apiserver makes for CustomResourceDefinitions, and resets.
const automanagedLabel = "kube-aggregator.kubernetes.io/automanaged"

const (
	mendRegister = "Register it: kubectl apply -k artifacts/deploy/overlays/OVERLAY"
	mendServer   = "See why the server is not ready: kubectl -n " + SystemNamespace + " logs deployment/" + serverName
	mendBundle   = "Have it trust the server's CA, as the component for certificates of your overlay does (cert-manager's cainjector, or gen-certs.sh): kubectl apply -k artifacts/deploy/overlays/OVERLAY"
)

// expectedServices names the APIServices that have to lead to clusterpass.
func (e *examination) expectedServices() []string {
	if e.mode() == InventoryExternal {
		return []string{clusterpassService}
	}
	return []string{multiclusterService, clusterpassService}
}

// checkAPIServices looks at how the hub's aggregator is led to clusterpass, and whether it gets there.
func checkAPIServices(ctx context.Context, e *examination) findings {
	var f findings
	if err := e.hub.apiServices.err; err != nil {
		f.unknown("APIServices", err)
		return f
	}
	services := sets.New[types.NamespacedName]()
	for _, name := range e.expectedServices() {
		service, ok := e.hub.apiServices.value[name]
		if !ok {
			f.fail("APIService "+name, mendRegister, "it is missing: the hub does not know what clusterpass serves")
			continue
		}
		f.apiService(service)
		if to := service.Spec.Service; to != nil {
			services.Insert(types.NamespacedName{Namespace: to.Namespace, Name: to.Name})
		}
	}
	for service := range services {
		e.checkService(ctx, &f, service)
	}
	return f
}

// apiService looks at one that should lead to clusterpass.
func (f *findings) apiService(service *apiregistrationv1.APIService) {
	about := "APIService " + service.Name
	if label, ok := service.Labels[automanagedLabel]; ok {
		f.fail(about, "Remove the CustomResourceDefinitions that the check crds names, then have it made anew: kubectl delete apiservice "+service.Name,
			"it has the label %s=%s: kube-apiserver undoes every change to it", automanagedLabel, label)
		return
	}
	if service.Spec.Service == nil {
		f.fail(about, mendRegister, "it leads to no Service: the hub serves the group by itself")
		return
	}
	condition := availability(service)
	if condition.Status == apiregistrationv1.ConditionTrue {
		f.ok(about, "available")
		return
	}
	f.fail(about, mendAvailability(service, condition), "not available: %s: %s",
		cmp.Or(condition.Reason, "Unknown"), cmp.Or(condition.Message, "the hub has not tried it yet"))
}

// availability returns the condition Available, empty if there is none.
func availability(service *apiregistrationv1.APIService) apiregistrationv1.APIServiceCondition {
	for _, condition := range service.Status.Conditions {
		if condition.Type == apiregistrationv1.Available {
			return condition
		}
	}
	return apiregistrationv1.APIServiceCondition{}
}

func isAvailable(service *apiregistrationv1.APIService) bool {
	return availability(service).Status == apiregistrationv1.ConditionTrue
}

// mendAvailability goes by the reasons of kube-aggregator's controller.
func mendAvailability(service *apiregistrationv1.APIService, condition apiregistrationv1.APIServiceCondition) string {
	switch condition.Reason {
	case "ServiceNotFound", "ServicePortError":
		return "Make the Service as it is deployed: kubectl apply -k artifacts/deploy/overlays/OVERLAY"
	case "EndpointsNotFound", "MissingEndpoints":
		return mendServer
	}
	if strings.Contains(condition.Message, "x509") || strings.Contains(condition.Message, "tls: ") {
		return mendBundle
	}
	if strings.Contains(condition.Message, "bad status") {
		return mendServer
	}
	return "See what the hub says of it, and whether a NetworkPolicy or firewall is between them: kubectl describe apiservice " + service.Name
}

// checkService looks at the Service behind the APIServices and its endpoints.
func (e *examination) checkService(ctx context.Context, f *findings, name types.NamespacedName) {
	about := "Service " + name.String()
	service, err := e.Kubernetes.CoreV1().Services(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		f.fail(about, "Make it as it is deployed: kubectl apply -k artifacts/deploy/overlays/OVERLAY", "it is missing, and the APIServices lead to it")
		return
	case err != nil:
		f.unknown(about, err)
		return
	case service.Spec.Type == corev1.ServiceTypeExternalName:
		f.ok(about, "leads to %s", service.Spec.ExternalName)
		return
	}
	endpoints, err := e.Kubernetes.DiscoveryV1().EndpointSlices(name.Namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name.Name})
	if err != nil {
		f.unknown(about, err)
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
