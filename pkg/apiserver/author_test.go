// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/mint"
	"clusterpass.dev/pkg/registry/clustercredentialset"
)

// TestAuthor_CancelledRequest has a user become the author of a set by requests that end before
// they are answered.
func TestAuthor_CancelledRequest(t *testing.T) {
	stored := onEtcd(t, clusterpassv1alpha1.Resource("clustercredentialsets"), genericregistry.StorageWithCacher())
	storage, err := clustercredentialset.NewStorage(
		Scheme, stored, mint.New(mint.Config{}), authorizerfactory.NewAlwaysAllowAuthorizer(), clustercredentialset.Options{})
	require.NoError(t, err)
	t.Cleanup(storage.Sets.Destroy)
	eventually(t, "the storage is ready", func() bool { return storage.Sets.ReadinessCheck() == nil })
	as := func(ctx context.Context, name string) context.Context {
		return genericapirequest.WithUser(genericapirequest.WithNamespace(ctx, "default"), &user.DefaultInfo{Name: name})
	}
	set := newStoredSet()
	set.UID, set.ResourceVersion = "", ""
	obj, err := storage.Sets.Create(as(t.Context(), "alice"), set, rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
	require.NoError(t, err)
	created := obj.(*clusterpassv1alpha1.ClusterCredentialSet)
	require.Equal(t, "alice", created.Spec.Author.Username)
	body := &clusterpassv1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{Generation: created.Generation, UID: created.UID}}
	become := func(ctx context.Context, validate rest.ValidateObjectFunc, dryRun ...string) (apiruntime.Object, error) {
		return storage.Author.Create(as(ctx, "bob"), created.Name, body.DeepCopy(), validate, &metav1.CreateOptions{DryRun: dryRun})
	}
	read := func() *clusterpassv1alpha1.ClusterCredentialSet {
		obj, err := storage.Sets.Get(as(t.Context(), "alice"), created.Name, &metav1.GetOptions{})
		require.NoError(t, err)
		return obj.(*clusterpassv1alpha1.ClusterCredentialSet)
	}

	goroutines := runtime.NumGoroutine()
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = become(ctx, rest.ValidateAllObjectFunc)
		require.Error(t, err, "cancelled before it came to the storage")

		ctx, cancel = context.WithCancel(t.Context())
		_, err = become(ctx, func(context.Context, apiruntime.Object) error {
			cancel()
			return nil
		})
		require.Error(t, err, "cancelled while it was being admitted")
	}
	assert.Equal(t, created, read(), "the set is as it was")
	eventually(t, "no request has left anything behind", func() bool { return runtime.NumGoroutine() <= goroutines+5 })

	answered, err := become(t.Context(), rest.ValidateAllObjectFunc, metav1.DryRunAll)
	require.NoError(t, err)
	assert.Equal(t, "bob", answered.(*clusterpassv1alpha1.ClusterCredentialSet).Spec.Author.Username)
	assert.Equal(t, created, read(), "nor does a dry run change it")

	_, err = become(t.Context(), rest.ValidateAllObjectFunc)
	require.NoError(t, err)
	assert.Equal(t, "bob", read().Spec.Author.Username)
	_, err = become(t.Context(), rest.ValidateAllObjectFunc)
	assert.True(t, apierrors.IsConflict(err), "of a generation that is over: %v", err)
}
