// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventorymodes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/hack/openapi-inventory/crd"
	"clusterpass.dev/test/testenv"
)

// installProfileCRDs creates upstream's CRDs of ClusterProfile and PlacementDecision, after change.
func installProfileCRDs(t *testing.T, change ...func(*apiextensionsv1.CustomResourceDefinition)) {
	t.Helper()
	for _, c := range testenv.Must[[]*apiextensionsv1.CustomResourceDefinition](t)(crd.Load(t.Context())) {
		for _, change := range change {
			change(c)
		}
		createCRD(t, c)
	}
}

// serveLater has a CRD serve v1alpha2, with the schema of v1alpha1, and no longer v1alpha1, which
// stays the stored version.
func serveLater(c *apiextensionsv1.CustomResourceDefinition) {
	later := *c.Spec.Versions[0].DeepCopy()
	later.Name, later.Storage = "v1alpha2", false
	c.Spec.Versions[0].Served = false
	c.Spec.Versions = append(c.Spec.Versions, later)
}

// installServiceCRDs creates the CRDs of the Multi-Cluster Services API, with v1alpha1 served or
// not.
func installServiceCRDs(t *testing.T, alpha bool) {
	t.Helper()
	data := testenv.Must[[]byte](t)(os.ReadFile(filepath.Join("testdata", "mcs-api.yaml")))
	for document := range strings.SplitSeq(string(data), "\n---\n") {
		c := &apiextensionsv1.CustomResourceDefinition{}
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), c))
		require.Equal(t, multicluster.Version, c.Spec.Versions[0].Name)
		c.Spec.Versions[0].Served = alpha
		createCRD(t, c)
	}
}

// createCRD creates a CRD, waits until the hub has established it, and removes it after the test.
func createCRD(t *testing.T, c *apiextensionsv1.CustomResourceDefinition) {
	t.Helper()
	crds := crdClient(t)
	testenv.Create(t, crds, c)
	t.Cleanup(func() { removeCRD(context.WithoutCancel(t.Context()), t, c.Name) })
	testenv.Await(t, crds, c.Name, func(got *apiextensionsv1.CustomResourceDefinition) error {
		if !apihelpers.IsCRDConditionTrue(got, apiextensionsv1.Established) {
			return fmt.Errorf("CRD %s is not established", c.Name)
		}
		return nil
	})
}

// removalNudge is how often a CRD that is being deleted is changed.
const removalNudge = 5 * time.Second

// removeCRD deletes a CRD with all its objects and waits until it is gone.
func removeCRD(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	crds := crdClient(t)
	if err := crds.Delete(ctx, name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
		assert.NoError(t, err)
	}
	testenv.EventuallyIn(ctx, t, testenv.WaitTimeout, func(ctx context.Context) error {
		// The hub's finalizer may meet a storage that is just being set up. Then it tries again at the
		// next change of the CRD, or at a resync five minutes later.
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"example.com/removed-at":%q}}}`, time.Now().Truncate(removalNudge).Format(time.RFC3339))
		_, err := crds.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(fmt.Errorf("CRD %s is still there", name), err)
	})
}

// serveAlpha turns v1alpha1 of a CRD of testdata on or off.
func serveAlpha(t *testing.T, name string, served bool) {
	t.Helper()
	patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/versions/0/served","value":%t}]`, served)
	_, err := crdClient(t).Patch(t.Context(), name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(t, err)
}

func crdClient(t *testing.T) apiextensionsclient.CustomResourceDefinitionInterface {
	t.Helper()
	client := testenv.Must[apiextensions.Interface](t)(apiextensions.NewForConfig(hub.RESTConfig()))
	return client.ApiextensionsV1().CustomResourceDefinitions()
}

// crdNames returns the names of the CRDs of resources.
func crdNames(resources ...string) []string {
	var names []string
	for _, resource := range resources {
		names = append(names, resource+"."+multicluster.Group)
	}
	return names
}
