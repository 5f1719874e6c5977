// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	apiregistrationv1ac "k8s.io/kube-aggregator/pkg/client/applyconfiguration/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/hub"
)

const (
	// fieldManager owns what is applied here.
	fieldManager = "clusterpass-testenv"
	// groupPriority is where discovery sorts the first of our groups, as in artifacts/deploy: behind
	// those of Kubernetes, before those of CustomResourceDefinitions; each next one follows by
	// groupStep. kubectl takes authtokenrequests, which both have, from the first.
	groupPriority   = 1200
	groupStep       = 100
	versionPriority = 100
	// registeredAt is the annotation of an APIService with the time of its last registration.
	registeredAt = "testenv.clusterpass.dev/registered-at"
)

// GroupVersions are those that clusterpass-apiserver serves.
var GroupVersions = append(slices.Clone(hub.InventoryVersions), clusterpassv1alpha1.SchemeGroupVersion)

// applied takes over what another field manager set: these objects are ours alone.
var applied = metav1.ApplyOptions{FieldManager: fieldManager, Force: true}

// RegisterAPIServices makes the hub's aggregator forward group-versions to port at 127.0.0.1, where
// a server has a certificate for clusterpass-apiserver.clusterpass-system.svc that caBundle
// verifies. It waits until all are available and the hub forwards requests. Registered again, the
// aggregator looks at the server anew: that it was away before is not found out after this returns.
func RegisterAPIServices(
	ctx context.Context, hub *rest.Config, port int, caBundle []byte, gvs ...schema.GroupVersion,
) error {
	client, err := kubernetes.NewForConfig(hub)
	if err != nil {
		return err
	}
	registry, err := aggregator.NewForConfig(hub)
	if err != nil {
		return err
	}
	if err := applyServerService(ctx, client, int32(port)); err != nil {
		return fmt.Errorf("service %s of the hub: %w", serverName, err)
	}
	priorities := map[string]int32{}
	for _, gv := range gvs {
		priority, ok := priorities[gv.Group]
		if !ok {
			priority = int32(groupPriority - len(priorities)*groupStep)
			priorities[gv.Group] = priority
		}
		if err := applyAPIService(ctx, registry, gv, priority, int32(port), caBundle); err != nil {
			return fmt.Errorf("registering %s with the hub: %w", gv, err)
		}
	}
	for _, gv := range gvs {
		if err := waitAPIServiceAvailable(ctx, registry, apiServiceName(gv)); err != nil {
			return err
		}
	}
	if err := waitDiscovered(ctx, hub, gvs); err != nil {
		return err
	}
	return waitForwarded(ctx, client, gvs)
}

// applyServerService applies a Service that kube-apiserver, which runs outside of any cluster
// network, can reach: an external name that is the machine itself.
func applyServerService(ctx context.Context, client kubernetes.Interface, port int32) error {
	if err := applyNamespace(ctx, client, SystemNamespace); err != nil {
		return err
	}
	service := corev1ac.Service(serverName, SystemNamespace).WithSpec(corev1ac.ServiceSpec().
		WithType(corev1.ServiceTypeExternalName).
		WithExternalName("localhost").
		WithPorts(corev1ac.ServicePort().WithName("https").WithPort(port)))
	_, err := client.CoreV1().Services(SystemNamespace).Apply(ctx, service, applied)
	return err
}

// applyNamespace makes sure that the namespace exists.
func applyNamespace(ctx context.Context, client kubernetes.Interface, name string) error {
	_, err := client.CoreV1().Namespaces().Apply(ctx, corev1ac.Namespace(name), applied)
	return err
}

func applyAPIService(
	ctx context.Context, registry aggregator.Interface, gv schema.GroupVersion, priority, port int32, caBundle []byte,
) error {
	spec := apiregistrationv1ac.APIServiceSpec().WithGroup(gv.Group).WithVersion(gv.Version).WithCABundle(caBundle...).
		WithGroupPriorityMinimum(priority).WithVersionPriority(versionPriority).
		WithService(apiregistrationv1ac.ServiceReference().WithNamespace(SystemNamespace).WithName(serverName).WithPort(port))
	// Every write has the aggregator look at the server, and its status of an APIService that was
	// written since it began to look is a conflict: it tells of no moment before this one.
	service := apiregistrationv1ac.APIService(apiServiceName(gv)).WithSpec(spec).
		WithAnnotations(map[string]string{registeredAt: time.Now().UTC().Format(time.RFC3339Nano)})
	_, err := registry.ApiregistrationV1().APIServices().Apply(ctx, service, applied)
	return err
}

func waitAPIServiceAvailable(ctx context.Context, registry aggregator.Interface, name string) error {
	return poll(ctx, "APIService "+name+" is not available", func(ctx context.Context) (reason, err error) {
		service, err := registry.ApiregistrationV1().APIServices().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		reason = errors.New("it has no condition yet")
		for _, condition := range service.Status.Conditions {
			if condition.Type != apiregistrationv1.Available {
				continue
			}
			if condition.Status == apiregistrationv1.ConditionTrue {
				return nil, nil
			}
			reason = fmt.Errorf("%s: %s", condition.Reason, condition.Message)
		}
		return reason, nil
	})
}

// waitDiscovered waits until the hub's aggregated discovery, which trails its APIServices, has
// resources of all group-versions: kubectl knows them from there.
func waitDiscovered(ctx context.Context, hub *rest.Config, gvs []schema.GroupVersion) error {
	client, err := discovery.NewDiscoveryClientForConfig(hub)
	if err != nil {
		return err
	}
	return poll(ctx, "the hub's discovery", func(ctx context.Context) (reason, err error) {
		_, discovered, _, err := client.GroupsAndMaybeResourcesWithContext(ctx)
		if err != nil {
			return nil, err
		}
		for _, gv := range gvs {
			if resources := discovered[gv]; resources == nil || len(resources.APIResources) == 0 {
				return fmt.Errorf("it does not have %s", gv), nil
			}
		}
		return nil, nil
	})
}

// waitForwarded waits until the hub answers for each group-version by its server: the aggregator's
// proxy trails its APIServices too, and answers 503 until it has seen that one is available.
func waitForwarded(ctx context.Context, client kubernetes.Interface, gvs []schema.GroupVersion) error {
	for _, gv := range gvs {
		forwarded := func(ctx context.Context) (reason, err error) {
			return client.Discovery().RESTClient().Get().AbsPath("/apis/" + gv.String()).Do(ctx).Error(), nil
		}
		if err := poll(ctx, "the hub does not forward requests for "+gv.String(), forwarded); err != nil {
			return err
		}
	}
	return nil
}

func apiServiceName(gv schema.GroupVersion) string {
	return gv.Version + "." + gv.Group
}
