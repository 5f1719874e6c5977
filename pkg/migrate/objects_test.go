// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

func TestMigration_ListCRD(t *testing.T) {
	for name, test := range map[string]struct {
		// forwarded is whether the hub forwards to clusterpass each time that it is asked; then it
		// goes on as the last time.
		forwarded []bool
		err       string
	}{
		"a hub that forwards nothing to clusterpass": {forwarded: []bool{false}},
		"one that does for a moment is waited for":   {forwarded: []bool{true, false}},
		"one that goes on forwarding has no answer":  {forwarded: []bool{true}, err: "not in 1s: the hub forwards requests"},
		"one that forwards meanwhile may have lied":  {forwarded: []bool{false, true}, err: "the hub forwards requests"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newFakeHub(t)
			ours := &metav1.APIResourceList{GroupVersion: inventory.String(), APIResources: []metav1.APIResource{{Name: ourResource}}}
			asked := 0
			hub.kube.PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) {
				hub.kube.Resources = nil
				if test.forwarded[min(asked, len(test.forwarded)-1)] {
					hub.kube.Resources = []*metav1.APIResourceList{ours}
				}
				asked++
				return false, nil, nil
			})
			_, err := hub.migration(t).listCRD(t.Context(), kinds[0])
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			assert.LessOrEqual(t, asked, 3)
		})
	}
}
