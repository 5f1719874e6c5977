// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"

	"clusterpass.dev/pkg/hub"
)

const (
	// The places of the group among the hub's and of the version in the group, as in artifacts/deploy.
	groupPriority   = 1200
	versionPriority = 100
	// ourResource is in the group-version only if clusterpass serves it.
	ourResource = "authtokenrequests"
	// fieldManager owns what is written here.
	fieldManager = "kubectl-clusterpass-migrate"

	poll = 500 * time.Millisecond
)

// findAPIService finds out who has the group-version now.
func (m *Migration) findAPIService(ctx context.Context, found *findings) error {
	name := inventoryService
	service, err := m.hub.APIServices.ApiregistrationV1().APIServices().Get(ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("looking for the APIService of the inventory: %w", err)
	}
	// Whatever was applied to one that kube-apiserver keeps, it is about to undo.
	remote := err == nil && service.Spec.Service != nil && service.Labels[hub.AutomanagedLabel] == ""
	switch {
	case remote && !found.target.leads(service):
		found.hidden = true
		found.block("APIService %s leads to Service %s/%s, which is not clusterpass's",
			name, service.Spec.Service.Namespace, service.Spec.Service.Name)
	case remote && len(found.kinds) == 0 && len(found.blockers) == 0:
		found.done = true
		found.summary = fmt.Sprintf(
			"clusterpass serves the inventory of hub %s, which has no CustomResourceDefinitions to move; nothing is left to do", m.hub.URL)
	case remote && len(found.live()) > 0:
		found.hidden = true
		found.block("APIService %s leads to clusterpass already and hides the objects that are to be moved. "+
			"Have the hub make its own again: kubectl delete apiservice %s", name, name)
	case !remote && len(found.kinds) == 0:
		found.block("the hub has no CustomResourceDefinition that could be moved, and folder %s has no export. "+
			"If a run was interrupted, give its folder with --dir; if clusterpass is only to be installed, apply artifacts/deploy", m.folder.path)
	}
	return nil
}

// register has the hub forward the group-version to clusterpass, and waits until it does.
func (m *Migration) register(ctx context.Context, found *findings) (string, error) {
	if err := m.poll(ctx, func(ctx context.Context) error { return m.ensureAPIService(ctx, found.target) }); err != nil {
		return "", fmt.Errorf("registering APIService %s: %w", inventoryService, err)
	}
	if err := m.poll(ctx, m.served); err != nil {
		return "", fmt.Errorf("APIService %s is not available: %w. Check that clusterpass-apiserver is ready: "+
			"kubectl --namespace=%s get pods, and its log", inventoryService, err, found.target.service.Namespace)
	}
	return fmt.Sprintf("APIService %s leads to Service %s and is available", inventoryService, found.target.service), nil
}

// ensureAPIService makes the APIService lead to the target. One that kube-apiserver made is deleted
// first: without the CustomResourceDefinitions that is about to happen anyway, and to a changed one
// as well, as it goes by the UID alone.
func (m *Migration) ensureAPIService(ctx context.Context, to target) error {
	client := m.hub.APIServices.ApiregistrationV1().APIServices()
	service, err := client.Get(ctx, inventoryService, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err == nil && to.leads(service) && service.Labels[hub.AutomanagedLabel] == "" {
		return m.updateAPIService(ctx, service, to)
	}
	if err == nil {
		err := client.Delete(ctx, service.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &service.UID, ResourceVersion: &service.ResourceVersion},
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	_, err = client.Create(ctx, to.apiService(), metav1.CreateOptions{FieldManager: fieldManager})
	return err
}

// updateAPIService brings one that leads to the target's Service up to date.
func (m *Migration) updateAPIService(ctx context.Context, service *apiregistrationv1.APIService, to target) error {
	_, injected := service.Annotations[injectCA]
	if *service.Spec.Service.Port == to.service.Port && (injected || bytes.Equal(service.Spec.CABundle, to.caBundle)) {
		return nil
	}
	service.Spec = to.apiService().Spec
	_, err := m.hub.APIServices.ApiregistrationV1().APIServices().Update(ctx, service, metav1.UpdateOptions{FieldManager: fieldManager})
	return err
}

func (t target) apiService() *apiregistrationv1.APIService {
	return &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: inventoryService, Annotations: t.annotations},
		Spec: apiregistrationv1.APIServiceSpec{
			Group:                inventory.Group,
			Version:              inventory.Version,
			GroupPriorityMinimum: groupPriority,
			VersionPriority:      versionPriority,
			CABundle:             t.caBundle,
			Service:              &apiregistrationv1.ServiceReference{Namespace: t.service.Namespace, Name: t.service.Name, Port: &t.service.Port},
		},
	}
}

// served returns nil once the hub forwards requests for the inventory to clusterpass.
func (m *Migration) served(ctx context.Context) error {
	service, err := m.hub.APIServices.ApiregistrationV1().APIServices().Get(ctx, inventoryService, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := available(service); err != nil {
		return err
	}
	forwarded, err := m.forwarded(ctx)
	if err == nil && !forwarded {
		err = fmt.Errorf("%s is not served by clusterpass: there are no %s", inventory, ourResource)
	}
	return err
}

// forwarded returns whether the hub forwards requests for the inventory to clusterpass.
func (m *Migration) forwarded(ctx context.Context) (bool, error) {
	list, err := m.hub.Kube.Discovery().ServerResourcesForGroupVersionWithContext(ctx, inventory.String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking for %s: %w", inventory, err)
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == ourResource }), nil
}

// available returns nil, or what the hub says is wrong.
func available(service *apiregistrationv1.APIService) error {
	condition := helper.GetAPIServiceConditionByType(service, apiregistrationv1.Available)
	switch {
	case condition == nil:
		return errors.New("the hub has not checked it yet")
	case condition.Status != apiregistrationv1.ConditionTrue:
		return fmt.Errorf("%s: %s", condition.Reason, condition.Message)
	}
	return nil
}

// poll calls try until it returns nil, and returns its last error when the timeout has passed or
// ctx has ended.
func (m *Migration) poll(ctx context.Context, try func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, poll, m.options.Timeout, true, func(ctx context.Context) (bool, error) {
		err := try(ctx)
		if err == nil || ctx.Err() == nil { // what was cut off says nothing
			last = err
		}
		return err == nil, nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case last == nil:
		return err
	default:
		return fmt.Errorf("not in %s: %w", m.options.Timeout, last)
	}
}
