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
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/profiles"
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

// The kinds that are read or written here.
var (
	namespaceKind      = corev1.SchemeGroupVersion.WithKind("Namespace")
	accountKind        = corev1.SchemeGroupVersion.WithKind("ServiceAccount")
	secretKind         = corev1.SchemeGroupVersion.WithKind("Secret")
	configMapKind      = corev1.SchemeGroupVersion.WithKind("ConfigMap")
	podKind            = corev1.SchemeGroupVersion.WithKind("Pod")
	roleKind           = rbacv1.SchemeGroupVersion.WithKind("Role")
	roleBindingKind    = rbacv1.SchemeGroupVersion.WithKind("RoleBinding")
	clusterRoleKind    = rbacv1.SchemeGroupVersion.WithKind("ClusterRole")
	clusterBindingKind = rbacv1.SchemeGroupVersion.WithKind("ClusterRoleBinding")
	profileKind        = inventoryv1alpha1.GroupVersion.WithKind("ClusterProfile")
	grantKind          = clusterpassv1alpha1.SchemeGroupVersion.WithKind("AuthTokenGrant")
)

// report is where both sides tell what is done, line by line.
type report struct {
	out    io.Writer
	dryRun DryRun
	// changes counts what was really changed.
	changes int
}

// side is one of the two clusters: the hub or the member.
type side struct {
	*report
	name    string
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	// profileVersion is that in which a hub serves ClusterProfiles. It is empty if it serves none.
	profileVersion string
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

// did tells that something was done to an object, or would be.
func (s *side) did(verb, what string) {
	suffix := ""
	if s.dryRun != DryRunNone {
		suffix = fmt.Sprintf(" (%s dry run)", s.dryRun)
	} else {
		s.changes++
	}
	fmt.Fprintf(s.out, "%s: %s %s%s\n", s.name, verb, what, suffix)
}

// found tells that an object is as it should be.
func (s *side) found(what, how string) { fmt.Fprintf(s.out, "%s: %s %s\n", s.name, what, how) }

// failed wraps the error of a call once, with what it was for.
func (s *side) failed(verb, what string, err error) error {
	return fmt.Errorf("%s: could not %s %s: %w", s.name, verb, what, err)
}

// ref returns how an object is called in what is printed, as kubectl does.
func ref(kind schema.GroupVersionKind, namespace, name string) string {
	called := strings.ToLower(kind.GroupKind().String()) + "/" + name
	if namespace != "" {
		called += " in " + namespace
	}
	return called
}

func refOf(o *unstructured.Unstructured) string {
	return ref(o.GroupVersionKind(), o.GetNamespace(), o.GetName())
}

// newObject returns an object that has only a name.
func newObject(kind schema.GroupVersionKind, namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// findProfiles finds out in which version the hub serves ClusterProfiles.
func (s *side) findProfiles(ctx context.Context) error {
	found, err := profiles.NewVersions(s.kube.Discovery()).Resource(ctx, profiles.ClusterProfiles)
	if apimeta.IsNoMatchError(err) {
		return nil
	}
	s.profileVersion = found.Version
	return err
}

// served returns kind in the version that the cluster serves.
func (s *side) served(kind schema.GroupVersionKind) schema.GroupVersionKind {
	if kind.GroupKind() == profileKind.GroupKind() {
		kind.Version = cmp.Or(s.profileVersion, kind.Version)
	}
	return kind
}

// resource returns the client for the objects of a kind, in all namespaces if namespace is empty.
// The guess is right for each of the kinds above, so no more discovery is needed.
func (s *side) resource(kind schema.GroupVersionKind, namespace string) dynamic.ResourceInterface {
	plural, _ := apimeta.UnsafeGuessKindToResource(s.served(kind))
	return s.dynamic.Resource(plural).Namespace(namespace)
}

// get returns an object, or nil if there is none.
func (s *side) get(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	o, err := s.resource(kind, namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // that it is not there is an answer
	}
	if err != nil {
		return nil, s.failed("read", ref(kind, namespace, name), err)
	}
	return o, nil
}

// list returns the objects of a kind that options select.
func (s *side) list(
	ctx context.Context, kind schema.GroupVersionKind, namespace string, options metav1.ListOptions,
) ([]unstructured.Unstructured, error) {
	list, err := s.resource(kind, namespace).List(ctx, options)
	if err != nil {
		return nil, s.failed("list", strings.ToLower(kind.Kind)+"s", err)
	}
	return list.Items, nil
}

// apply makes the cluster have an object as it is given, by server-side apply as manager. check
// sees the one that is there before, and may refuse; it may be nil.
func (s *side) apply(
	ctx context.Context, manager string, o *unstructured.Unstructured, check func(existing *unstructured.Unstructured) error,
	subresources ...string,
) error {
	o.SetGroupVersionKind(s.served(o.GroupVersionKind()))
	before, err := s.get(ctx, o.GroupVersionKind(), o.GetNamespace(), o.GetName())
	if err != nil {
		return err
	}
	if before != nil && check != nil {
		if err := check(before); err != nil {
			return err
		}
	}
	after, err := s.patch(ctx, manager, o, before, subresources)
	if err != nil {
		return s.failed("apply", refOf(o), err)
	}
	s.printChange(strings.Join(append([]string{refOf(o)}, subresources...), " "), before, after)
	return nil
}

// patch applies o as far as it is no dry run, and returns what has come of it: o itself where
// nothing was sent.
func (s *side) patch(
	ctx context.Context, manager string, o, before *unstructured.Unstructured, subresources []string,
) (*unstructured.Unstructured, error) {
	options := metav1.ApplyOptions{FieldManager: manager, Force: true}
	switch {
	case s.dryRun == DryRunClient, s.dryRun == DryRunServer && before == nil:
		// What is not there yet may need another thing that is not: its namespace, its role.
		return o, nil
	case s.dryRun == DryRunServer:
		options.DryRun = []string{metav1.DryRunAll}
	}
	return s.resource(o.GroupVersionKind(), o.GetNamespace()).Apply(ctx, o.GetName(), o, options, subresources...)
}

// printChange prints what has come of an object. In a client dry run, after is what would be
// applied: nothing would change where the object has all of that.
func (s *side) printChange(what string, before, after *unstructured.Unstructured) {
	switch {
	case before == nil:
		s.did("created", what)
	case s.dryRun == DryRunClient && equality.Semantic.DeepDerivative(after.Object, before.Object), equalButForManagers(before, after):
		s.found(what, "unchanged")
	default:
		s.did("configured", what)
	}
}

// equalButForManagers returns whether nothing has changed, be it in a dry run, but perhaps the
// time at which a manager has last applied what is there.
func equalButForManagers(before, after *unstructured.Unstructured) bool {
	before, after = before.DeepCopy(), after.DeepCopy()
	before.SetManagedFields(nil)
	after.SetManagedFields(nil)
	return equality.Semantic.DeepEqual(before.Object, after.Object)
}

// remove deletes an object that was seen, and not one that has taken its name since.
func (s *side) remove(ctx context.Context, kind schema.GroupVersionKind, o metav1.Object) error {
	what := ref(kind, o.GetNamespace(), o.GetName())
	if s.dryRun == DryRunNone {
		err := s.resource(kind, o.GetNamespace()).Delete(ctx, o.GetName(), *metav1.NewPreconditionDeleteOptions(string(o.GetUID())))
		if err != nil && !apierrors.IsNotFound(err) {
			return s.failed("delete", what, err)
		}
	}
	s.did("deleted", what)
	return nil
}
