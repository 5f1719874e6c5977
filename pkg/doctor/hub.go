// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/pager"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	multiclusterv1alpha2 "clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/hub"
)

// multiclusterService is the APIService of the version of the inventory that every release of
// clusterpass serves, and clusterpassService that of clusterpass's own group.
var (
	multiclusterService = hub.APIServiceName(multiclusterv1alpha1.SchemeGroupVersion)
	clusterpassService  = hub.APIServiceName(clusterpassv1alpha1.SchemeGroupVersion)
	// laterService is the APIService of the version that an earlier release does not serve.
	laterService = hub.APIServiceName(multiclusterv1alpha2.SchemeGroupVersion)
)

// allServices returns the names of the APIServices of a clusterpass that serves ClusterProfiles.
func allServices() []string { return append(hub.InventoryServices(), clusterpassService) }

const kindProfile = "ClusterProfile"

// profilesCRD is its CustomResourceDefinition.
var profilesCRD = "clusterprofiles." + inventoryv1alpha1.Group

// observed is what the hub answered, or why it did not.
type observed[T any] struct {
	value T
	err   error
}

// answers are what several checks want to know of the hub.
type answers struct {
	skew observed[skew]
	// apiServices are those of ours that exist, by name.
	apiServices observed[map[string]*apiregistrationv1.APIService]
	// crds are those that clash with clusterpass where it serves ClusterProfiles.
	crds observed[clashes]
	// profiles are the ClusterProfiles to look at.
	profiles observed[profiles]
}

// clashes are CustomResourceDefinitions that clash, see hub.Clashes.
type clashes struct {
	names []string
	// unread is whether there is that of ClusterProfile, and it serves no version that clusterpass
	// reads. If it serves none at all, it does not clash.
	unread bool
}

// profiles are ClusterProfiles that were found, and those that were asked for and do not exist.
type profiles struct {
	items   []*inventoryv1alpha1.ClusterProfile
	missing []types.NamespacedName
	// partial names the one namespace that was looked into, where the caller may not list all.
	partial string
}

// Reach returns a finding where the hub, which is called host, does not answer at all, and nothing
// where it does, whatever it says: no check could say more. mend says how another one is named.
func Reach(ctx context.Context, clients *Clients, host, mend string) []Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	response, err := clients.Get(ctx, "/version", "application/json")
	if err != nil {
		return []Finding{{Check: "hub", Verdict: Fail, About: host, Message: fmt.Sprintf("it does not answer: %v", err), Mend: mend}}
	}
	_ = response.Body.Close()
	return nil
}

// observe asks the hub for all of it at once.
func (e *examination) observe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	h := &e.hub
	var asking sync.WaitGroup
	asking.Go(func() { h.skew.value, h.skew.err = e.measureSkew(ctx) })
	asking.Go(func() { h.apiServices.value, h.apiServices.err = e.getAPIServices(ctx) })
	asking.Go(func() { h.crds.value, h.crds.err = e.listCRDs(ctx) })
	asking.Go(func() { h.profiles.value, h.profiles.err = e.getProfiles(ctx) })
	asking.Wait()
}

func (e *examination) getAPIServices(ctx context.Context) (map[string]*apiregistrationv1.APIService, error) {
	found := map[string]*apiregistrationv1.APIService{}
	for _, name := range allServices() {
		service, err := e.Aggregator.ApiregistrationV1().APIServices().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found[name] = service
	}
	return found, nil
}

func (e *examination) listCRDs(ctx context.Context) (clashes, error) {
	// The schemas of all are many megabytes. The name of each ends with its group.
	definitions := apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")
	list, err := e.Metadata.Resource(definitions).List(ctx, metav1.ListOptions{})
	if err != nil {
		return clashes{}, err
	}
	var found clashes
	for i := range list.Items {
		name := list.Items[i].Name
		if !strings.HasSuffix(name, "."+groupMulticluster) {
			continue
		}
		crd, err := e.Extensions.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return clashes{}, err
		}
		if hub.Clashes(crd) {
			found.names = append(found.names, name)
		}
		if name == profilesCRD {
			found.unread = !slices.ContainsFunc(hub.InventoryVersions, func(gv schema.GroupVersion) bool {
				return apihelpers.HasServedCRDVersion(crd, gv.Version)
			})
		}
	}
	slices.Sort(found.names)
	return found, nil
}

