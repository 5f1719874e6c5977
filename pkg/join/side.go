// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// FieldManager owns the fields that are set here.
const FieldManager = "kubectl-clusterpass"

// callTimeout bounds a call to a cluster where the user has set no other bound.
const callTimeout = 30 * time.Second

// DryRun is what is left undone.
type DryRun string

const (
	// DryRunNone leaves nothing undone.
	DryRunNone DryRun = "none"
	// DryRunClient reads, and sends no write.
	DryRunClient DryRun = "client"
	// DryRunServer sends the writes that can be tried without another one that they need, as dry runs.
	DryRunServer DryRun = "server"
)

// ParseDryRun returns the DryRun of that name, or an error that lists them.
func ParseDryRun(name string) (DryRun, error) {
	switch d := DryRun(name); d {
	case DryRunNone, DryRunClient, DryRunServer:
		return d, nil
	default:
		return "", fmt.Errorf("--dry-run is none, client or server, not %q", name)
	}
}

// report tells what is done, line by line.
type report struct {
	out    io.Writer
	dryRun DryRun
	// changes counts what was really changed.
	changes int
}

// did tells that something was done to an object, or would be.
func (r *report) did(side, verb, what string) {
	suffix := ""
	if r.dryRun != DryRunNone {
		suffix = fmt.Sprintf(" (%s dry run)", r.dryRun)
	} else {
		r.changes++
	}
	fmt.Fprintf(r.out, "%s: %s %s%s\n", side, verb, what, suffix)
}

// found tells that an object is as it should be.
func (r *report) found(side, what, how string) { fmt.Fprintf(r.out, "%s: %s %s\n", side, what, how) }

// side is one of the two clusters: the hub or the member.
type side struct {
	*report
	name    string
	kube    kubernetes.Interface
	dynamic dynamic.Interface
}

// mapper knows the few kinds that are read or written here, so that no discovery is needed.
var mapper = newMapper()

func newMapper() apimeta.RESTMapper {
	m := apimeta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{kindServiceAccount, kindSecret, "ConfigMap", "Pod"} {
		m.Add(corev1.SchemeGroupVersion.WithKind(kind), apimeta.RESTScopeNamespace)
	}
	m.Add(corev1.SchemeGroupVersion.WithKind(kindNamespace), apimeta.RESTScopeRoot)
	for _, kind := range []string{kindRole, kindRoleBinding} {
		m.Add(rbacv1.SchemeGroupVersion.WithKind(kind), apimeta.RESTScopeNamespace)
	}
	for _, kind := range []string{kindClusterRole, kindClusterBinding} {
		m.Add(rbacv1.SchemeGroupVersion.WithKind(kind), apimeta.RESTScopeRoot)
	}
	m.Add(profileKind, apimeta.RESTScopeNamespace)
	m.Add(grantKind, apimeta.RESTScopeNamespace)
	return m
}

func newSide(name string, config *rest.Config, r *report) (*side, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // some dozens of calls in all
	config.Timeout = cmp.Or(config.Timeout, callTimeout)
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &side{report: r, name: name, kube: kube, dynamic: client}, nil
}

// ref is how an object is called in what is printed, as kubectl does.
func refOf(o *unstructured.Unstructured) string {
	kind := strings.ToLower(o.GetKind())
	if group := o.GroupVersionKind().Group; group != "" {
		kind += "." + group
	}
	if o.GetNamespace() == "" {
		return kind + "/" + o.GetName()
	}
	return kind + "/" + o.GetName() + " in " + o.GetNamespace()
}

func (s *side) resource(gvk schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	if namespace == "" {
		return s.dynamic.Resource(mapping.Resource), nil
	}
	return s.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}

// apply makes the cluster have an object as it is given, by server-side apply. check sees the one
// that is there before, nil if there is none, and may refuse; it may be nil.
func (s *side) apply(
	ctx context.Context, object runtime.Object, check func(existing *unstructured.Unstructured) error, subresources ...string,
) error {
	return s.applyAs(ctx, FieldManager, object, check, subresources...)
}

// applyAs is apply by another field manager.
func (s *side) applyAs(
	ctx context.Context, manager string, object runtime.Object, check func(existing *unstructured.Unstructured) error, subresources ...string,
) error {
	o, err := toUnstructured(object)
	if err != nil {
		return err
	}
	client, err := s.resource(o.GroupVersionKind(), o.GetNamespace())
	if err != nil {
		return err
	}
	what := refOf(o)
	before, err := getOrNil(ctx, client, o.GetName())
	if err != nil {
		return s.failed("read", what, err)
	}
	if before != nil && check != nil {
		if err := check(before); err != nil {
			return err
		}
	}
	after, err := s.patch(ctx, client, manager, o, before, subresources)
	if err != nil {
		return s.failed("apply", what, err)
	}
	s.printChange(strings.Join(append([]string{what}, subresources...), " "), before, after)
	return nil
}

