// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
)

// shippedRolePrefix is that of the ClusterRoles for users, which operators bind by themselves.
const shippedRolePrefix = "clusterpass:"

func leftAPIServices(ctx context.Context, u *uninstallation) (leftovers, error) {
	left := leftovers{gone: "no APIService leads to clusterpass"}
	services, err := u.Aggregator.ApiregistrationV1().APIServices().List(ctx, metav1.ListOptions{})
	if err != nil {
		return left, err
	}
	var names []string
	for i := range services.Items {
		to := services.Items[i].Spec.Service
		if to != nil && to.Namespace == SystemNamespace && to.Name == serverName {
			names = append(names, services.Items[i].Name)
			left.things = append(left.things, "APIService "+services.Items[i].Name)
		}
	}
	left.next = "Delete them before the server, or no namespace of the hub can be deleted after it. " +
		"ClusterProfiles, Placements and scores are kept in the server's etcd, and are out of reach then: kubectl delete apiservice " + strings.Join(names, " ")
	return left, nil
}

// leftOnHub looks for what is deployed, and for bindings of its roles.
func leftOnHub(ctx context.Context, u *uninstallation) (leftovers, error) {
	left := leftovers{gone: "nothing of clusterpass is left on the hub"}
	bindings, commands, err := boundByOperators(ctx, u.Kubernetes)
	if err != nil {
		return left, err
	}
	if len(bindings) > 0 {
		left.things, left.next = bindings, "Delete them: "+strings.Join(commands, "; ")
		return left, nil
	}
	var kinds []string
	left.things, kinds, err = labelled(ctx, u.Kubernetes, partOfSelector)
	if err != nil {
		return left, err
	}
	// By its name: who has made it by hand may have left out the label.
	namespace, err := u.Kubernetes.CoreV1().Namespaces().Get(ctx, SystemNamespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && len(left.things) == 0:
		return left, nil
	case err != nil && !apierrors.IsNotFound(err):
		return left, err
	case err == nil && namespace.DeletionTimestamp != nil:
		left.things = slices.DeleteFunc(left.things, func(thing string) bool { return strings.HasPrefix(thing, "Namespace "+SystemNamespace) })
		left.things = append([]string{"Namespace " + SystemNamespace + " (" + goingNamespace(namespace) + ")"}, left.things...)
		left.next = "Wait until it is gone, or see to what it names: " + waitNamespace(SystemNamespace)
		return left, nil
	case err == nil:
		if !slices.Contains(kinds, "namespace") {
			left.things = append(left.things, "Namespace "+SystemNamespace)
		}
		left.next = "Delete them. What an overlay has added goes with the namespace: kubectl delete -k artifacts/deploy/base --ignore-not-found"
		return left, nil
	}
	left.next = "Delete what no overlay has: " + deleteLabelled("", kinds, partOfSelector)
	return left, nil
}