func (e *examination) getProfiles(ctx context.Context) (found profiles, err error) {
	if len(e.Clusters) == 0 {
		found.partial, err = e.inNamespaces(func(namespace string) error {
			return each(ctx, e.Profiles.ApisV1alpha1().ClusterProfiles(namespace).List, func(profile *inventoryv1alpha1.ClusterProfile) {
				found.items = append(found.items, profile)
			})
		})
		return found, err
	}
	for _, name := range e.Clusters {
		profile, err := e.Profiles.ApisV1alpha1().ClusterProfiles(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
		switch {
		case isUnknownObject(err):
			found.missing = append(found.missing, name)
		case err != nil:
			return profiles{}, err // one is as good as all: they are about the same rights, or the same server
		default:
			found.items = append(found.items, profile)
		}
	}
	return found, nil
}

// inNamespaces calls read for all namespaces, or, where the caller may not read them, for that of
// the options, which it returns then.
func (e *examination) inNamespaces(read func(namespace string) error) (only string, err error) {
	err = read(metav1.NamespaceAll)
	if apierrors.IsForbidden(err) && e.Namespace != "" && read(e.Namespace) == nil {
		return e.Namespace, nil
	}
	return "", err
}

// each calls visit with each object that list returns, which is asked for in pages.
func each[T any, L runtime.Object](
	ctx context.Context, list func(context.Context, metav1.ListOptions) (L, error), visit func(T),
) error {
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return list(ctx, options)
	})
	return pages.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		item, ok := object.(T)
		if !ok {
			return fmt.Errorf("not a %T: %T", item, object)
		}
		visit(item)
		return nil
	})
}

// isUnknownObject says that the hub knows the resource, and not the object. Where it does not even
// know the resource, its 404 names no object.
func isUnknownObject(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && apierrors.IsNotFound(err) && status.ErrStatus.Details != nil && status.ErrStatus.Details.Name != ""
}

// mode returns who serves the ClusterProfiles, as far as the caller may see: Served if in doubt.
func (e *examination) mode() string {
	if e.Inventory != "" {
		return e.Inventory
	}
	service, ok := e.hub.apiServices.value[multiclusterService]
	if !ok { // a CustomResourceDefinition may serve the later version alone
		service, ok = e.hub.apiServices.value[laterService]
	}
	switch {
	case e.hub.apiServices.err != nil:
		return hub.InventoryServed
	case ok && service.Spec.Service == nil:
		// kube-apiserver makes such an object for the groups of CustomResourceDefinitions.
		return hub.InventoryExternal
	case !ok && (e.hub.crds.value.unread || slices.Contains(e.hub.crds.value.names, profilesCRD)):
		return hub.InventoryExternal
	}
	return hub.InventoryServed
}

// looksInto returns whether namespace has ClusterProfiles that are looked at. Where not all of them
// are known, any namespace may.
func (e *examination) looksInto(namespace string) bool {
	known := e.hub.profiles
	return known.err != nil || known.value.partial != "" ||
		slices.ContainsFunc(known.value.items, func(p *inventoryv1alpha1.ClusterProfile) bool { return p.Namespace == namespace })
}

const (
	// leaseGrace is how much later than its Lease says the controller manager may be. A successor may
	// be waiting for as long as that to take over.
	leaseGrace = 10 * time.Second
	// defaultLease is for how many seconds a Lease that names no duration is taken to last.
	defaultLease = 15

	mendManager = "Start it, or see why it stopped: kubectl -n " + SystemNamespace + " logs deployment/" + managerName
)

// checkManager looks at the Lease of the controller manager that is at work.
func checkManager(ctx context.Context, e *examination, f *findings) {
	lease, err := e.Kubernetes.CoordinationV1().Leases(SystemNamespace).Get(ctx, managerName, metav1.GetOptions{})
	about := "Lease " + SystemNamespace + "/" + managerName
	if f.found(about, err, Fail, mendManager,
		"there is none: no controller manager has run here (or with --leader-elect=false), and nothing is revoked") {
		f.lease(about, lease, e.now())
	}
}

func (f *findings) lease(about string, lease *coordinationv1.Lease, now time.Time) {
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	if holder == "" || lease.Spec.RenewTime == nil {
		f.fail(about, mendManager, "it has no holder: the controller manager was stopped, and nothing is revoked")
		return
	}
	renewed := lease.Spec.RenewTime.Time
	age := now.Sub(renewed)
	lasts := time.Duration(ptr.Deref(lease.Spec.LeaseDurationSeconds, defaultLease)) * time.Second
	if age > lasts+leaseGrace {
		f.fail(about, mendManager, "%s has not renewed it since %s: the controller manager does not run, and nothing is revoked",
			holder, renewed.UTC().Format(time.RFC3339))
		return
	}
	f.ok(about, "held by %s, renewed %s ago", holder, max(age, 0).Round(time.Second))
}