// patch applies o as far as it is no dry run, and returns what has come of it: o itself where
// nothing was sent.
func (s *side) patch(
	ctx context.Context, client dynamic.ResourceInterface, manager string, o, before *unstructured.Unstructured, subresources []string,
) (*unstructured.Unstructured, error) {
	options := metav1.ApplyOptions{FieldManager: manager, Force: true}
	switch {
	case s.dryRun == DryRunClient, s.dryRun == DryRunServer && before == nil:
		// What is not there yet may need another thing that is not: its namespace, its role.
		return o, nil
	case s.dryRun == DryRunServer:
		options.DryRun = []string{metav1.DryRunAll}
	}
	return client.Apply(ctx, o.GetName(), o, options, subresources...)
}

// printChange prints what has come of an object. In a client dry run, after is what would be
// applied: nothing would change where the object has all of that.
func (s *side) printChange(what string, before, after *unstructured.Unstructured) {
	switch {
	case before == nil:
		s.did(s.name, "created", what)
	case s.dryRun == DryRunClient && equality.Semantic.DeepDerivative(after.Object, before.Object), equalButForBookkeeping(before, after):
		s.found(s.name, what, "unchanged")
	default:
		s.did(s.name, "configured", what)
	}
}

// equalButForBookkeeping compares by resourceVersion where it is new, and else, as after a dry run,
// by content.
func equalButForBookkeeping(before, after *unstructured.Unstructured) bool {
	if before.GetResourceVersion() == after.GetResourceVersion() && before.GetGeneration() == after.GetGeneration() {
		a, b := before.DeepCopy(), after.DeepCopy()
		a.SetManagedFields(nil)
		b.SetManagedFields(nil)
		return equality.Semantic.DeepEqual(a.Object, b.Object)
	}
	return false
}

// remove deletes an object that was seen, and not one that has taken its name since.
func (s *side) remove(ctx context.Context, o *unstructured.Unstructured) error {
	what := refOf(o)
	if s.dryRun == DryRunNone {
		client, err := s.resource(o.GroupVersionKind(), o.GetNamespace())
		if err != nil {
			return err
		}
		err = client.Delete(ctx, o.GetName(), *metav1.NewPreconditionDeleteOptions(string(o.GetUID())))
		if err != nil && !apierrors.IsNotFound(err) {
			return s.failed("delete", what, err)
		}
	}
	s.did(s.name, "deleted", what)
	return nil
}

// get returns an object, or nil if there is none.
func (s *side) get(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	client, err := s.resource(gvk, namespace)
	if err != nil {
		return nil, err
	}
	o, err := getOrNil(ctx, client, name)
	if err != nil {
		wanted := &unstructured.Unstructured{}
		wanted.SetGroupVersionKind(gvk)
		wanted.SetNamespace(namespace)
		wanted.SetName(name)
		return nil, s.failed("read", refOf(wanted), err)
	}
	return o, nil
}

// list returns the objects of a kind that have labels.
func (s *side) list(ctx context.Context, kind schema.GroupVersionKind, namespace, labels string) ([]unstructured.Unstructured, error) {
	client, err := s.resource(kind, namespace)
	if err != nil {
		return nil, err
	}
	list, err := client.List(ctx, metav1.ListOptions{LabelSelector: labels})
	if err != nil {
		return nil, s.failed("list", strings.ToLower(kind.Kind)+"s", err)
	}
	return list.Items, nil
}

// failed wraps the error of a call once, with what it was for.
func (s *side) failed(verb, what string, err error) error {
	return fmt.Errorf("%s: could not %s %s: %w", s.name, verb, what, err)
}

func getOrNil(ctx context.Context, client dynamic.ResourceInterface, name string) (*unstructured.Unstructured, error) {
	o, err := client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // that it is not there is an answer
	}
	return o, err
}

// toUnstructured returns what object says, and nothing that it leaves to the server.
func toUnstructured(object runtime.Object) (*unstructured.Unstructured, error) {
	if o, ok := object.(*unstructured.Unstructured); ok {
		return o, nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	for _, part := range []string{"spec", "status"} {
		if fields, ok := content[part].(map[string]any); ok && len(fields) == 0 {
			delete(content, part)
		}
	}
	return &unstructured.Unstructured{Object: content}, nil
}
