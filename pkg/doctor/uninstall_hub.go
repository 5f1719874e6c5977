// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
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
		"ClusterProfiles, Placements and scores are kept in the server's etcd, and are out of reach then: kubectl delete apiservice " +
		strings.Join(names, " ")
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
	left.things, kinds, err = labelled(ctx, u.Metadata, partOfSelector)
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
		left.next = "Wait until it is gone, or remove what it names: " + waitNamespace(SystemNamespace)
		return left, nil
	case err == nil:
		if !slices.Contains(kinds, "namespace") {
			left.things = append(left.things, "Namespace "+SystemNamespace)
		}
		left.next = "Delete them. What an overlay has added goes with the namespace: kubectl delete -k artifacts/deploy/base --ignore-not-found"
		return left, nil
	}
	left.next = "Delete what is in no overlay: " + deleteLabelled("", kinds, partOfSelector)
	return left, nil
}

// boundByOperators returns the bindings of roles that are shipped which are not shipped themselves,
// and the commands that delete them.
func boundByOperators(ctx context.Context, client kubernetes.Interface) (bindings, commands []string, err error) {
	err = eachBinding(ctx, client, func(b *rbacv1.RoleBinding) {
		ofShipped := b.RoleRef.Kind == "ClusterRole" && strings.HasPrefix(b.RoleRef.Name, shippedRolePrefix)
		if ofShipped && b.Labels[partOfLabel] != partOf {
			bindings = append(bindings, aboutBinding(b)+" of "+b.RoleRef.Name)
			commands = append(commands, deleteBinding(b))
		}
	})
	return bindings, commands, err
}

// deleteLabelled returns the command that deletes what labelled has found, by a context, or the
// current one.
func deleteLabelled(contextName string, kinds []string, selector string) string {
	if contextName != "" {
		contextName = "--context=" + contextName + " "
	}
	return "kubectl " + contextName + "delete " + strings.Join(kinds, ",") + " --all-namespaces -l '" + selector + "'" // it may have a !
}

// deployedKinds are the kinds that clusterpass makes on a hub or on a member: rights first.
var deployedKinds = []struct {
	name     string
	resource schema.GroupVersionResource
}{
	{"ClusterRoleBinding", rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings")},
	{"RoleBinding", rbacv1.SchemeGroupVersion.WithResource("rolebindings")},
	{"ClusterRole", rbacv1.SchemeGroupVersion.WithResource("clusterroles")},
	{"Role", rbacv1.SchemeGroupVersion.WithResource("roles")},
	{"Secret", secretsResource},
	{"ServiceAccount", corev1.SchemeGroupVersion.WithResource("serviceaccounts")},
	{"Service", corev1.SchemeGroupVersion.WithResource("services")},
	{"Deployment", deploymentsResource},
	{"PersistentVolumeClaim", corev1.SchemeGroupVersion.WithResource("persistentvolumeclaims")},
	{"FlowSchema", flowcontrolv1.SchemeGroupVersion.WithResource("flowschemas")},
	{"PriorityLevelConfiguration", flowcontrolv1.SchemeGroupVersion.WithResource("prioritylevelconfigurations")},
	{"ValidatingAdmissionPolicyBinding", admissionregistrationv1.SchemeGroupVersion.WithResource("validatingadmissionpolicybindings")},
	{"ValidatingAdmissionPolicy", admissionregistrationv1.SchemeGroupVersion.WithResource("validatingadmissionpolicies")},
	{"MutatingAdmissionPolicyBinding", admissionregistrationv1.SchemeGroupVersion.WithResource("mutatingadmissionpolicybindings")},
	{"MutatingAdmissionPolicy", admissionregistrationv1.SchemeGroupVersion.WithResource("mutatingadmissionpolicies")},
	{"Namespace", corev1.SchemeGroupVersion.WithResource(resourceNamespaces)},
}

// The resources of which metadata is looked at elsewhere, too.
var (
	secretsResource     = corev1.SchemeGroupVersion.WithResource(resourceSecrets)
	deploymentsResource = appsv1.SchemeGroupVersion.WithResource("deployments")
)

// labelled names the objects with these labels, of all kinds that clusterpass makes, and the kinds
// as kubectl knows them. It reads metadata alone: what is in Secrets is nobody's business here.
func labelled(ctx context.Context, client metadata.Interface, selector string) (names, kinds []string, err error) {
	var errs []error
	for _, kind := range deployedKinds {
		found, err := client.Resource(kind.resource).List(ctx, metav1.ListOptions{LabelSelector: selector})
		switch {
		case apierrors.IsNotFound(err):
			continue // what a Kubernetes does not serve has no objects
		case err != nil:
			errs = append(errs, err)
			continue
		}
		for i := range found.Items {
			o := &found.Items[i]
			names = append(names, aboutObject(kind.name, o)+going(o, ""))
		}
		if len(found.Items) > 0 {
			kinds = append(kinds, strings.ToLower(kind.name))
		}
	}
	return names, kinds, errors.Join(errs...)
}
