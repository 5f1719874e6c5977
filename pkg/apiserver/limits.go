// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/util/dryrun"
	"k8s.io/utils/clock"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
)

// namespaceLimit is the most that a namespace may have of a kind. A create that would pass it is
// refused, and so is an update that makes a large object larger; what is there may be updated
// otherwise, and deleted.
type namespaceLimit struct {
	// Objects is how many, and Bytes how many bytes all of them have together, as JSON.
	Objects, Bytes int64
}

// defaultLimits hold a fleet of 5,000 ClusterProfiles in one namespace, and programs that keep
// three scores of each.
var defaultLimits = map[string]namespaceLimit{
	"clusterprofiles":       {10_000, 256 << 20},
	"placementdecisions":    {5_000, 64 << 20},
	"clusterscores":         {20_000, 256 << 20},
	"clustercredentialsets": {1_000, 64 << 20},
	"placements":            {1_000, 64 << 20},
}

// limitsText lists the default limits.
func limitsText(of func(namespaceLimit) string) string {
	var all []string
	for _, resource := range slices.Sorted(maps.Keys(defaultLimits)) {
		all = append(all, resource+"="+of(defaultLimits[resource]))
	}
	return strings.Join(all, ", ")
}

// limits returns the limits that the flags say, by resource.
func (o *Options) limits() (map[string]namespaceLimit, error) {
	all := maps.Clone(defaultLimits)
	kinds := strings.Join(slices.Sorted(maps.Keys(defaultLimits)), ", ")
	var errs []error
	for name, count := range o.MaxObjectsPerNamespace {
		limit, ok := all[name]
		if !ok || count < 1 {
			errs = append(errs, fmt.Errorf("--max-objects-per-namespace %s=%d: want one of %s, and at least 1", name, count, kinds))
			continue
		}
		limit.Objects = count
		all[name] = limit
	}
	for name, text := range o.MaxBytesPerNamespace {
		limit, ok := all[name]
		bytes, err := resource.ParseQuantity(text)
		if !ok || err != nil || bytes.Value() < 1 {
			errs = append(errs, fmt.Errorf("--max-bytes-per-namespace %s=%s: want one of %s, and a quantity of at least 1", name, text, kinds))
			continue
		}
		limit.Bytes = bytes.Value()
		all[name] = limit
	}
	return all, errors.Join(errs...)
}

const (
	// recountPeriod is for how long the objects of a namespace are not counted again while there is
	// room: updates and other replicas are not noticed sooner.
	recountPeriod = 30 * time.Second
	// recountPause is the same where there seems to be none: deletions are not noticed sooner. To
	// count is to look at every object.
	recountPause = 250 * time.Millisecond
	// freeBytes is up to which size an object may always be updated: status and metadata of what there
	// is are kept when a namespace is full.
	freeBytes = 16 << 10
	// maxSizes and maxTallies bound what is remembered. At the bound all is forgotten, because objects
	// that are gone are among it.
	maxSizes   = 100_000
	maxTallies = 10_000
)

// namespaces keeps a store within its limit. It counts in the watch cache, so replicas, and
// requests at the same time, may exceed the limit by a few.
type namespaces struct {
	resource schema.GroupResource
	// list lists the objects of the namespace of ctx, as the watch cache has them.
	list  func(ctx context.Context) (runtime.Object, error)
	limit namespaceLimit
	// exempt is the user whose objects are neither counted nor refused.
	exempt string
	clock  clock.PassiveClock

	mu sync.Mutex
	// tallies are those of namespaces, and sizes those of their objects by UID.
	tallies map[string]*tally
	sizes   map[types.UID]size
}

// tally is what there is in a namespace: as it was counted last, and what has been created, or is
// being created, since.
type tally struct {
	mu             sync.Mutex
	objects, bytes int64
	counted        time.Time
	// counts is how often it was counted.
	counts int
}

// giveBack returns the room for so many objects and bytes that were not stored after all. It was
// taken after the count-th count. If t was counted again since, they are not in it.
func (t *tally) giveBack(objects, bytes int64, count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == count {
		t.objects -= objects
		t.bytes -= bytes
	}
}

// size is how many bytes an object has in a version.
type size struct {
	version string
	bytes   int64
}

// limit makes stores, which have been completed, refuse creates that would pass the limit in their
// namespace, but for those of the controller manager. What that one creates has its name in the
// annotation clusterpassv1alpha1.AnnotationCreator, which nobody else can set, and is not counted.
func (c completedConfig) limit(stores ...*genericregistry.Store) {
	for _, store := range stores {
		n := &namespaces{
			resource: store.DefaultQualifiedResource,
			limit:    c.extra.Limits[store.DefaultQualifiedResource.Resource],
			exempt:   c.extra.ControllerManagerUser,
			clock:    clock.RealClock{},
			list: func(ctx context.Context) (runtime.Object, error) {
				return store.List(ctx, &internalversion.ListOptions{ResourceVersion: "0"})
			},
			tallies: map[string]*tally{}, sizes: map[types.UID]size{},
		}
		store.BeginCreate = n.beginCreate
		store.BeginUpdate = n.beginUpdate
	}
}

func finish(context.Context, bool) {}

