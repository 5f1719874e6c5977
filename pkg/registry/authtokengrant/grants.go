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
	"clusterpass.dev/pkg/live"
	"clusterpass.dev/pkg/mint"
)

// Grants reads and writes AuthTokenGrants in the store of this process, for the minting pipeline. Its errors are those of an API server. It is
// made by NewGrants.
type Grants struct {
	store *Internal
	// counted counts those of a namespace as etcd has them.
	counted *live.Reader[string, int64]
}

var _ mint.Grants = Grants{}

// NewGrants returns the Grants of a store.
func NewGrants(store *Internal) Grants {
	g := Grants{store: store}
	g.counted = live.NewReader(clock.RealClock{}, func(ctx context.Context, namespace string) (int64, error) {
		return g.count(ctx, namespace, "")
	})
	return g
}

// Cached returns a grant as the watch cache has it, which may be some milliseconds behind. The caller must not
// change it: it shares its parts with the cache.
func (g Grants) Cached(ctx context.Context, namespace, name string) (*v1alpha1.AuthTokenGrant, error) {
	return grantOrError(g.store.Get(inNamespace(ctx, namespace), name, &metav1.GetOptions{ResourceVersion: "0"}))
}

// Live returns a grant as etcd has it.
func (g Grants) Live(ctx context.Context, namespace, name string) (*v1alpha1.AuthTokenGrant, error) {
	return grantOrError(g.store.Get(inNamespace(ctx, namespace), name, &metav1.GetOptions{}))
}

// Create creates a grant with the finalizers and the status that it has, and returns it with its UID.
func (g Grants) Create(ctx context.Context, grant *v1alpha1.AuthTokenGrant) (*v1alpha1.AuthTokenGrant, error) {
	return grantOrError(g.store.Create(inNamespace(ctx, grant.Namespace), grant.DeepCopy(), rest.ValidateAllObjectFunc, &metav1.CreateOptions{}))
}

// Update stores metadata, spec and status of grant where it has not changed since its resourceVersion; that is a
// Conflict. A grant that is being deleted is gone once its last finalizer is; it is returned as it was at the end.
func (g Grants) Update(ctx context.Context, grant *v1alpha1.AuthTokenGrant) (*v1alpha1.AuthTokenGrant, error) {
	obj, _, err := g.store.Update(inNamespace(ctx, grant.Namespace), grant.Name, rest.DefaultUpdatedObjectInfo(grant),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	return grantOrError(obj, err)
}

// Delete deletes the grant as it was read. Where it has changed since, or another one has its name, that is a Conflict;
// that there is none is no error.
func (g Grants) Delete(ctx context.Context, grant *v1alpha1.AuthTokenGrant) error {
	options := &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &grant.UID, ResourceVersion: &grant.ResourceVersion}}
	_, _, err := g.store.Delete(inNamespace(ctx, grant.Namespace), grant.Name, rest.ValidateAllObjectFunc, options)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Count returns how many grants there are in a namespace, as far as the watch cache has them. A consistent read
// would wait up to 100 ms for the cache, and two replicas could still count the same and both create.
func (g Grants) Count(ctx context.Context, namespace string) (int64, error) {
	return g.count(ctx, namespace, "0")
}

// CountStored returns how many grants there are in a namespace.
func (g Grants) CountStored(ctx context.Context, namespace string) (int64, error) {
	return g.counted.Get(ctx, namespace)
}

func (g Grants) count(ctx context.Context, namespace, resourceVersion string) (int64, error) {
	// The cache ignores the limit and has the list at hand; while it is not ready etcd answers, and counts the rest.
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

// inNamespace returns a context for requests to the store of grants. The request that ctx comes from is one for
// another resource, which the store would name in its errors.
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
