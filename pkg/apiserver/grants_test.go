// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/storagebackend"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/embeddedetcd"
	"clusterpass.dev/pkg/registry/authtokengrant"
)

const testTimeout = time.Minute

// onEtcd returns how a resource is stored on an etcd that runs until the test ends, with the watch
// cache or without.
func onEtcd(t *testing.T, resource schema.GroupResource, decorator generic.StorageDecorator) generic.RESTOptions {
	t.Helper()
	// t.TempDir holds the name of the test and leaves no room for the path of a socket.
	dir, err := os.MkdirTemp("", "stored-") //nolint:usetesting // See above.
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	etcd, err := embeddedetcd.Start(ctx, filepath.Join(dir, "e"))
	require.NoError(t, err)
	t.Cleanup(etcd.Close)
	config := storagebackend.NewDefaultConfig("/clusterpass", Codecs.LegacyCodec(storedVersions...))
	config.Transport.ServerList = []string{etcd.Endpoint()}
	return generic.RESTOptions{
		StorageConfig: config.ForResource(resource), Decorator: decorator, DeleteCollectionWorkers: 1, EnableGarbageCollection: true,
		ResourcePrefix: resource.String(),
	}
}

// grantStorage returns the storage of grants on an etcd of its own.
func grantStorage(t *testing.T, decorator generic.StorageDecorator) *authtokengrant.Storage {
	t.Helper()
	storage, err := authtokengrant.NewStorage(Scheme, onEtcd(t, clusterpassv1alpha1.Resource("authtokengrants"), decorator))
	require.NoError(t, err)
	t.Cleanup(storage.Grants.Destroy)
	eventually(t, "the storage is ready", func() bool { return storage.Grants.ReadinessCheck() == nil })
	return storage
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, testTimeout, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	require.NoError(t, err, what)
}

// fromRequest returns the context of a request for a token, as the pipeline has it.
func fromRequest(t *testing.T) context.Context {
	t.Helper()
	return genericapirequest.WithRequestInfo(genericapirequest.WithNamespace(t.Context(), "elsewhere"), &genericapirequest.RequestInfo{
		IsResourceRequest: true, APIGroup: multiclusterv1alpha1.GroupName, Namespace: "elsewhere", Resource: "clusterprofiles",
		Subresource: "token", Name: "bravelion",
	})
}

func newGrant(namespace, name string) *clusterpassv1alpha1.AuthTokenGrant {
	return &clusterpassv1alpha1.AuthTokenGrant{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: map[string]string{"team": "lions"},
			Annotations: map[string]string{"clusterpass.dev/hub-audit-id": "of the server"},
			Finalizers:  []string{clusterpassv1alpha1.GrantFinalizer},
		},
		Spec: clusterpassv1alpha1.AuthTokenGrantSpec{
			ClusterProfile: clusterpassv1alpha1.GrantedClusterProfile{Namespace: "fleet", Name: "bravelion", UID: "uid-of-bravelion"},
			ServiceAccount: clusterpassv1alpha1.GrantedServiceAccount{Namespace: "default", Name: "work"},
			ClusterRoles:   []multiclusterv1alpha1.ClusterRole{{Name: "view"}},
			Requester:      clusterpassv1alpha1.Requester{Username: "alice"},
		},
		Status: clusterpassv1alpha1.AuthTokenGrantStatus{
			MemberObjects: []clusterpassv1alpha1.MemberObject{{Kind: "ServiceAccount", Namespace: "default", Name: "work"}},
		},
	}
}

