// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

const (
	namespace = "parity"
	// beforeManager made the objects that are there already, requestManager sends the requests that
	// are compared.
	beforeManager  = "before"
	requestManager = "request"
)

// Side is one of the two servers that are compared.
type Side struct {
	client dynamic.Interface
}

// Outcome is what became of a request.
type Outcome struct {
	Verdict Verdict
	// Err is nil if the request was accepted.
	Err error
	// Content is what was stored, but for what servers make up and for fields without a value, which
	// Go types drop or add. It is nil if the request was not accepted, as is Applied.
	Content map[string]any
	// Applied is what managers own by server-side apply, by manager and subresource.
	Applied map[string]string
}

// NewSide returns the server at config and creates the namespace of the cases there.
func NewSide(t testing.TB, config *rest.Config) *Side {
	t.Helper()
	core, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	_, err = core.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{})
	require.NoError(t, err)
	client, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	return &Side{client}
}

// Send makes the request of c. It leaves nothing behind.
func (s *Side) Send(t testing.TB, c *Case) Outcome {
	t.Helper()
	resource := inventoryv1alpha1.GroupVersion.WithResource(c.Resource)
	stored := s.client.Resource(resource).Namespace(namespace)
	resource.Version = c.Version
	client := s.client.Resource(resource).Namespace(namespace)
	object := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(c.Object)}
	defer func() { remove(t, stored, object.GetName()) }() // whatever fails: the next case uses the name too
	if c.Before != nil {
		createBefore(t, stored, c.Before)
	}
	answer, err := request(t, client, c, object)
	if err != nil {
		return Outcome{Verdict: verdictOf(err), Err: err}
	}
	object = answer
	found, err := stored.Get(t.Context(), answer.GetName(), metav1.GetOptions{})
	require.NoError(t, err)
	return Outcome{Verdict: Accepted, Content: contentOf(found), Applied: appliedBy(found)}
}

func request(
	t testing.TB, client dynamic.ResourceInterface, c *Case, object *unstructured.Unstructured,
) (*unstructured.Unstructured, error) {
	t.Helper()
	ctx := t.Context()
	update := metav1.UpdateOptions{FieldManager: requestManager}
	apply := metav1.ApplyOptions{FieldManager: requestManager, Force: c.Force}
	switch c.Verb {
	case Create:
		return client.Create(ctx, object, metav1.CreateOptions{FieldManager: requestManager})
	case Update:
		setResourceVersion(t, client, object)
		return client.Update(ctx, object, update)
	case UpdateStatus:
		setResourceVersion(t, client, object)
		return client.UpdateStatus(ctx, object, update)
	case Apply:
		return client.Apply(ctx, object.GetName(), object, apply)
	case ApplyStatus:
		return client.ApplyStatus(ctx, object.GetName(), object, apply)
	case Patch:
		return patch(t, client, c)
	case PatchStatus:
		return patch(t, client, c, "status")
	default:
		return nil, fmt.Errorf("unknown verb %q", c.Verb)
	}
}

func patch(t testing.TB, client dynamic.ResourceInterface, c *Case, subresources ...string) (*unstructured.Unstructured, error) {
	t.Helper()
	content, err := json.Marshal(c.Patch)
	require.NoError(t, err)
	form := types.MergePatchType
	if _, ok := c.Patch.([]any); ok {
		form = types.JSONPatchType
	}
	return client.Patch(t.Context(), Name, form, content, metav1.PatchOptions{FieldManager: requestManager}, subresources...)
}

func verdictOf(err error) Verdict {
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return Refused
	case apierrors.IsConflict(err):
		return Conflict
	case apierrors.IsNotFound(err):
		return NotFound
	default:
		return Failed
	}
}

func createBefore(t testing.TB, client dynamic.ResourceInterface, before map[string]any) {
	t.Helper()
	object := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(before)}
	created, err := client.Create(t.Context(), object, metav1.CreateOptions{FieldManager: beforeManager})
	require.NoError(t, err)
	status, ok := before["status"]
	if !ok {
		return
	}
	created.Object["status"] = status
	_, err = client.UpdateStatus(t.Context(), created, metav1.UpdateOptions{FieldManager: beforeManager})
	require.NoError(t, err)
}

// setResourceVersion has object be based on what is stored, unless the case is about that.
func setResourceVersion(t testing.TB, client dynamic.ResourceInterface, object *unstructured.Unstructured) {
	t.Helper()
	if _, ok, _ := unstructured.NestedString(object.Object, "metadata", "resourceVersion"); ok {
		return
	}
	stored, err := client.Get(t.Context(), object.GetName(), metav1.GetOptions{})
	require.NoError(t, err)
	object.SetResourceVersion(stored.GetResourceVersion())
}

func remove(t testing.TB, client dynamic.ResourceInterface, name string) {
	t.Helper()
	if name == "" {
		return
	}
	noFinalizers := []byte(`{"metadata":{"finalizers":null}}`)
	_, err := client.Patch(t.Context(), name, types.MergePatchType, noFinalizers, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return
	}
	require.NoError(t, err)
	require.NoError(t, client.Delete(t.Context(), name, metav1.DeleteOptions{}))
}