// boundByOperators returns the bindings of roles that are shipped which are not shipped themselves, and the commands
// that delete them.
func boundByOperators(ctx context.Context, client kubernetes.Interface) (bindings, commands []string, err error) {
	inNamespaces, err := client.RbacV1().RoleBindings(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of!=clusterpass"})
	if err != nil {
		return nil, nil, err
	}
	ofTheHub, err := client.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of!=clusterpass"})
	if err != nil {
		return nil, nil, err
	}
	for i := range inNamespaces.Items {
		if b := &inNamespaces.Items[i]; isShipped(b.RoleRef) {
			bindings = append(bindings, "RoleBinding "+b.Namespace+"/"+b.Name+" of "+b.RoleRef.Name)
			commands = append(commands, "kubectl -n "+b.Namespace+" delete rolebinding "+b.Name)
		}
	}
	for i := range ofTheHub.Items {
		if b := &ofTheHub.Items[i]; isShipped(b.RoleRef) {
			bindings = append(bindings, "ClusterRoleBinding "+b.Name+" of "+b.RoleRef.Name)
			commands = append(commands, "kubectl delete clusterrolebinding "+b.Name)
		}
	}
	return bindings, commands, nil
}

func isShipped(role rbacv1.RoleRef) bool {
	return role.Kind == "ClusterRole" && strings.HasPrefix(role.Name, shippedRolePrefix)
}

// deleteLabelled returns the command that deletes what labelled has found, by a context, or the current one.
func deleteLabelled(contextName string, kinds []string, selector string) string {
	if contextName != "" {
		contextName = "--context=" + contextName + " "
	}
	return "kubectl " + contextName + "delete " + strings.Join(kinds, ",") + " --all-namespaces -l '" + selector + "'" // a selector may have a !
}

// labelled names the objects with these labels, of all kinds that clusterpass makes on a hub or on a member, and the
// kinds as kubectl knows them: rights first.
func labelled(ctx context.Context, client kubernetes.Interface, selector string) (names, kinds []string, err error) {
	const all = metav1.NamespaceAll
	options := metav1.ListOptions{LabelSelector: selector}
	var errs []error
	for _, kind := range []struct {
		name string
		list func() (runtime.Object, error)
	}{
		{"ClusterRoleBinding", func() (runtime.Object, error) { return client.RbacV1().ClusterRoleBindings().List(ctx, options) }},
		{"RoleBinding", func() (runtime.Object, error) { return client.RbacV1().RoleBindings(all).List(ctx, options) }},
		{"ClusterRole", func() (runtime.Object, error) { return client.RbacV1().ClusterRoles().List(ctx, options) }},
		{"Role", func() (runtime.Object, error) { return client.RbacV1().Roles(all).List(ctx, options) }},
		{"Secret", func() (runtime.Object, error) { return client.CoreV1().Secrets(all).List(ctx, options) }},
		{"ServiceAccount", func() (runtime.Object, error) { return client.CoreV1().ServiceAccounts(all).List(ctx, options) }},
		{"Service", func() (runtime.Object, error) { return client.CoreV1().Services(all).List(ctx, options) }},
		{"Deployment", func() (runtime.Object, error) { return client.AppsV1().Deployments(all).List(ctx, options) }},
		{"PersistentVolumeClaim", func() (runtime.Object, error) { return client.CoreV1().PersistentVolumeClaims(all).List(ctx, options) }},
		{"FlowSchema", func() (runtime.Object, error) { return client.FlowcontrolV1().FlowSchemas().List(ctx, options) }},
		{"PriorityLevelConfiguration", func() (runtime.Object, error) {
			return client.FlowcontrolV1().PriorityLevelConfigurations().List(ctx, options)
		}},
		{"ValidatingAdmissionPolicyBinding", func() (runtime.Object, error) {
			return client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().List(ctx, options)
		}},
		{"ValidatingAdmissionPolicy", func() (runtime.Object, error) {
			return client.AdmissionregistrationV1().ValidatingAdmissionPolicies().List(ctx, options)
		}},
		{"MutatingAdmissionPolicyBinding", func() (runtime.Object, error) {
			return client.AdmissionregistrationV1().MutatingAdmissionPolicyBindings().List(ctx, options)
		}},
		{"MutatingAdmissionPolicy", func() (runtime.Object, error) {
			return client.AdmissionregistrationV1().MutatingAdmissionPolicies().List(ctx, options)
		}},
		{"Namespace", func() (runtime.Object, error) { return client.CoreV1().Namespaces().List(ctx, options) }},
	} {
		found, err := list(kind.list)
		if err != nil {
			errs = append(errs, err)
		}
		for _, name := range found {
			names = append(names, kind.name+" "+name)
		}
		if len(found) > 0 {
			kinds = append(kinds, strings.ToLower(kind.name))
		}
	}
	return names, kinds, errors.Join(errs...)
}

// list returns the names in a list. What a Kubernetes does not serve has none.
func list(get func() (runtime.Object, error)) ([]string, error) {
	found, err := get()
	if err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	var names []string
	err = meta.EachListItem(found, func(object runtime.Object) error {
		o, err := meta.Accessor(object)
		if err != nil {
			return err
		}
		names = append(names, strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")+going(o, ""))
		return nil
	})
	return names, err
}