// A grant is kept as the pipeline gives it.
func TestGrants_Create(t *testing.T) {
	g, ctx := authtokengrant.NewGrants(grantStorage(t, genericregistry.StorageWithCacher()).Internal), fromRequest(t)
	given := newGrant("team", "bravelion-work")
	created, err := g.Create(ctx, given)
	require.NoError(t, err)
	assert.Empty(t, given.UID, "the object of the caller was changed")
	assert.NotEmpty(t, created.UID)
	assert.EqualValues(t, 1, created.Generation)
	assert.Equal(t, given.Spec, created.Spec)
	assert.Equal(t, given.Status, created.Status)
	assert.Equal(t, given.Finalizers, created.Finalizers)
	_, err = g.Create(ctx, given)
	assert.True(t, apierrors.IsAlreadyExists(err), "%v", err)

	changed := created.DeepCopy()
	changed.Spec.ClusterRoles[0].Name = "edit"
	changed.Status.MemberObjects = nil
	updated, err := g.Update(ctx, changed)
	require.NoError(t, err)
	assert.EqualValues(t, 2, updated.Generation)
	live, err := g.Live(ctx, "team", "bravelion-work")
	require.NoError(t, err)
	assert.Equal(t, updated, live)
	assert.Equal(t, "edit", live.Spec.ClusterRoles[0].Name)
	assert.Empty(t, live.Status.MemberObjects)
	eventually(t, "the cache has the update", func() bool {
		cached, err := g.Cached(ctx, "team", "bravelion-work")
		return err == nil && cached.ResourceVersion == live.ResourceVersion && assert.ObjectsAreEqual(live.Spec, cached.Spec)
	})

	_, err = g.Update(ctx, changed)
	assert.True(t, apierrors.IsConflict(err), "an old resourceVersion: %v", err)
	unversioned := live.DeepCopy()
	unversioned.ResourceVersion = ""
	_, err = g.Update(ctx, unversioned)
	assert.True(t, apierrors.IsInvalid(err), "no resourceVersion: %v", err)
	elsewhere := live.DeepCopy()
	elsewhere.Spec.ServiceAccount.Name = "other"
	_, err = g.Update(ctx, elsewhere)
	assert.True(t, apierrors.IsInvalid(err), "another ServiceAccount: %v", err)
}

func TestGrants_NotFound(t *testing.T) {
	g, ctx := authtokengrant.NewGrants(grantStorage(t, genericregistry.StorageWithCacher()).Internal), fromRequest(t)
	want := `authtokengrants.clusterpass.dev "none" not found`
	_, err := g.Cached(ctx, "team", "none")
	assert.EqualError(t, err, want)
	assert.True(t, apierrors.IsNotFound(err))
	_, err = g.Live(ctx, "team", "none")
	assert.EqualError(t, err, want)
	absent := newGrant("team", "none")
	absent.UID, absent.ResourceVersion = "gone", "1"
	_, err = g.Update(ctx, absent)
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	assert.NoError(t, g.Delete(ctx, absent))
}

// A grant is gone with its last finalizer.
func TestGrants_Delete(t *testing.T) {
	g, ctx := authtokengrant.NewGrants(grantStorage(t, genericregistry.StorageWithCacher()).Internal), fromRequest(t)
	created, err := g.Create(ctx, newGrant("team", "bravelion-work"))
	require.NoError(t, err)

	other := created.DeepCopy()
	other.UID = types.UID("another")
	err = g.Delete(ctx, other)
	assert.True(t, apierrors.IsConflict(err), "another UID: %v", err)
	read := created
	changed := created.DeepCopy()
	changed.Labels = map[string]string{"team": "tigers"}
	created, err = g.Update(ctx, changed)
	require.NoError(t, err)
	err = g.Delete(ctx, read)
	assert.True(t, apierrors.IsConflict(err), "changed since: %v", err)

	require.NoError(t, g.Delete(ctx, created))
	live, err := g.Live(ctx, "team", "bravelion-work")
	require.NoError(t, err)
	assert.NotNil(t, live.DeletionTimestamp)
	require.NoError(t, g.Delete(ctx, live), "once more")

	live.Finalizers = nil
	_, err = g.Update(ctx, live)
	require.NoError(t, err)
	_, err = g.Live(ctx, "team", "bravelion-work")
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	eventually(t, "the cache has forgotten it", func() bool {
		_, err := g.Cached(ctx, "team", "bravelion-work")
		return apierrors.IsNotFound(err)
	})
}

