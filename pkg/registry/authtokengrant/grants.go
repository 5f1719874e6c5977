// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokengrant

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/mint"
	"clusterpass.dev/pkg/sharedread"
)

// Grants reads and writes AuthTokenGrants in the store of this process, for the minting pipeline.
// Its errors are those of an API server. Use NewGrants.
type Grants struct {
	store *Internal
	// counted counts the grants of a namespace in etcd.
	counted *sharedread.Reader[string, int64]
}

var _ mint.Grants = Grants{}

// NewGrants returns the Grants of a store.
func NewGrants(store *Internal) Grants {
	g := Grants{store: store}
	g.counted = sharedread.NewReader(clock.RealClock{}, func(ctx context.Context, namespace string) (int64, error) {
		return g.count(ctx, namespace, "")
	})
	return g
}

// Cached returns a grant from the watch cache, which may be some milliseconds behind. The caller
// must not change it: it shares memory with the cache.
func (g Grants) Cached(ctx context.Context, namespace, name string) (*v1alpha1.AuthTokenGrant, error) {
	return grantOrError(g.store.Get(inNamespace(ctx, namespace), name, &metav1.GetOptions{ResourceVersion: "0"}))
}

// Live returns a grant from etcd.
func (g Grants) Live(ctx context.Context, namespace, name string) (*v1alpha1.AuthTokenGrant, error) {
	return grantOrError(g.store.Get(inNamespace(ctx, namespace), name, &metav1.GetOptions{}))
}

// Create creates a grant with its finalizers and status, and returns it with its UID.
func (g Grants) Create(ctx context.Context, grant *v1alpha1.AuthTokenGrant) (*v1alpha1.AuthTokenGrant, error) {
	return grantOrError(g.store.Create(inNamespace(ctx, grant.Namespace), grant.DeepCopy(), rest.ValidateAllObjectFunc,
		&metav1.CreateOptions{}))
}

// Update stores metadata, spec and status of grant. It returns a Conflict if the stored grant has
// changed since grant's resourceVersion. If the update removes the last finalizer of a grant that
// is being deleted, the grant is gone, and Update returns its last state.
func (g Grants) Update(ctx context.Context, grant *v1alpha1.AuthTokenGrant) (*v1alpha1.AuthTokenGrant, error) {
	obj, _, err := g.store.Update(inNamespace(ctx, grant.Namespace), grant.Name, rest.DefaultUpdatedObjectInfo(grant),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	return grantOrError(obj, err)
}

// Delete deletes grant. It returns a Conflict if the stored grant has changed since it was read, or
// if another grant has its name. A missing grant is no error.
func (g Grants) Delete(ctx context.Context, grant *v1alpha1.AuthTokenGrant) error {
	options := &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &grant.UID, ResourceVersion: &grant.ResourceVersion}}
	_, _, err := g.store.Delete(inNamespace(ctx, grant.Namespace), grant.Name, rest.ValidateAllObjectFunc, options)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Count returns the number of grants in a namespace, from the watch cache. A consistent read would
// wait up to 100 ms for the cache. Two replicas could still count the same and both create a grant.
func (g Grants) Count(ctx context.Context, namespace string) (int64, error) {
	return g.count(ctx, namespace, "0")
}

// CountStored returns the number of grants in a namespace, from etcd.
func (g Grants) CountStored(ctx context.Context, namespace string) (int64, error) {
	return g.counted.Get(ctx, namespace)
}

func (g Grants) count(ctx context.Context, namespace, resourceVersion string) (int64, error) {
	// The cache ignores the limit and has the whole list in memory. While the cache is not ready,
	// etcd answers, and counts the rest.
	obj, err := g.store.List(inNamespace(ctx, namespace), &internalversion.ListOptions{ResourceVersion: resourceVersion, Limit: 1})
	if err != nil {
		return 0, err
	}
	list, ok := obj.(*v1alpha1.AuthTokenGrantList)
	if !ok {
		return 0, fmt.Errorf("the store of authtokengrants lists a %T", obj)
	}
	return int64(len(list.Items)) + ptr.Deref(list.RemainingItemCount, 0), nil
}

// inNamespace returns a context for requests to the store of grants. Without it, errors of the
// store would name the resource of the request that ctx comes from.
func inNamespace(ctx context.Context, namespace string) context.Context {
	gv := v1alpha1.SchemeGroupVersion
	return genericapirequest.WithRequestInfo(genericapirequest.WithNamespace(ctx, namespace), &genericapirequest.RequestInfo{
		IsResourceRequest: true,
		APIPrefix:         "apis",
		APIGroup:          gv.Group,
		APIVersion:        gv.Version,
		Namespace:         namespace,
		Resource:          "authtokengrants",
	})
}

func grantOrError(obj runtime.Object, err error) (*v1alpha1.AuthTokenGrant, error) {
	if err != nil {
		return nil, err
	}
	grant, ok := obj.(*v1alpha1.AuthTokenGrant)
	if !ok {
		return nil, fmt.Errorf("the store of authtokengrants holds a %T", obj)
	}
	return grant, nil
}
