// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1/helper"

	"clusterpass.dev/pkg/hub"
)

const (
	// ourResource is in a version of the inventory only if clusterpass serves that.
	ourResource = "clusterprofiles/token"
	// fieldManager owns what is written here.
	fieldManager = "kubectl-clusterpass-migrate"

	poll = 500 * time.Millisecond
)

// export writes the objects that are still the hub's to the folder. Those whose
// CustomResourceDefinition is gone, or about to go, were written before.
func (m *Migration) export(_ context.Context, found *findings) (string, error) {
	live := found.live()
	if len(live) == 0 {
		return "was done before, into " + m.folder.path, nil
	}
	exports := make([]resourceExport, 0, len(live))
	for _, k := range live {
		export, err := m.folder.save(k.kind, k.crd, k.live)
		if err != nil {
			return "", err
		}
		exports = append(exports, export)
	}
	if err := m.folder.saveManifest(found.hubUID, exports); err != nil {
		return "", err
	}
	return countAll(live) + " to " + m.folder.path, nil
}

// remove deletes the CustomResourceDefinitions if nothing has changed since the export, and waits
// until they are gone.
func (m *Migration) remove(ctx context.Context, found *findings) (string, error) {
	live := found.live()
	if len(live) > 0 {
		if err := m.confirm(ctx, live); err != nil {
			return "", err
		}
	}
	for _, k := range live {
		if err := m.compare(ctx, &k); err != nil {
			return "", err
		}
	}
	m.removing = slices.ContainsFunc(found.kinds, func(k foundKind) bool { return k.terminating() })
	// Owners last: what they own is collected with them, and would be missing if this run ended in
	// between.
	for _, k := range slices.Backward(live) {
		m.removing = true
		err := m.hub.CRDs.ApiextensionsV1().CustomResourceDefinitions().
			Delete(ctx, k.crd.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(k.crd.UID))})
		if err != nil && !apierrors.IsNotFound(err) {
			return "", fmt.Errorf("deleting CustomResourceDefinition %s: %w", k.crd.Name, err)
		}
	}
	for _, k := range found.kinds {
		if err := m.poll(ctx, func(ctx context.Context) error { return m.gone(ctx, k.kind) }); err != nil {
			return "", err
		}
	}
	return crdNames(found.kinds) + " are gone", nil
}

// confirm asks the person who runs this.
func (m *Migration) confirm(ctx context.Context, live []foundKind) error {
	if m.options.Yes {
		return nil
	}
	fmt.Fprintf(m.streams.ErrOut, "About to delete %s of hub %s with %s, all exported to %s. "+
		"The cluster manager that owns them must be stopped: what it writes from now on is lost, "+
		"and it may treat this as the removal of its clusters. Continue? Answer yes: ", crdNames(live), m.hub.URL, countAll(live), m.folder.path)
	// A read from a terminal cannot be interrupted: it is left behind when ctx ends, and the program
	// ends with it.
	answers := make(chan string, 1)
	go func() {
		answer, err := bufio.NewReader(m.streams.In).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			answer = ""
		}
		answers <- strings.TrimSpace(answer)
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case answer := <-answers:
		if answer != "yes" {
			return errNotConfirmed
		}
		return nil
	}
}

// compare returns an error that names the objects of a kind that are not as they were exported.
func (m *Migration) compare(ctx context.Context, k *foundKind) error {
	live, err := m.listCRD(ctx, k)
	if err != nil {
		return err
	}
	if changed := changes(m.folder.export(k.resource).Objects, live); len(changed) > 0 {
		return fmt.Errorf("%ss are not as they were exported: %s. Stop their writer; the next run exports them again", k.name, named(changed))
	}
	return nil
}

