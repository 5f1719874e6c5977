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
	"k8s.io/apimachinery/pkg/types"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/hub"
)

// The APIServices of the two groups.
var (
	multiclusterService = hub.APIServiceName(multiclusterv1alpha1.SchemeGroupVersion)
	clusterpassService  = hub.APIServiceName(clusterpassv1alpha1.SchemeGroupVersion)
)

// profilesCRD is the CustomResourceDefinition of ClusterProfile.
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
	// unread is whether ClusterProfile's is among them and does not serve the version that clusterpass
	// reads.
	unread bool
}

// profiles are ClusterProfiles that were found, and those that were asked for and do not exist.
type profiles struct {
	items   []inventoryv1alpha1.ClusterProfile
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
func (e *examination) observe(ctx context.Context) answers {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var h answers
	var asking sync.WaitGroup
	asking.Go(func() { h.skew.value, h.skew.err = e.measureSkew(ctx) })
	asking.Go(func() { h.apiServices.value, h.apiServices.err = e.getAPIServices(ctx) })
	asking.Go(func() { h.crds.value, h.crds.err = e.listCRDs(ctx) })
	asking.Go(func() { h.profiles.value, h.profiles.err = e.getProfiles(ctx) })
	asking.Wait()
	return h
}

func (e *examination) getAPIServices(ctx context.Context) (map[string]*apiregistrationv1.APIService, error) {
	found := map[string]*apiregistrationv1.APIService{}
	for _, name := range []string{multiclusterService, clusterpassService} {
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
		if err != nil && !apierrors.IsNotFound(err) {
			return clashes{}, err
		}
		if err == nil && hub.Clashes(crd) {
			found.names = append(found.names, name)
			found.unread = found.unread || name == profilesCRD && !apihelpers.HasServedCRDVersion(crd, inventoryv1alpha1.Version)
		}
	}
	slices.Sort(found.names)
	return found, nil
}

func (e *examination) getProfiles(ctx context.Context) (profiles, error) {
	if len(e.Clusters) > 0 {
		return e.getNamedProfiles(ctx)
	}
	list, err := e.Profiles.ApisV1alpha1().ClusterProfiles(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		if err != nil {
			return profiles{}, err
		}
		return profiles{items: list.Items}, nil
	}
	list, inOne := e.Profiles.ApisV1alpha1().ClusterProfiles(e.Namespace).List(ctx, metav1.ListOptions{})
	if inOne != nil {
		return profiles{}, err
	}
	return profiles{items: list.Items, partial: e.Namespace}, nil
}

func (e *examination) getNamedProfiles(ctx context.Context) (profiles, error) {
	var found profiles
	var errs []error
	for _, name := range e.Clusters {
		profile, err := e.Profiles.ApisV1alpha1().ClusterProfiles(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
		switch {
		case isUnknownObject(err):
			found.missing = append(found.missing, name)
		case err != nil:
			errs = append(errs, err)
		default:
			found.items = append(found.items, *profile)
		}
	}
	if len(errs) > 0 {
		// One is as good as all: they are about the same rights, or the same server.
		return profiles{}, errs[0]
	}
	return found, nil
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
	switch {
	case e.hub.apiServices.err != nil:
		return hub.InventoryServed
	case ok && service.Spec.Service == nil:
		// kube-apiserver makes such an object for the groups of CustomResourceDefinitions.
		return hub.InventoryExternal
	case !ok && slices.Contains(e.hub.crds.value.names, profilesCRD):
		return hub.InventoryExternal
	}
	return hub.InventoryServed
}

// looksInto returns whether namespace has ClusterProfiles that are looked at. Where not all of them
// are known, any namespace may.
func (e *examination) looksInto(namespace string) bool {
	known := e.hub.profiles
	if known.err != nil || known.value.partial != "" {
		return true
	}
	for i := range known.value.items {
		if known.value.items[i].Namespace == namespace {
			return true
		}
	}
	return false
}

const (
	// leaseGrace is how much later than its Lease says the controller manager may be. A successor may
	// be waiting for as long as that to take over.
	leaseGrace = 10 * time.Second
	// defaultLease is what a Lease that names no duration is taken to last.
	defaultLease = 15 * time.Second

	mendManager = "Start it, or see why it stopped: kubectl -n " + SystemNamespace + " logs deployment/" + managerName
)

// checkManager looks at the Lease of the controller manager that is at work.
func checkManager(ctx context.Context, e *examination) findings {
	var f findings
	lease, err := e.Kubernetes.CoordinationV1().Leases(SystemNamespace).Get(ctx, managerName, metav1.GetOptions{})
	about := "Lease " + SystemNamespace + "/" + managerName
	switch {
	case apierrors.IsNotFound(err):
		f.fail(about, mendManager, "there is none: no controller manager has run here (or with --leader-elect=false), and nothing is revoked")
	case err != nil:
		f.unknown(about, err)
	default:
		f.lease(about, lease, e.now())
	}
	return f
}

func (f *findings) lease(about string, lease *coordinationv1.Lease, now time.Time) {
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	if holder == "" || lease.Spec.RenewTime == nil {
		f.fail(about, mendManager, "it has no holder: the controller manager was stopped, and nothing is revoked")
		return
	}
	renewed := lease.Spec.RenewTime.Time
	age := now.Sub(renewed)
	lasts := defaultLease
	if seconds := lease.Spec.LeaseDurationSeconds; seconds != nil {
		lasts = time.Duration(*seconds) * time.Second
	}
	if age > lasts+leaseGrace {
		f.fail(about, mendManager, "%s has not renewed it since %s: the controller manager does not run, and nothing is revoked",
			holder, renewed.UTC().Format(time.RFC3339))
		return
	}
	f.ok(about, "held by %s, renewed %s ago", holder, max(age, 0).Round(time.Second))
}
