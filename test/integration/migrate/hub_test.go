// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"

	"clusterpass.dev/hack/openapi-inventory/crd"
	"clusterpass.dev/test/testenv"
)

const (
	automanaged  = "kube-aggregator.kubernetes.io/automanaged"
	profilesCRD  = "clusterprofiles.multicluster.x-k8s.io"
	decisionsCRD = "placementdecisions.multicluster.x-k8s.io"
	inventoryAPI = "v1alpha1.multicluster.x-k8s.io"
	laterAPI     = "v1alpha2.multicluster.x-k8s.io"
	ourAPI       = "v1alpha1.clusterpass.dev"
)

// clients are the hub's admin's.
type clients struct {
	kube        kubernetes.Interface
	crds        apiextensions.Interface
	apiServices aggregator.Interface
	inventory   inventory.Interface
}

// newHub prepares the shared hub for a test: upstream's CustomResourceDefinitions, and a
// clusterpass-apiserver of its own that is to take their place. It returns the clients and the port
// of its Service.
func newHub(t *testing.T) (c clients, port int32) {
	t.Helper()
	c = clients{
		kube:        hub.Kube(t),
		crds:        testenv.Must[apiextensions.Interface](t)(apiextensions.NewForConfig(hub.RESTConfig())),
		apiServices: testenv.Must[aggregator.Interface](t)(aggregator.NewForConfig(hub.RESTConfig())),
		inventory:   hub.Inventory(t),
	}
	t.Cleanup(func() { c.clean(context.WithoutCancel(t.Context()), t) })
	c.createCRDs(t)
	return c, c.startServer(t)
}

// createCRDs creates upstream's CustomResourceDefinitions.
func (c clients) createCRDs(t *testing.T) {
	t.Helper()
	for _, definition := range testenv.Must[[]*apiextensionsv1.CustomResourceDefinition](t)(crd.Load(t.Context())) {
		c.createCRD(t, definition)
	}
}

// startServer runs the server as deployed on a hub with the definitions: only its own group is
// registered.
func (c clients) startServer(t *testing.T) (port int32) {
	t.Helper()
	free := testenv.Must[[]int](t)(testenv.FreePorts(1))[0]
	testenv.StartServer(t, hub, testenv.ServerConfig{
		Port: free, ReadyPath: "/livez", GroupVersions: []schema.GroupVersion{{Group: "clusterpass.dev", Version: "v1alpha1"}},
	})
	return int32(free)
}

// createCRD creates a CustomResourceDefinition and waits until its objects can be listed.
func (c clients) createCRD(t *testing.T, definition *apiextensionsv1.CustomResourceDefinition) {
	t.Helper()
	testenv.Create(t, c.crds.ApiextensionsV1().CustomResourceDefinitions(), definition)
	testenv.Eventually(t, func(ctx context.Context) error {
		return c.kube.Discovery().RESTClient().Get().
			AbsPath("/apis", definition.Spec.Group, definition.Spec.Versions[0].Name, definition.Spec.Names.Plural).Do(ctx).Error()
	})
}

// clean removes the APIServices and all CustomResourceDefinitions, and waits until the hub has
// forgotten the group.
func (c clients) clean(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, name := range []string{laterAPI, inventoryAPI, ourAPI} {
		if err := c.apiServices.ApiregistrationV1().APIServices().Delete(ctx, name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			assert.NoError(t, err)
		}
	}
	crds := c.crds.ApiextensionsV1().CustomResourceDefinitions()
	all, err := crds.List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	for _, definition := range all.Items { // not all at once: that leaves their objects in etcd
		require.NoError(t, crds.Delete(ctx, definition.Name, metav1.DeleteOptions{}))
	}
	testenv.EventuallyIn(ctx, t, testenv.WaitTimeout, func(ctx context.Context) error {
		left, err := crds.List(ctx, metav1.ListOptions{})
		if err == nil && len(left.Items) > 0 {
			err = fmt.Errorf("%s is still there", left.Items[0].Name)
		}
		if err != nil {
			return err
		}
		if err := c.kube.Discovery().RESTClient().Get().AbsPath("/apis/multicluster.x-k8s.io").Do(ctx).Error(); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the group is still there: %w", err)
		}
		return nil
	})
}

// hasCRDs returns which of the CustomResourceDefinitions that move are there.
func (c clients) hasCRDs(t *testing.T) (profiles, decisions bool) {
	t.Helper()
	has := func(name string) bool {
		_, err := c.crds.ApiextensionsV1().CustomResourceDefinitions().Get(t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false
		}
		require.NoError(t, err)
		return true
	}
	return has(profilesCRD), has(decisionsCRD)
}

// requireCRDs makes sure that nothing was removed.
func (c clients) requireCRDs(t *testing.T) {
	t.Helper()
	profiles, decisions := c.hasCRDs(t)
	require.True(t, profiles && decisions, "a CustomResourceDefinition was removed")
}

func (c clients) apiService(t *testing.T) *apiregistrationv1.APIService {
	t.Helper()
	return testenv.Get(t, c.apiServices.ApiregistrationV1().APIServices(), inventoryAPI)
}

// namespace creates one that no other test uses.
func (c clients) namespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "fleet-"}}
	return testenv.Create(t, c.kube.CoreV1().Namespaces(), namespace).Name
}
