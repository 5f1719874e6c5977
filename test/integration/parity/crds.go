// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"clusterpass.dev/hack/openapi-inventory/crd"
)

// InstallCRDs creates upstream's CRDs, with v1alpha2, at a server that has none of their group, and
// waits until both versions are served.
func InstallCRDs(t testing.TB, config *rest.Config) {
	t.Helper()
	crds, err := crd.Load(t.Context())
	require.NoError(t, err)
	client, err := apiextensionsclient.NewForConfig(config)
	require.NoError(t, err)
	served, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	for _, c := range crds {
		ServeV1alpha2(c)
		_, err := client.ApiextensionsV1().CustomResourceDefinitions().Create(t.Context(), c, metav1.CreateOptions{})
		require.NoError(t, err)
		for _, version := range c.Spec.Versions {
			resource := schema.GroupVersionResource{Group: c.Spec.Group, Version: version.Name, Resource: c.Spec.Names.Plural}
			require.NoError(t, wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true,
				func(ctx context.Context) (bool, error) {
					_, err := served.Resource(resource).List(ctx, metav1.ListOptions{})
					return err == nil, nil
				}))
		}
	}
}
