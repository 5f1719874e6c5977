// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/test/integration/parity"
	"clusterpass.dev/test/testenv"
)

// Objects move from definitions that have stored v1alpha1 and serve v1alpha2 alone.
func TestMigrate_V1alpha2(t *testing.T) {
	c, port := newHub(t)
	c.fill(t, few)
	before := c.list(t)
	for _, name := range []string{profilesCRD, decisionsCRD} {
		testenv.Eventually(t, func(ctx context.Context) error {
			definition, err := c.crds.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			parity.ServeV1alpha2(definition)
			definition.Spec.Versions[0].Served = false
			_, err = c.crds.ApiextensionsV1().CustomResourceDefinitions().Update(ctx, definition, metav1.UpdateOptions{})
			return err
		})
		resource := name[:len(name)-len(".multicluster.x-k8s.io")]
		testenv.Eventually(t, func(ctx context.Context) error {
			return c.kube.Discovery().RESTClient().Get().AbsPath("/apis/multicluster.x-k8s.io/v1alpha2", resource).Do(ctx).Error()
		})
	}

	a := newAttempt(t, port)
	a.mustRun(t)
	assert.Contains(t, a.errOut.String(), "what v1alpha2 lacks does not move")
	c.requireMoved(t, before)
}
