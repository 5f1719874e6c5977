// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package doctor looks at an installation of clusterpass from the outside, with the rights that its
// caller has on the hub, and says what is wrong and how to mend it. It changes nothing, unless it
// is asked to try a token out.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	"k8s.io/utils/clock"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/pkg/hub"
	hubprofiles "clusterpass.dev/pkg/profiles"
)

const (
	// SystemNamespace is where clusterpass is deployed on the hub.
	SystemNamespace = hub.SystemNamespace
	serverName      = hub.ServerName
	managerName     = hub.ManagerName

	// DefaultServerUser is whom the hub sees in clusterpass-apiserver as it is deployed.
	DefaultServerUser = "system:serviceaccount:" + SystemNamespace + ":" + serverName
	// DefaultManagerUser is the like for clusterpass-controller-manager.
	DefaultManagerUser = v1alpha1.ControllerManagerUser
)

const (
	// checkTimeout bounds one check.
	checkTimeout = 30 * time.Second
	// parallelChecks and parallelCalls bound what is under way at once: of checks, and of calls in one
	// check.
	parallelChecks = 4
	parallelCalls  = 8
)

// Options say what to look at, and how.
type Options struct {
	// Clusters are the ClusterProfiles to look at; none: all.
	Clusters []types.NamespacedName
	// Namespace is where ClusterProfiles and grants are looked at if the caller may not list them in
	// all namespaces.
	Namespace string
	// ServerUser and ManagerUser are whom the hub sees in the two programs.
	ServerUser, ManagerUser string
	// Access is the configuration that the two programs have, from member.LoadFile or
	// member.DefaultConfig.
	Access *configv1alpha1.AccessConfiguration
	// Inventory is hub.InventoryServed or hub.InventoryExternal; empty: as the hub's APIServices say.
	Inventory string
	// Mint are the ClusterProfiles that a token is really asked for, and revoked again.
	Mint []types.NamespacedName
	// MintNamespace is the namespace of the members that the ServiceAccounts for that are made in.
	MintNamespace string
}

// Clients are how a cluster is asked, with the rights of the caller.
type Clients struct {
	Kubernetes kubernetes.Interface
	// Metadata reads no more of objects than their metadata, where that will do.
	Metadata    metadata.Interface
	Aggregator  aggregator.Interface
	Extensions  apiextensions.Interface
	Profiles    inventory.Interface
	Clusterpass versioned.Interface
	// Get asks for a path of the cluster and accepts any status; the caller closes the body.
	Get func(ctx context.Context, path, accept string) (*http.Response, error)
	// Clock is that of this machine.
	Clock clock.PassiveClock
}

// IsHub returns whether the cluster serves clusterpass's API. One that does not answer is taken for
// a hub.
func (c *Clients) IsHub() bool {
	_, err := c.Kubernetes.Discovery().ServerResourcesForGroupVersion(v1alpha1.SchemeGroupVersion.String())
	return !apierrors.IsNotFound(err)
}

// NewClients returns clients for the cluster of config.
func NewClients(config *rest.Config) (*Clients, error) {
	config = rest.CopyConfig(config)
	// What is under way at once is bounded; a queue in the client would only look like a slow cluster.
	config.QPS = -1
	// The cluster's warnings are about requests of ours.
	config.WarningHandler = rest.NoWarnings{}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	clients := &Clients{Clock: clock.RealClock{}}
	errs := make([]error, 6)
	clients.Kubernetes, errs[0] = kubernetes.NewForConfigAndClient(config, client)
	clients.Aggregator, errs[1] = aggregator.NewForConfigAndClient(config, client)
	clients.Extensions, errs[2] = apiextensions.NewForConfigAndClient(config, client)
	clients.Clusterpass, errs[4] = versioned.NewForConfigAndClient(config, client)
	clients.Metadata, errs[5] = metadata.NewForConfigAndClient(config, client)
	if errs[0] == nil {
		clients.Profiles, errs[3] = hubprofiles.NewClientset(config, hubprofiles.NewVersions(clients.Kubernetes.Discovery()))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("client for %s: %w", config.Host, err)
	}
	raw := clients.Kubernetes.Discovery().RESTClient()
	clients.Get = func(ctx context.Context, path, accept string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, raw.Get().AbsPath(path).URL().String(), nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Accept", accept)
		return client.Do(request)
	}
	return clients, nil
}

// check is one of the things that are looked at.
type check struct {
	name string
	// timeout is checkTimeout if it is 0.
	timeout time.Duration
	run     func(ctx context.Context, e *examination, f *findings)
}

// checks are all of them, in the order in which they are reported: what others rest on comes first.
var checks = []check{
	{name: "clock", run: checkClock},
	{name: "apiservices", run: checkAPIServices},
	{name: "certificates", run: checkCertificates},
	{name: "crds", run: checkCRDs},
	{name: "openapi", run: checkOpenAPI},
	{name: "names", run: checkNames},
	{name: "server-rbac", run: checkServerRBAC},
	{name: "controller-manager-rbac", run: checkManagerRBAC},
	{name: "controller-manager", run: checkManager},
	{name: "access", run: checkAccess},
	{name: "providers", run: checkProviders},
	{name: resourceSecrets, run: checkSecrets},
	{name: "health", run: checkHealth},
	{name: "member-ids", run: checkMemberIDs},
	{name: "grants", run: checkGrants},
	{name: "sets", run: checkSets},
	{name: "decisions", run: checkDecisions},
	{name: resourceNamespaces, run: checkNamespaces},
	{name: "powers", run: checkPowers},
	{name: "mint", timeout: mintTimeout, run: checkMint},
}

// examination is what the checks share: how to ask, and what all of them want to know of the hub.
type examination struct {
	Options
	*Clients
	hub answers
}

// Run runs all checks and returns what they have found, in the order of the checks; each has at
// least one finding.
func Run(ctx context.Context, clients *Clients, options Options) []Finding {
	e := &examination{Options: options, Clients: clients}
	e.observe(ctx)
	results := make([]findings, len(checks))
	var running errgroup.Group
	running.SetLimit(parallelChecks)
	for i, c := range checks {
		running.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.timeout, checkTimeout))
			defer cancel()
			c.run(ctx, e, &results[i])
			return nil
		})
	}
	_ = running.Wait() // no check returns an error: what went wrong is a finding
	var all []Finding
	for i, c := range checks {
		for _, finding := range results[i] {
			finding.Check = c.name
			all = append(all, finding)
		}
	}
	return all
}

// now is the time by the hub's clock, or by ours where the hub's is not known.
func (e *examination) now() time.Time { return e.Clock.Now().Add(e.hub.skew.value.value) }