func TestGrants_Count(t *testing.T) {
	for name, decorator := range map[string]generic.StorageDecorator{
		"with the watch cache": genericregistry.StorageWithCacher(),
		"from etcd":            generic.UndecoratedStorage,
	} {
		t.Run(name, func(t *testing.T) {
			g, ctx := authtokengrant.NewGrants(grantStorage(t, decorator).Internal), fromRequest(t)
			counted := func(namespace string, want int64) {
				t.Helper()
				eventually(t, fmt.Sprintf("%d grants in %s", want, namespace), func() bool {
					got, err := g.Count(ctx, namespace)
					require.NoError(t, err)
					return got == want
				})
			}
			counted("team", 0)
			_, err := g.Create(ctx, newGrant("team-2", "another-namespace-of-the-same-prefix"))
			require.NoError(t, err)
			for i := range 5 {
				_, err := g.Create(ctx, newGrant("team", fmt.Sprintf("grant-%d", i)))
				require.NoError(t, err)
				counted("team", int64(i)+1)
			}
			counted("team-2", 1)
		})
	}
}

// Over REST nothing is created, and the spec stays.
func TestGrantStorage_Update(t *testing.T) {
	storage := grantStorage(t, genericregistry.StorageWithCacher())
	created, err := authtokengrant.NewGrants(storage.Internal).Create(t.Context(), newGrant("team", "bravelion-work"))
	require.NoError(t, err)
	ctx := genericapirequest.WithNamespace(t.Context(), "team")
	update := func(r rest.Updater, obj *clusterpassv1alpha1.AuthTokenGrant, create bool) (*clusterpassv1alpha1.AuthTokenGrant, error) {
		obj = obj.DeepCopy()
		updated, _, err := r.Update(ctx, obj.Name, rest.DefaultUpdatedObjectInfo(obj),
			rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, create, &metav1.UpdateOptions{})
		grant, _ := updated.(*clusterpassv1alpha1.AuthTokenGrant)
		return grant, err
	}

	_, creates := any(storage.Grants).(rest.Creater)
	assert.False(t, creates, "the resource has a verb create")
	_, err = update(storage.Grants, newGrant("team", "new"), true)
	assert.True(t, apierrors.IsMethodNotSupported(err), "server-side apply: %v", err)
	assert.ErrorContains(t, err, "created by answering AuthTokenRequests")
	_, err = update(storage.Grants, newGrant("team", "new"), false)
	assert.True(t, apierrors.IsNotFound(err), "update: %v", err)
	_, err = update(storage.Status, newGrant("team", "new"), true)
	assert.True(t, apierrors.IsNotFound(err), "server-side apply of a status: %v", err)

	other := created.DeepCopy()
	other.Spec.ClusterRoles[0].Name = "cluster-admin"
	_, err = update(storage.Grants, other, false)
	assert.True(t, apierrors.IsInvalid(err), "%v", err)
	assert.ErrorContains(t, err, "spec: Forbidden: is immutable: only an AuthTokenRequest changes it")

	other = created.DeepCopy()
	other.Labels["team"], other.Status.MemberObjects = "tigers", nil
	labelled, err := update(storage.Grants, other, false)
	require.NoError(t, err)
	assert.Equal(t, "tigers", labelled.Labels["team"])
	assert.Equal(t, created.Status, labelled.Status)
	assert.EqualValues(t, 1, labelled.Generation)

	labelled.Labels["team"], labelled.Status.ObservedGeneration = "bears", 1
	observed, err := update(storage.Status, labelled, false)
	require.NoError(t, err)
	assert.Equal(t, "tigers", observed.Labels["team"])
	assert.EqualValues(t, 1, observed.Status.ObservedGeneration)

	deleted, err := storage.Grants.DeleteCollection(ctx, rest.ValidateAllObjectFunc, &metav1.DeleteOptions{}, nil)
	require.NoError(t, err)
	assert.Len(t, deleted.(*clusterpassv1alpha1.AuthTokenGrantList).Items, 1)
}
