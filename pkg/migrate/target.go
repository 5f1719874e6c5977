// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
	"clusterpass.dev/pkg/hub"
)

const (
	// The places of the group among the hub's and of the version in the group, as in artifacts/deploy.
	groupPriority   = 1200
	versionPriority = 100
	// caKey is where hub.ServingSecret has the certificate that verifies the server's.
	caKey = "ca.crt"
	// injectCA is cert-manager's annotation, by which it keeps the CA of an APIService up to date.
	injectCA = "cert-manager.io/inject-ca-from"
	// externalFlag is in the arguments of a server that leaves the inventory to the
	// CustomResourceDefinitions.
	externalFlag = "--inventory=" + hub.InventoryExternal
)

// ourService is the APIService that leads to clusterpass-apiserver whoever serves the inventory.
var ourService = hub.APIServiceName(clusterpassv1alpha1.SchemeGroupVersion)

// leadsToUs returns whether an APIService leads to the Service of clusterpass-apiserver.
func (m *Migration) leadsToUs(service *apiregistrationv1.APIService) bool {
	to := service.Spec.Service
	return to != nil && to.Namespace == m.options.Service.Namespace && to.Name == m.options.Service.Name
}

// newAPIService returns the APIService of a version of the inventory as it is to be, without a CA.
func (m *Migration) newAPIService(gv schema.GroupVersion) *apiregistrationv1.APIService {
	to := m.options.Service
	return &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: hub.APIServiceName(gv)},
		Spec: apiregistrationv1.APIServiceSpec{
			Group:                gv.Group,
			Version:              gv.Version,
			GroupPriorityMinimum: groupPriority,
			VersionPriority:      versionPriority,
			Service:              &apiregistrationv1.ServiceReference{Namespace: to.Namespace, Name: to.Name, Port: &to.Port},
		},
	}
}

