// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package profiles

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/clock"

	"clusterpass.dev/pkg/hub"
)

// The resources of the inventory.
const (
	ClusterProfiles    = "clusterprofiles"
	PlacementDecisions = "placementdecisions"
)

// Versions knows in which version a hub serves each resource of the inventory: the version that is
// stored in our own mode where the hub serves it, because it has all fields, else the other one.
//
// It asks the hub's discovery when that is first needed, and remembers the answer. Requests that
// pass Wrap have it ask again after an answer that the version is not served any more. While it is
// the version without all fields, it asks again from time to time: what is written in it loses the
// others. Versions is safe for concurrent use. Use NewVersions.
type Versions struct {
	discovery discovery.ServerResourcesInterfaceWithContext
	clock     clock.PassiveClock

	mu    sync.Mutex
	found map[string]answer
}

// lesserFor is how long the version without all fields is remembered.
const lesserFor = time.Minute

// answer is a resource in the version to use, and until when, if that is not for good.
type answer struct {
	schema.GroupVersionResource
	until time.Time
}

// NewVersions returns Versions of the hub at client, which must not use the Wrap of these Versions.
func NewVersions(client discovery.ServerResourcesInterface) *Versions {
	return &Versions{
		discovery: discovery.ToServerResourcesInterfaceWithContext(client),
		clock:     clock.RealClock{},
		found:     map[string]answer{},
	}
}

// Resource returns a resource of the inventory, such as ClusterProfiles, in the version to use. The
// error is a NoResourceMatchError if the hub serves the resource in no version that is known here.
func (v *Versions) Resource(ctx context.Context, resource string) (schema.GroupVersionResource, error) {
	v.mu.Lock()
	known, ok := v.found[resource]
	v.mu.Unlock()
	if ok && (known.until.IsZero() || v.clock.Now().Before(known.until)) {
		return known.GroupVersionResource, nil
	}
	// Without the lock: a hub that answers slowly delays only those who need to ask.
	for i, gv := range slices.Backward(hub.InventoryVersions) {
		list, err := v.discovery.ServerResourcesForGroupVersionWithContext(ctx, gv.String())
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil && ok {
			return known.GroupVersionResource, nil
		}
		if err != nil {
			return schema.GroupVersionResource{}, fmt.Errorf("asking the hub which version of %s it serves: %w", resource, err)
		}
		if slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == resource }) {
			found := answer{GroupVersionResource: gv.WithResource(resource)}
			if i < len(hub.InventoryVersions)-1 {
				found.until = v.clock.Now().Add(lesserFor)
			}
			v.remember(found)
			return found.GroupVersionResource, nil
		}
	}
	return schema.GroupVersionResource{}, &apimeta.NoResourceMatchError{
		PartialResource: schema.GroupVersionResource{Group: hub.InventoryVersions[0].Group, Resource: resource},
	}
}

func (v *Versions) remember(found answer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.found[found.Resource] = found
}

// Wrap returns rt for a client of the hub. It is for rest.Config.Wrap.
func (v *Versions) Wrap(rt http.RoundTripper) http.RoundTripper { return &watchedTransport{rt, v} }

// watchedTransport has versions ask again after an answer that their group-version is not served.
type watchedTransport struct {
	http.RoundTripper
	versions *Versions
}

// WrappedRoundTripper implements net.RoundTripperWrapper.
func (w *watchedTransport) WrappedRoundTripper() http.RoundTripper { return w.RoundTripper }

func (w *watchedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := w.RoundTripper.RoundTrip(request)
	if err == nil && response.StatusCode == http.StatusNotFound && isMissingAPI(request, response) {
		w.versions.forget()
	}
	return response, err
}

// isMissingAPI returns whether response, which is 404, is about a group-version of the inventory. A
// kube-apiserver answers with a Status if an object or a resource is missing, and with plain text
// if it serves no such group-version.
func isMissingAPI(request *http.Request, response *http.Response) bool {
	return strings.Contains(request.URL.Path, "/apis/"+hub.InventoryVersions[0].Group+"/") &&
		strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain")
}

func (v *Versions) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.found)
}