// beginCreate implements genericregistry.BeginCreateFunc.
func (n *namespaces) beginCreate(
	ctx context.Context, obj runtime.Object, options *metav1.CreateOptions,
) (genericregistry.FinishFunc, error) {
	object, err := meta.Accessor(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	user, ok := genericapirequest.UserFrom(ctx)
	if ok && user.GetName() == n.exempt {
		setCreator(object, n.exempt)
		return finish, nil
	}
	setCreator(object, "")
	own, err := encodedSize(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return n.admit(ctx, object.GetName(), 1, own, options.DryRun)
}

// beginUpdate implements genericregistry.BeginUpdateFunc. It keeps the annotation as it is.
func (n *namespaces) beginUpdate(
	ctx context.Context, obj, old runtime.Object, options *metav1.UpdateOptions,
) (genericregistry.FinishFunc, error) {
	object, err := meta.Accessor(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	oldObject, err := meta.Accessor(old)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	creator := oldObject.GetAnnotations()[clusterpassv1alpha1.AnnotationCreator]
	setCreator(object, creator)
	if user, ok := genericapirequest.UserFrom(ctx); ok && user.GetName() == n.exempt {
		return finish, nil
	}
	size, err := encodedSize(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if size <= freeBytes {
		return finish, nil
	}
	was, err := encodedSize(old)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	switch {
	case size <= was:
		return finish, nil
	case creator == n.exempt:
		// It is not counted: what others add to it would never be.
		return nil, apierrors.NewForbidden(n.resource, object.GetName(),
			fmt.Errorf("%s created this object, and nobody else may make it larger than %s", creator, quantity(freeBytes)))
	}
	return n.admit(ctx, object.GetName(), 0, size-was, options.DryRun)
}

func setCreator(object metav1.Object, name string) {
	annotations := object.GetAnnotations()
	switch {
	case annotations[clusterpassv1alpha1.AnnotationCreator] == name:
		return
	case name == "":
		delete(annotations, clusterpassv1alpha1.AnnotationCreator)
	case annotations == nil:
		annotations = map[string]string{clusterpassv1alpha1.AnnotationCreator: name}
	default:
		annotations[clusterpassv1alpha1.AnnotationCreator] = name
	}
	object.SetAnnotations(annotations)
}

// admit takes room for so many objects, which may be none, and bytes in the namespace of ctx until
// the request has failed; where there is none, it returns 403. A dry run needs the room, and does
// not take it.
func (n *namespaces) admit(ctx context.Context, name string, objects, bytes int64, dryRun []string) (genericregistry.FinishFunc, error) {
	namespace := genericapirequest.NamespaceValue(ctx)
	t := n.tallyOf(namespace)
	t.mu.Lock()
	defer t.mu.Unlock()
	hasRoom := func() bool { return objects == 0 || t.objects < n.limit.Objects }
	fits := func() bool { return hasRoom() && t.bytes+bytes <= n.limit.Bytes }
	if age := n.clock.Since(t.counted); t.counted.IsZero() || age > recountPeriod || age > recountPause && !fits() {
		list, err := n.list(ctx)
		if err != nil {
			return nil, err
		}
		if t.objects, t.bytes, err = n.count(list); err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		t.counted = n.clock.Now()
		t.counts++
	}
	switch {
	case fits() && dryrun.IsDryRun(dryRun):
		return finish, nil
	case fits():
		t.objects += objects
		t.bytes += bytes
		count := t.counts
		return func(_ context.Context, succeeded bool) {
			if !succeeded {
				t.giveBack(objects, bytes, count)
			}
		}, nil
	case !hasRoom():
		return nil, apierrors.NewForbidden(n.resource, name, fmt.Errorf("namespace %q has %d %s, "+
			"of at most %d (--max-objects-per-namespace of clusterpass-apiserver)", namespace, t.objects, n.resource.Resource, n.limit.Objects))
	default:
		return nil, apierrors.NewForbidden(n.resource, name, fmt.Errorf(
			"the %s of namespace %q have %s, and with this one would have more than %s (--max-bytes-per-namespace of clusterpass-apiserver)",
			n.resource.Resource, namespace, quantity(t.bytes), quantity(n.limit.Bytes)))
	}
}

func quantity(bytes int64) string { return resource.NewQuantity(bytes, resource.BinarySI).String() }

func (n *namespaces) tallyOf(namespace string) *tally {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.tallies[namespace]
	if t == nil {
		if len(n.tallies) >= maxTallies {
			clear(n.tallies)
		}
		t = &tally{}
		n.tallies[namespace] = t
	}
	return t
}

// count returns how many objects of list count, and their bytes. It encodes an object only if it
// has not seen this version of it.
func (n *namespaces) count(list runtime.Object) (objects, bytes int64, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	err = meta.EachListItem(list, func(obj runtime.Object) error {
		object, err := meta.Accessor(obj)
		if err != nil {
			return err
		}
		if object.GetAnnotations()[clusterpassv1alpha1.AnnotationCreator] == n.exempt {
			return nil
		}
		known, ok := n.sizes[object.GetUID()]
		if !ok || known.version != object.GetResourceVersion() {
			if known.bytes, err = encodedSize(obj); err != nil {
				return err
			}
			known.version = object.GetResourceVersion()
			if len(n.sizes) >= maxSizes {
				clear(n.sizes)
			}
			n.sizes[object.GetUID()] = known
		}
		objects++
		bytes += known.bytes
		return nil
	})
	return objects, bytes, err
}

func encodedSize(obj runtime.Object) (int64, error) {
	encoded, err := json.Marshal(obj)
	return int64(len(encoded)), err
}