// findTarget looks at what the APIService is to lead to, as far as that can be seen while the
// CustomResourceDefinitions keep it from being ready.
func (m *Migration) findTarget(ctx context.Context, found *findings) error {
	service := m.options.Service
	found.target = m.newAPIService(inventory)
	_, err := m.hub.Kube.CoreV1().Services(service.Namespace).Get(ctx, service.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		found.block("Service %s/%s is not there: deploy clusterpass first, see artifacts/deploy", service.Namespace, service.Name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for the Service of clusterpass-apiserver: %w", err)
	}
	if err := m.findDeployment(ctx, found); err != nil {
		return err
	}
	return m.findCA(ctx, found)
}

// findDeployment looks for a server that would take the inventory over.
func (m *Migration) findDeployment(ctx context.Context, found *findings) error {
	service := m.options.Service
	deployment, err := m.hub.Kube.AppsV1().Deployments(service.Namespace).Get(ctx, service.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		found.warn("there is no Deployment %s/%s, so it is not known whether clusterpass-apiserver runs and would serve the inventory",
			service.Namespace, service.Name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for clusterpass-apiserver: %w", err)
	}
	if hub.Flag(deployment, "--inventory") == hub.InventoryExternal {
		found.block("Deployment %s/%s runs with %s and would not serve the inventory: apply it without the component external-inventory first. "+
			"Its new Pods are ready once the CustomResourceDefinitions are gone", service.Namespace, service.Name, externalFlag)
	}
	if status := deployment.Status; status.ObservedGeneration < deployment.Generation || status.UpdatedReplicas == 0 {
		found.block("Deployment %s/%s has no Pods of its current template: see kubectl --namespace=%s describe deployment %s",
			service.Namespace, service.Name, service.Namespace, service.Name)
	}
	return nil
}

// findCA finds the certificates that verify the server's: in the file that was given, in the
// APIService of our own group, or in the Secret with the server's certificate, which has its key,
// too, and is read only if need be.
func (m *Migration) findCA(ctx context.Context, found *findings) error {
	if err := m.copyRegistration(ctx, found); err != nil {
		return err
	}
	from := "APIService " + ourService
	var err error
	switch {
	case m.options.CAFile != "":
		from = m.options.CAFile
		found.target.Annotations = nil // cert-manager would put another one there
		found.target.Spec.CABundle, err = os.ReadFile(m.options.CAFile)
	case len(found.target.Spec.CABundle) == 0:
		from = fmt.Sprintf("Secret %s/%s", m.options.Service.Namespace, hub.ServingSecret)
		found.target.Spec.CABundle, err = m.caOfSecret(ctx)
	}
	if err != nil {
		found.block("no CA for clusterpass-apiserver: %v. Give it with --ca-file", err)
		return nil
	}
	if _, err := endpoint.ParseBundle(found.target.Spec.CABundle); err != nil {
		found.block("no CA for clusterpass-apiserver: %s %v. Give it with --ca-file", from, err)
	}
	return nil
}

// copyRegistration takes over what the APIService of our own group has for the same Service.
func (m *Migration) copyRegistration(ctx context.Context, found *findings) error {
	service, err := m.hub.APIServices.ApiregistrationV1().APIServices().Get(ctx, ourService, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		found.warn("there is no APIService %s: apply artifacts/deploy as a whole", ourService)
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for the APIService of clusterpass: %w", err)
	}
	if !m.leadsToUs(service) {
		return nil
	}
	found.target.Spec.CABundle = service.Spec.CABundle
	if from := service.Annotations[injectCA]; from != "" {
		found.target.Annotations = map[string]string{injectCA: from}
	}
	return nil
}

func (m *Migration) caOfSecret(ctx context.Context) ([]byte, error) {
	secret, err := m.hub.Kube.CoreV1().Secrets(m.options.Service.Namespace).Get(ctx, hub.ServingSecret, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if len(secret.Data[caKey]) == 0 {
		return nil, fmt.Errorf("no %[3]s in Secret %[1]s/%[2]s", secret.Namespace, secret.Name, caKey)
	}
	return secret.Data[caKey], nil
}

// findAPIService finds out who has the inventory now.
func (m *Migration) findAPIService(ctx context.Context, found *findings) error {
	remote := sets.New[string]()
	for _, name := range hub.InventoryServices() {
		service, err := m.remoteAPIService(ctx, name)
		if err != nil {
			return err
		}
		if service != nil && !m.leadsToUs(service) {
			found.hidden = true
			found.block("APIService %s leads to Service %s/%s, which is not clusterpass's",
				name, service.Spec.Service.Namespace, service.Spec.Service.Name)
			return nil
		}
		if service != nil {
			remote.Insert(name)
		}
	}
	for _, k := range found.live() {
		version, _ := readVersion(k.crd)
		if name := hub.APIServiceName(version); remote.Has(name) {
			found.hidden = true
			found.block("APIService %s leads to clusterpass already and hides the objects that are to be moved. "+
				"Have the hub make its own again: kubectl delete apiservice %s", name, name)
			return nil
		}
	}
	served := remote.Has(inventoryService)
	switch {
	case served && len(found.kinds) == 0 && len(found.blockers) == 0:
		found.done = true
		found.summary = fmt.Sprintf(
			"clusterpass serves the inventory of hub %s, which has no CustomResourceDefinitions to move; nothing is left to do", m.hub.URL)
	case !served && len(found.kinds) == 0:
		found.block("the hub has no CustomResourceDefinition that could be moved, and folder %s has no export. "+
			"If a run was interrupted, give its folder with --dir; if clusterpass is only to be installed, apply artifacts/deploy", m.folder.path)
	}
	return nil
}

// remoteAPIService returns an APIService that leads to a Service, nil if it does not or is not
// there. Whatever was applied to one that kube-apiserver keeps, it is about to undo.
func (m *Migration) remoteAPIService(ctx context.Context, name string) (*apiregistrationv1.APIService, error) {
	service, err := m.hub.APIServices.ApiregistrationV1().APIServices().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // that there is none is an answer
	case err != nil:
		return nil, fmt.Errorf("looking for the APIService of the inventory: %w", err)
	case service.Spec.Service == nil, service.Labels[hub.AutomanagedLabel] != "":
		return nil, nil //nolint:nilnil // nor is this one
	}
	return service, nil
}

// Hub has the clients for the hub that is migrated.
type Hub struct {
	// URL is that of its kube-apiserver, for people to know it by.
	URL         string
	Kube        kubernetes.Interface
	CRDs        apiextensions.Interface
	APIServices aggregator.Interface
	Objects     dynamic.Interface
	// Metadata and Mapper find the owners of objects, of whatever kind.
	Metadata metadata.Interface
	Mapper   meta.RESTMapper
}

// NewHub returns clients that act as config says, at their own pace: one request after the other.
func NewHub(config *rest.Config) (*Hub, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	h := &Hub{URL: config.Host}
	errs := make([]error, 5)
	h.Kube, errs[0] = kubernetes.NewForConfig(config)
	h.CRDs, errs[1] = apiextensions.NewForConfig(config)
	h.APIServices, errs[2] = aggregator.NewForConfig(config)
	h.Objects, errs[3] = dynamic.NewForConfig(config)
	h.Metadata, errs[4] = metadata.NewForConfig(config)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("client for the hub: %w", err)
	}
	// In memory: what kubectl keeps on disk of the hub's discovery is out of date after the migration.
	h.Mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(h.Kube.Discovery()))
	return h, nil
}
