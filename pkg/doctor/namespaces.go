// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/words"
)

const (
	// namespaceStuck is how long a namespace may take to be deleted: the grants in it are revoked
	// first.
	namespaceStuck = time.Minute
	// maxNamespaces bounds how many namespaces are reported one by one.
	maxNamespaces = 20
	// maxCondition bounds what is shown of a condition, in bytes: it names the kinds and finalizers of
	// whoever has some.
	maxCondition = 300
)

// inTheWay are the conditions of a namespace by which Kubernetes says why it is not deleted yet.
// What it cannot discover comes first: it does not know then what else there is.
var inTheWay = []corev1.NamespaceConditionType{
	corev1.NamespaceDeletionDiscoveryFailure, corev1.NamespaceDeletionContentFailure, corev1.NamespaceContentRemaining,
	corev1.NamespaceFinalizersRemaining,
}

// ourMarks are how such a condition names clusterpass: its groups, its kinds and its finalizers.
// The group of ClusterProfile is not ours alone.
var ourMarks = []string{
	groupClusterpass, groupMulticluster + "/v1alpha1", "clusterprofiles." + groupMulticluster, "placementdecisions." + groupMulticluster,
}

// checkNamespaces looks for namespaces of the hub that cannot be deleted because of what
// clusterpass serves.
func checkNamespaces(ctx context.Context, e *examination, f *findings) {
	all, err := hanging(ctx, e.Kubernetes)
	if f.unknown("Namespaces", err) {
		return
	}
	stuck := slices.DeleteFunc(all, func(n *corev1.Namespace) bool { return e.now().Sub(n.DeletionTimestamp.Time) < namespaceStuck })
	for _, namespace := range stuck[:min(len(stuck), maxNamespaces)] {
		f.fail("Namespace "+namespace.Name, mendNamespace(namespace), "it is %s", goingNamespace(namespace))
	}
	if left := len(stuck) - maxNamespaces; left > 0 {
		f.fail("", "List all of them: kubectl get namespaces --field-selector=status.phase=Terminating", "%d more hang like that", left)
	}
	if len(stuck) == 0 {
		f.ok("", "none that is being deleted waits for clusterpass")
	}
}

// hanging returns the namespaces that are being deleted and wait for clusterpass.
func hanging(ctx context.Context, client kubernetes.Interface) ([]*corev1.Namespace, error) {
	var found []*corev1.Namespace
	err := each(ctx, client.CoreV1().Namespaces().List, func(namespace *corev1.Namespace) {
		if namespace.DeletionTimestamp != nil && slices.ContainsFunc(held(namespace), isOfOurs) {
			found = append(found, namespace)
		}
	})
	return found, err
}

// held returns the conditions that say what is in the way of a namespace's deletion.
func held(namespace *corev1.Namespace) []corev1.NamespaceCondition {
	var conditions []corev1.NamespaceCondition
	for _, wanted := range inTheWay {
		for _, condition := range namespace.Status.Conditions {
			if condition.Type == wanted && condition.Status == corev1.ConditionTrue {
				conditions = append(conditions, condition)
			}
		}
	}
	return conditions
}

func isOfOurs(condition corev1.NamespaceCondition) bool {
	return slices.ContainsFunc(ourMarks, func(mark string) bool { return strings.Contains(condition.Message, mark) })
}

// goingNamespace says since when a namespace is being deleted, and what is in the way.
func goingNamespace(namespace *corev1.Namespace) string {
	conditionText := []string{"being deleted since " + namespace.DeletionTimestamp.UTC().Format(time.RFC3339)}
	for _, condition := range held(namespace) {
		conditionText = append(conditionText, fmt.Sprintf("%s: %s", condition.Type, words.Clean(condition.Message, maxCondition)))
	}
	return strings.Join(conditionText, "; ")
}

// mendNamespace says what lets a namespace go that waits for clusterpass.
func mendNamespace(namespace *corev1.Namespace) string {
	for _, condition := range held(namespace) {
		if isOfOurs(condition) && condition.Type != corev1.NamespaceContentRemaining && condition.Type != corev1.NamespaceFinalizersRemaining {
			return fmt.Sprintf("Make the server answer, as the check apiservices says. "+
				"If it is gone for good, delete its APIServices: kubectl delete apiservice %s", strings.Join(allServices(), " "))
		}
	}
	return fmt.Sprintf("See what is left in it, and why: kubectl -n %s get authtokengrants,clustercredentialsets -o yaml. "+
		"To remove grants for a member that is gone for ever: kubectl -n %s annotate authtokengrants --all %s=true",
		namespace.Name, namespace.Name, clusterpassv1alpha1.AnnotationAbandonMember)
}

// leftNamespaces looks for namespaces that hang. They finish by themselves when the stages before
// are done.
func leftNamespaces(ctx context.Context, u *uninstallation) (leftovers, error) {
	left := leftovers{gone: "no namespace that is being deleted waits for clusterpass"}
	found, err := hanging(ctx, u.Kubernetes)
	if err != nil {
		return left, err
	}
	for _, namespace := range found {
		left.things = append(left.things, "Namespace "+namespace.Name+" ("+goingNamespace(namespace)+")")
	}
	if len(found) > 0 {
		left.next = "Nothing of clusterpass holds them any more: wait until they are gone: " + waitNamespace(found[0].Name)
	}
	return left, nil
}

func waitNamespace(name string) string {
	return "kubectl wait --for=delete namespace/" + name + " --timeout=300s"
}