// gone returns nil once the CustomResourceDefinition of a kind is gone, else what it waits for.
func (m *Migration) gone(ctx context.Context, k kind) error {
	crd, err := m.hub.CRDs.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, k.crd(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	version, _ := readVersion(crd)
	left, err := m.hub.list(ctx, k, version)
	if err != nil {
		return fmt.Errorf("CustomResourceDefinition %s is still there: %w", k.crd(), err)
	}
	names := make([]string, 0, len(left))
	for _, object := range left {
		names = append(names, fmt.Sprintf("%s (finalizers: %s)", nameOf(object), strings.Join(object.GetFinalizers(), ", ")))
	}
	return fmt.Errorf("CustomResourceDefinition %s is still there, with %s: %s. "+
		"Whoever set the finalizers has to finish, or remove them from the objects", k.crd(), k.count(len(left)), named(names))
}

// register has the hub forward all versions of the inventory to clusterpass, and waits until it
// does so for the one in which objects are imported: a server of an earlier release has no other.
func (m *Migration) register(ctx context.Context, found *findings) (string, error) {
	for _, gv := range hub.InventoryVersions {
		target := m.newAPIService(gv)
		target.Annotations, target.Spec.CABundle = found.target.Annotations, found.target.Spec.CABundle
		if err := m.poll(ctx, func(ctx context.Context) error { return m.ensureAPIService(ctx, target) }); err != nil {
			return "", fmt.Errorf("registering APIService %s: %w", target.Name, err)
		}
	}
	if err := m.poll(ctx, m.served); err != nil {
		return "", fmt.Errorf("APIService %s is not available: %w. Check that clusterpass-apiserver is ready: "+
			"kubectl --namespace=%s get pods, and its log", inventoryService, err, m.options.Service.Namespace)
	}
	return fmt.Sprintf("APIServices %s lead to Service %s, and %s is available", inventoryServices(), m.options.Service, inventoryService), nil
}

// ensureAPIService makes the APIService lead to the target. One that kube-apiserver made is deleted
// first: without the CustomResourceDefinitions that is about to happen anyway, and to a changed one
// as well, as it goes by the UID alone.
func (m *Migration) ensureAPIService(ctx context.Context, to *apiregistrationv1.APIService) error {
	client := m.hub.APIServices.ApiregistrationV1().APIServices()
	service, err := client.Get(ctx, to.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return err
	case m.leadsToUs(service) && service.Labels[hub.AutomanagedLabel] == "":
		return m.updateAPIService(ctx, service, to)
	default:
		err := client.Delete(ctx, service.Name, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &service.UID, ResourceVersion: &service.ResourceVersion},
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	_, err = client.Create(ctx, to, metav1.CreateOptions{FieldManager: fieldManager})
	return err
}

// updateAPIService brings one that leads to the target's Service up to date.
func (m *Migration) updateAPIService(ctx context.Context, service, to *apiregistrationv1.APIService) error {
	_, injected := service.Annotations[injectCA]
	if *service.Spec.Service.Port == *to.Spec.Service.Port && (injected || bytes.Equal(service.Spec.CABundle, to.Spec.CABundle)) {
		return nil
	}
	service.Spec = to.Spec
	_, err := m.hub.APIServices.ApiregistrationV1().APIServices().Update(ctx, service, metav1.UpdateOptions{FieldManager: fieldManager})
	return err
}

// served returns nil once the hub forwards requests for the inventory to clusterpass.
func (m *Migration) served(ctx context.Context) error {
	service, err := m.hub.APIServices.ApiregistrationV1().APIServices().Get(ctx, inventoryService, metav1.GetOptions{})
	if err != nil {
		return err
	}
	condition := helper.GetAPIServiceConditionByType(service, apiregistrationv1.Available)
	switch {
	case condition == nil:
		return errors.New("the hub has not checked it yet")
	case condition.Status != apiregistrationv1.ConditionTrue:
		return fmt.Errorf("%s: %s", condition.Reason, condition.Message)
	}
	forwarded, err := m.forwarded(ctx, inventory)
	if err == nil && !forwarded {
		err = fmt.Errorf("%s is not served by clusterpass: there are no %s", inventory, ourResource)
	}
	return err
}

// forwarded returns whether the hub forwards requests for a version of the inventory to
// clusterpass.
func (m *Migration) forwarded(ctx context.Context, version schema.GroupVersion) (bool, error) {
	list, err := m.hub.Kube.Discovery().ServerResourcesForGroupVersionWithContext(ctx, version.String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking for %s: %w", version, err)
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == ourResource }), nil
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
