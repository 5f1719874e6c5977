// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"

	"clusterpass.dev/pkg/generated/clientset/versioned"
)

// Must returns a function that returns the value of a call that went well, and ends the test after
// one that did not.
func Must[T any](t testing.TB) func(value T, err error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		require.NoError(t, err)
		return value
	}
}

// Kube returns a client for what config reaches.
func Kube(t testing.TB, config *rest.Config) kubernetes.Interface {
	t.Helper()
	return Must[kubernetes.Interface](t)(kubernetes.NewForConfig(config))
}

// Clusterpass is Kube for our own APIs.
func Clusterpass(t testing.TB, config *rest.Config) versioned.Interface {
	t.Helper()
	return Must[versioned.Interface](t)(versioned.NewForConfig(config))
}

// Inventory is Kube for ClusterProfiles and PlacementDecisions.
func Inventory(t testing.TB, config *rest.Config) inventory.Interface {
	t.Helper()
	return Must[inventory.Interface](t)(inventory.NewForConfig(config))
}

// Kube returns a client for the cluster's admin, as do Clusterpass and Inventory.
func (c *Cluster) Kube(t testing.TB) kubernetes.Interface {
	t.Helper()
	return Kube(t, c.RESTConfig())
}

// Clusterpass is Kube for our own APIs.
func (c *Cluster) Clusterpass(t testing.TB) versioned.Interface {
	t.Helper()
	return Clusterpass(t, c.RESTConfig())
}

// Inventory is Kube for ClusterProfiles and PlacementDecisions.
func (c *Cluster) Inventory(t testing.TB) inventory.Interface {
	t.Helper()
	return Inventory(t, c.RESTConfig())
}

// User is UserConfig for a test, which ends if that fails.
func (c *Cluster) User(t testing.TB, user string, groups ...string) *rest.Config {
	t.Helper()
	return Must[*rest.Config](t)(c.UserConfig(user, groups...))
}

// Root is ModuleRoot for a test, which ends if that fails.
func Root(t testing.TB) string {
	t.Helper()
	return Must[string](t)(ModuleRoot())
}

// NewProfile returns a ClusterProfile with that name, of a cluster manager.
func NewProfile(name, manager string) *inventoryv1alpha1.ClusterProfile {
	return &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       inventoryv1alpha1.ClusterProfileSpec{ClusterManager: inventoryv1alpha1.ClusterManager{Name: manager}},
	}
}

// What the functions below use of a typed client.
type (
	getter[T any] interface {
		Get(ctx context.Context, name string, opts metav1.GetOptions) (T, error)
	}
	creator[T any] interface {
		Create(ctx context.Context, object T, opts metav1.CreateOptions) (T, error)
	}
	updater[T any] interface {
		Update(ctx context.Context, object T, opts metav1.UpdateOptions) (T, error)
	}
	statusUpdater[T any] interface {
		UpdateStatus(ctx context.Context, object T, opts metav1.UpdateOptions) (T, error)
	}
	patcher[T any] interface {
		Patch(ctx context.Context, name string, kind types.PatchType, patch []byte, opts metav1.PatchOptions, subresources ...string) (T, error)
	}
	lister[T any] interface {
		List(ctx context.Context, opts metav1.ListOptions) (T, error)
	}
)

// Get returns the object with that name. The test ends if there is none.
func Get[T any](t testing.TB, client getter[T], name string) T {
	t.Helper()
	return Must[T](t)(client.Get(t.Context(), name, metav1.GetOptions{}))
}

// Await waits until there is an object with that name for which check returns nil, and returns it.
// If check is nil, any object will do.
func Await[T any](t testing.TB, client getter[T], name string, check func(object T) error) (object T) {
	t.Helper()
	Eventually(t, func(ctx context.Context) (err error) {
		object, err = client.Get(ctx, name, metav1.GetOptions{})
		if err == nil && check != nil {
			err = check(object)
		}
		return err
	})
	return object
}

// AwaitGone waits until there is no object with that name.
func AwaitGone[T any](t testing.TB, client getter[T], name string) {
	t.Helper()
	Eventually(t, func(ctx context.Context) error {
		_, err := client.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(fmt.Errorf("%s is still there", name), err)
	})
}

// Create creates an object and returns it as stored. The test ends if that fails.
func Create[T any](t testing.TB, client creator[T], object T) T {
	t.Helper()
	return Must[T](t)(client.Create(t.Context(), object, metav1.CreateOptions{}))
}

// Update updates an object and returns it as stored. The test ends if that fails.
func Update[T any](t testing.TB, client updater[T], object T) T {
	t.Helper()
	return Must[T](t)(client.Update(t.Context(), object, metav1.UpdateOptions{}))
}

// UpdateStatus is Update for the status.
func UpdateStatus[T any](t testing.TB, client statusUpdater[T], object T) T {
	t.Helper()
	return Must[T](t)(client.UpdateStatus(t.Context(), object, metav1.UpdateOptions{}))
}

// Patch changes an object by a merge patch and returns it as stored. The test ends if that fails.
func Patch[T any](t testing.TB, client patcher[T], name, patch string, subresources ...string) T {
	t.Helper()
	return Must[T](t)(client.Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...))
}

// List returns the objects that options select. The test ends if that fails.
func List[T any](t testing.TB, client lister[T], options metav1.ListOptions) T {
	t.Helper()
	return Must[T](t)(client.List(t.Context(), options))
}
