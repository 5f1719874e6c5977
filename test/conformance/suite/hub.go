// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// Options say what is checked.
type Options struct {
	// Config leads to the hub. The suite reads and watches there with its identity.
	Config *rest.Config
	// Namespace is the inventory: the namespace whose ClusterProfiles are checked.
	Namespace string
	// ClusterManager limits what is checked to the profiles of this manager. Empty: all.
	ClusterManager string
	// DecisionNamespace is where PlacementDecisions are checked. Empty: Namespace.
	DecisionNamespace string
	// Providers are the credential plugins that the suite may run. None: what needs one is skipped.
	Providers []Provider
	// OtherNamespaces has the suite reach profiles of other namespaces, too, that share an
	// inventory-member-id with one of Namespace. Their authors choose the servers that get
	// credentials.
	OtherNamespaces bool
	// WatchFor is how long the suite watches for what shows only while something changes, and waits
	// for credentials to expire.
	WatchFor time.Duration
	// ChangeInventory is a shell command that changes a profile of Namespace, and ChangeDecision one
	// that has a cluster move from one slice of a decision into another. Empty: the suite only
	// watches.
	ChangeInventory, ChangeDecision string
	// Log is where plugins and commands write to beside their output.
	Log io.Writer
	// Implementation is what the report says was checked.
	Implementation Implementation
}

const (
	// pageSize and maxObjects bound what is read of a list at once, and in all.
	pageSize, maxObjects = 500, 20_000
)

// What is at rest has not changed for quietTime, and what does not come to rest in settleTime is
// judged as it is. Tests shorten them.
var (
	quietTime  = 2 * time.Second
	settleTime = 10 * time.Second
)

// discoverer is what the suite needs of a discovery client.
type discoverer interface {
	ServerResourcesForGroupVersionWithContext(ctx context.Context, groupVersion string) (*metav1.APIResourceList, error)
}

// hub is the hub that is checked, and what was found there so far.
type hub struct {
	Options
	client    dynamic.Interface
	discovery discoverer
	deadline  time.Time

	profiles  profileLog
	decisions decisionLog
	// logins are the profiles whose members are reached, and without the names of those that have no
	// access provider for it.
	logins  []*login
	without []string
}

// Run checks all specs and returns the report. An error says why nothing could be checked.
func Run(ctx context.Context, options Options) (*Report, error) {
	client, err := dynamic.NewForConfig(options.Config)
	if err != nil {
		return nil, err
	}
	discoverer, err := discovery.NewDiscoveryClientForConfig(options.Config)
	if err != nil {
		return nil, err
	}
	return (&hub{Options: options, client: client, discovery: discoverer}).run(ctx), nil
}

// run watches the hub while it checks all specs.
func (h *hub) run(ctx context.Context) *Report {
	ctx, cancel := context.WithCancel(ctx)
	if h.DecisionNamespace == "" {
		h.DecisionNamespace = h.Namespace
	}
	h.deadline = time.Now().Add(h.WatchFor)
	h.profiles.namespace = h.Namespace
	h.profiles.recorder.start(ctx, h, clusterProfiles, h.Namespace, h.profiles.note)
	h.decisions.recorder.start(ctx, h, placementDecisions, h.DecisionNamespace, h.decisions.note)
	defer h.profiles.recorder.wait()
	defer h.decisions.recorder.wait()
	defer cancel()
	report := newReport(h.Implementation)
	for _, spec := range Specs() {
		report.add(spec.run(ctx, h))
	}
	return report
}

func (h *hub) resource(name, namespace string) dynamic.ResourceInterface {
	return h.client.Resource(groupVersion.WithResource(name)).Namespace(namespace)
}

// list returns the objects of a resource, of all namespaces if that is empty, and their version.
func (h *hub) list(ctx context.Context, resource, namespace string) ([]unstructured.Unstructured, string, error) {
	var items []unstructured.Unstructured
	options := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := h.resource(resource, namespace).List(ctx, options)
		if err != nil {
			return nil, "", fmt.Errorf("listing %s: %w", resource, err)
		}
		items = append(items, page.Items...)
		if len(items) > maxObjects {
			return nil, "", fmt.Errorf("there are more than %d %s", maxObjects, resource)
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return items, page.GetResourceVersion(), nil
		}
	}
}

// decode returns objects as T.
func decode[T any](items []unstructured.Unstructured) ([]T, error) {
	decoded := make([]T, len(items))
	for i := range items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(items[i].Object, &decoded[i]); err != nil {
			return nil, fmt.Errorf("reading %s %s: %w", items[i].GetKind(), quote(items[i].GetName()), err)
		}
	}
	return decoded, nil
}

// profilesIn returns the profiles of a namespace, whoever manages them.
func (h *hub) profilesIn(ctx context.Context, namespace string) ([]profile, error) {
	items, _, err := h.list(ctx, clusterProfiles, namespace)
	if err != nil {
		return nil, err
	}
	return decode[profile](items)
}

// underTest returns the profiles that are checked. It is an error if there are none: nothing can be
// told then.
func (h *hub) underTest(ctx context.Context) ([]profile, error) {
	all, err := h.profilesIn(ctx, h.Namespace)
	if err != nil {
		return nil, err
	}
	var chosen []profile
	for i := range all {
		if h.ClusterManager == "" || all[i].Spec.ClusterManager.Name == h.ClusterManager {
			chosen = append(chosen, all[i])
		}
	}
	if len(chosen) == 0 {
		return nil, errNoProfile
	}
	return chosen, nil
}

// settled calls check, and once more if that finds a violation: when what r follows is at rest, as
// what is being written is not to be judged.
func settled(ctx context.Context, r *recorder, check func() (string, error)) (string, error) {
	observed, err := check()
	if !isA[violationError](err) {
		return observed, err
	}
	if err := r.untilQuiet(ctx, time.Now().Add(settleTime)); err != nil {
		return "", err
	}
	return check()
}

// unreadable returns whether the suite's identity may not do what it tried.
func unreadable(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) }
