// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/test/integration/parity"
)

const testNamespace = "fleet"

// Strategies come to the verdict of the CRD.
// The same cases meet a real server, with the CRD beside it, in test/integration.
func TestStrategies_Parity(t *testing.T) {
	for _, c := range parity.Cases(t) {
		verdict := c.Ours()
		if c.Resource != parity.ClusterProfiles || c.Absent || (verdict != parity.Accepted && verdict != parity.Refused) {
			continue
		}
		metadata, _ := c.Object["metadata"].(map[string]any)
		if _, ok := metadata["resourceVersion"]; ok {
			continue
		}
		switch c.Verb {
		case parity.Create, parity.Update, parity.UpdateStatus:
			t.Run(c.String(), func(t *testing.T) {
				err := send(t, &c)
				assert.Equal(t, verdict == parity.Accepted, err == nil, "error: %v", err)
			})
		case parity.Apply, parity.ApplyStatus:
			// The merge is the API machinery's.
		}
	}
}

func send(t *testing.T, c *parity.Case) error {
	t.Helper()
	obj, err := decode(t, c.Object)
	if err != nil {
		return err
	}
	ctx := genericapirequest.WithNamespace(t.Context(), testNamespace)
	main := newStrategy(testScheme(t))
	if c.Verb == parity.Create {
		rest.FillObjectMetaSystemFields(obj)
		if obj.Name == "" {
			obj.Name = main.GenerateName(obj.GenerateName)
		}
		return rest.BeforeCreate(main, ctx, obj)
	}
	old, err := decode(t, c.Before)
	require.NoError(t, err)
	old.Namespace = testNamespace
	old.ResourceVersion, obj.ResourceVersion = "1", "1"
	if c.Verb == parity.UpdateStatus {
		return rest.BeforeUpdate(newStatusStrategy(testScheme(t)), ctx, obj, old)
	}
	return rest.BeforeUpdate(main, ctx, obj, old)
}

func decode(t *testing.T, object map[string]any) (*inventoryv1alpha1.ClusterProfile, error) {
	t.Helper()
	data, err := json.Marshal(object)
	require.NoError(t, err)
	obj, _, err := serializer.NewCodecFactory(testScheme(t)).UniversalDeserializer().Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	return obj.(*inventoryv1alpha1.ClusterProfile), nil
}

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, inventoryv1alpha1.AddToScheme(scheme))
	metav1.AddToGroupVersion(scheme, inventoryv1alpha1.GroupVersion)
	AddDefaults(scheme)
	require.NoError(t, AddFieldLabelConversion(scheme))
	return scheme
}
