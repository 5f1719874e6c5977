// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member/paged"
	"clusterpass.dev/pkg/words"
)

const (
	// maxFound bounds the objects of one member in memory, in bytes as the member sends them. It is
	// enough for about 30,000 grants.
	maxFound = 128 << 20
	// maxName bounds the name of an object on a member, in bytes. Kubernetes does not bound the names
	// of RBAC objects. The longest name that clusterpass creates has 302.
	maxName = 512
)

// Object is an object of a grant as it was found on a member.
type Object struct {
	v1alpha1.MemberObject
	// UID of the object.
	UID types.UID
	// Grant is the UID of the grant in the label of the object.
	Grant types.UID

	subjects   []rbacv1.Subject
	roleRef    rbacv1.RoleRef
	rules      []rbacv1.PolicyRule
	aggregated bool
}

// Found has the objects of all grants of a hub on one member, except for Secrets. The permission to
// list Secrets would be the permission to read all of them. Their names follow from the other
// objects.
type Found struct {
	objects map[v1alpha1.MemberObject]Object
	// unread has the error for each kind that could not be listed.
	unread map[string]error
	// size is the size of all objects, in bytes as the member has sent them.
	size int
}

// List lists the objects of all grants of a hub on a member, with one list for each of five kinds.
// It leaves out kinds that the member does not let clusterpass list: see Found.Unread. It returns
// any other error, and one if the objects exceed maxFound.
func List(ctx context.Context, client kubernetes.Interface, hubID string) (*Found, error) {
	f := &Found{objects: map[v1alpha1.MemberObject]Object{}, unread: map[string]error{}}
	rbac, core := client.RbacV1().RESTClient(), client.CoreV1().RESTClient()
	for _, list := range []func() error{
		func() error { return list[corev1.ServiceAccount](ctx, f, hubID, core, kindServiceAccount) },
		func() error { return list[rbacv1.ClusterRole](ctx, f, hubID, rbac, kindClusterRole) },
		func() error { return list[rbacv1.ClusterRoleBinding](ctx, f, hubID, rbac, kindClusterRoleBinding) },
		func() error { return list[rbacv1.Role](ctx, f, hubID, rbac, kindRole) },
		func() error { return list[rbacv1.RoleBinding](ctx, f, hubID, rbac, kindRoleBinding) },
	} {
		if err := list(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// encoded is a pointer to an object of type T that can be decoded from protobuf.
type encoded[T any] interface {
	*T
	metav1.Object
	Unmarshal(message []byte) error
}

// list adds all objects of a kind that belong to the grants of a hub to f.
func list[T any, P encoded[T]](ctx context.Context, f *Found, hubID string, client rest.Interface, kind string) error {
	options := metav1.ListOptions{LabelSelector: Selector(hubID)}
	err := each[T, P](ctx, client, kind, options, func(o P, size int) error { return f.add(kind, o, size) })
	switch {
	case apierrors.IsForbidden(err):
		f.unread[kind] = err
	case err != nil:
		return fmt.Errorf("listing what grants own, %s: %w", kind, err)
	}
	return nil
}

// each calls do for each object of a kind, with its size in bytes as the member has sent it.
func each[T any, P encoded[T]](
	ctx context.Context, client rest.Interface, kind string, options metav1.ListOptions, do func(object P, size int) error,
) error {
	return paged.Each(ctx, client, strings.ToLower(kind)+"s", options, func(item []byte) error {
		object := P(new(T))
		if err := object.Unmarshal(item); err != nil {
			return err
		}
		return do(object, len(item))
	})
}

// add adds an object that the member has sent in size bytes.
func (f *Found) add(kind string, o metav1.Object, size int) error {
	if f.size += size; f.size > maxFound {
		return fmt.Errorf("more than %d bytes", maxFound)
	}
	// Everybody who may create objects on the member may give them the labels of clusterpass.
	if !hasUsualNames(o) {
		return nil
	}
	object := Object{
		MemberObject: v1alpha1.MemberObject{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()},
		UID:          o.GetUID(),
		Grant:        types.UID(words.Clean(o.GetLabels()[LabelGrantUID], validation.LabelValueMaxLength)),
	}
	switch o := o.(type) {
	case *rbacv1.ClusterRoleBinding:
		object.subjects, object.roleRef = o.Subjects, o.RoleRef
	case *rbacv1.RoleBinding:
		object.subjects, object.roleRef = o.Subjects, o.RoleRef
	case *rbacv1.ClusterRole:
		object.rules, object.aggregated = o.Rules, o.AggregationRule != nil
	case *rbacv1.Role:
		object.rules = o.Rules
	}
	f.objects[object.MemberObject] = object
	return nil
}

// hasUsualNames returns whether the name and the namespace of an object are within their bounds.
// They are used in URLs, logs and conditions.
func hasUsualNames(o metav1.Object) bool {
	return len(o.GetName()) <= maxName && len(o.GetNamespace()) <= validation.DNS1123LabelMaxLength
}

// Unread returns the errors of the kinds that could not be listed, or nil.
func (f *Found) Unread() error {
	return errors.Join(slices.Collect(maps.Values(f.unread))...)
}

// Objects returns the objects that were found, in the order of their removal.
func (f *Found) Objects() []Object {
	return slices.SortedFunc(maps.Values(f.objects), func(a, b Object) int {
		return cmp.Or(cmp.Compare(rank(a.Kind), rank(b.Kind)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// Has returns whether o was found, and not another object with its name.
func (f *Found) Has(o Object) bool {
	found, ok := f.objects[o.MemberObject]
	return ok && found.UID == o.UID
}

// rank returns the position of a kind in removalOrder.
func rank(kind string) int {
	return slices.IndexFunc(removalOrder, func(kinds []string) bool { return slices.Contains(kinds, kind) })
}

// HasAccount returns whether the ServiceAccount of g was found with the label of g.
func (f *Found) HasAccount(g *v1alpha1.AuthTokenGrant) bool {
	account := g.Spec.ServiceAccount
	object, ok := f.objects[v1alpha1.MemberObject{Kind: kindServiceAccount, Namespace: account.Namespace, Name: account.Name}]
	return ok && object.Grant == g.UID
}

// Drift describes, by kind, an object of g that is missing or changed on the member. It leaves out
// kinds that could not be listed.
func (f *Found) Drift(g *v1alpha1.AuthTokenGrant) map[string]string {
	drift := map[string]string{}
	k := &Keeper{Grant: g}
	expect := func(kind, namespace, name string, right func(Object) bool) {
		if kind == kindSecret || f.unread[kind] != nil {
			return
		}
		object, ok := f.objects[v1alpha1.MemberObject{Kind: kind, Namespace: namespace, Name: name}]
		switch {
		case !ok:
			drift[kind] = fmt.Sprintf("%s %s was missing", kind, name)
		case object.Grant != g.UID:
			drift[kind] = fmt.Sprintf("%s %s was another grant's", kind, name)
		case right != nil && !right(object):
			drift[kind] = fmt.Sprintf("%s %s was changed", kind, name)
		}
	}
	account := g.Spec.ServiceAccount
	expect(kindServiceAccount, account.Namespace, account.Name, nil)
	for _, role := range rolesOf(g) {
		name := BindingName(g.UID, role.Name)
		expect(role.Kind+"Binding", role.Namespace, name, func(o Object) bool {
			return o.roleRef == k.roleRef(role) && equality.Semantic.DeepEqual(o.subjects, k.subjects())
		})
		if !role.IsExisting() {
			expect(role.Kind, role.Namespace, name, func(o Object) bool {
				return !o.aggregated && equality.Semantic.DeepEqual(o.rules, role.Rules)
			})
		}
	}
	return drift
}
