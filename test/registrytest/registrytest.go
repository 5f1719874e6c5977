// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package registrytest is what the tests of several storages need.
package registrytest

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"clusterpass.dev/test/integration/parity"
)

// Selects returns whether the predicate of a storage selects an object by a selector of labels and
// one of fields, which scheme knows for kind.
func Selects(
	t *testing.T, match func(labels.Selector, fields.Selector) storage.SelectionPredicate,
	scheme *runtime.Scheme, kind schema.GroupVersionKind, obj runtime.Object, byLabels, byFields string,
) bool {
	t.Helper()
	byLabel, err := labels.Parse(byLabels)
	require.NoError(t, err)
	byField, err := fields.ParseSelector(byFields)
	require.NoError(t, err)
	byField, err = byField.Transform(func(name, value string) (string, string, error) { return scheme.ConvertFieldLabel(kind, name, value) })
	require.NoError(t, err)
	predicate := match(byLabel, byField)
	selected, err := predicate.Matches(obj)
	require.NoError(t, err)
	return selected
}

// Messages returns the texts of errs.
func Messages(errs field.ErrorList) []string {
	var messages []string
	for _, err := range errs {
		messages = append(messages, err.Error())
	}
	return messages
}

// ResetFields expects that the strategy of a main resource resets the status and nothing else, and
// that of the status all else.
func ResetFields(t *testing.T, gv schema.GroupVersion, main, status rest.ResetFieldsStrategy) {
	t.Helper()
	version := fieldpath.APIVersion(gv.String())
	for path, want := range map[string]bool{"spec": false, "metadata": false, "status": true} {
		assert.Equal(t, want, main.GetResetFields()[version].Has(fieldpath.MakePathOrDie(path)), "main resource, %s", path)
		assert.Equal(t, !want, status.GetResetFields()[version].Has(fieldpath.MakePathOrDie(path)), "status, %s", path)
	}
}

// Strategy is that of a main resource.
type Strategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
}

// Parity expects strategies to come to the verdict of the CRD on those cases of a resource, in both
// versions, that they decide. scheme has both versions. The same cases meet a real server, with the
// CRD beside it, in test/integration. status is nil for a resource without a status.
func Parity(t *testing.T, resource string, scheme *runtime.Scheme, main Strategy, status rest.RESTUpdateStrategy) {
	t.Helper()
	for _, c := range parity.Cases(t) {
		verdict := c.Ours()
		if c.Resource != resource || c.Absent || (verdict != parity.Accepted && verdict != parity.Refused) {
			continue
		}
		metadata, _ := c.Object["metadata"].(map[string]any)
		if _, ok := metadata["resourceVersion"]; ok {
			continue
		}
		// The merge of an apply is the API machinery's.
		if c.Verb == parity.Create || c.Verb == parity.Update || c.Verb == parity.UpdateStatus && status != nil {
			t.Run(c.String(), func(t *testing.T) {
				err := send(t, &c, scheme, main, status)
				assert.Equal(t, verdict == parity.Accepted, err == nil, "error: %v", err)
			})
		}
	}
}

func send(t *testing.T, c *parity.Case, scheme *runtime.Scheme, main Strategy, status rest.RESTUpdateStrategy) error {
	t.Helper()
	obj, err := decode(t, scheme, c.Object)
	if err != nil {
		return err
	}
	ctx := genericapirequest.WithRequestInfo(genericapirequest.WithNamespace(t.Context(), metav1.NamespaceDefault),
		&genericapirequest.RequestInfo{IsResourceRequest: true, APIGroup: inventoryv1alpha1.Group, APIVersion: c.Version})
	if c.Verb == parity.Create {
		rest.FillObjectMetaSystemFields(obj)
		if obj.GetName() == "" {
			obj.SetName(main.GenerateName(obj.GetGenerateName()))
		}
		return rest.BeforeCreate(main, ctx, obj)
	}
	old, err := decode(t, scheme, c.Before)
	require.NoError(t, err)
	old.SetNamespace(metav1.NamespaceDefault)
	old.SetResourceVersion("1")
	obj.SetResourceVersion("1")
	if c.Verb == parity.UpdateStatus {
		return rest.BeforeUpdate(status, ctx, obj, old)
	}
	return rest.BeforeUpdate(main, ctx, obj, old)
}

// object is one of the API.
type object interface {
	runtime.Object
	metav1.Object
}

func decode(t *testing.T, scheme *runtime.Scheme, content map[string]any) (object, error) {
	t.Helper()
	data, err := json.Marshal(content)
	require.NoError(t, err)
	obj, _, err := serializer.NewCodecFactory(scheme).UniversalDecoder(inventoryv1alpha1.GroupVersion).Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	return obj.(object), nil
}
