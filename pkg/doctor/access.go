// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/member"
)

// latePart is the part of a credential's life, one in so many, that is left when it should have
// been renewed: clusterpass renews its own at 80 %.
const latePart = 8

// reasonNoAccess is that of the condition Joined where there was no access to try. It is looked for
// anew here.
const reasonNoAccess = "NoAccess"

// memberSecrets are the Secrets that clusterpass sees, as it would list them.
type memberSecrets map[types.NamespacedName]*corev1.Secret

// Get implements member.Secrets.
func (s memberSecrets) Get(namespace, name string) (*corev1.Secret, error) {
	secret, ok := s[types.NamespacedName{Namespace: namespace, Name: name}]
	if !ok {
		return nil, apierrors.NewNotFound(corev1.Resource(resourceSecrets), name)
	}
	return secret, nil
}

// checkAccess tries, by the code that clusterpass itself has for it, whether each ClusterProfile
// gives access to its member, and looks at how long the credential lasts. It calls no member and
// shows no content of a Secret.
func checkAccess(ctx context.Context, e *examination) findings {
	var f findings
	if !e.haveProfiles(&f) {
		return f
	}
	secrets, err := e.listSecrets(ctx)
	if err != nil {
		f.unknown("Secrets with the kubeconfigs of members", err)
		return f
	}
	pool, err := member.NewPool(member.Options{Config: e.Access, Secrets: secrets})
	if err != nil {
		f.fail("--access-config", "Correct the file: kubectl clusterpass doctor --access-config FILE", "%v", err)
		return f
	}
	for i := range e.hub.profiles.value.items {
		profile := &e.hub.profiles.value.items[i]
		client, err := pool.For(ctx, profile)
		if err != nil {
			f.fail(aboutProfile(profile), e.mendAccess(ctx, profile), "%v", err)
			continue
		}
		if refused := refusedAccess(profile); refused != nil {
			f.fail(aboutProfile(profile), e.mendCredential(profile), "%s", inWords(refused))
			continue
		}
		f.credential(aboutProfile(profile), e.mendCredential(profile), client.Validity(), e.now())
	}
	return f
}

// refusedAccess returns the condition by which the controller manager says that the member refuses
// the access that there is, nil if it does not say so.
func refusedAccess(profile *inventoryv1alpha1.ClusterProfile) *metav1.Condition {
	joined := meta.FindStatusCondition(profile.Status.Conditions, conditionJoined)
	if joined == nil || joined.Status != metav1.ConditionFalse || joined.Reason == reasonNoAccess {
		return nil
	}
	return joined
}

// haveProfiles returns whether there are ClusterProfiles to look at, and reports where not.
func (e *examination) haveProfiles(f *findings) bool {
	found := e.hub.profiles
	if found.err != nil {
		f.unknown("ClusterProfiles", found.err)
		return false
	}
	for _, name := range found.value.missing {
		f.fail("ClusterProfile "+name.String(), "List the existing ones: kubectl get clusterprofiles -A", "it does not exist")
	}
	if found.value.partial != "" {
		f.skip("ClusterProfiles", "you may not list those of all namespaces: only %s is checked", found.value.partial)
	}
	if len(found.value.items) == 0 && len(found.value.missing) == 0 {
		f.ok("", "there is no ClusterProfile")
	}
	return len(found.value.items) > 0
}

func aboutProfile(profile *inventoryv1alpha1.ClusterProfile) string {
	return "ClusterProfile " + profile.Namespace + "/" + profile.Name
}

func (e *examination) listSecrets(ctx context.Context) (memberSecrets, error) {
	secrets := memberSecrets{}
	for _, namespace := range member.SecretNamespaces(e.Access) {
		list, err := e.Kubernetes.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: member.KubeconfigLabel + "=true"})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			secrets[types.NamespacedName{Namespace: namespace, Name: list.Items[i].Name}] = &list.Items[i]
		}
	}
	return secrets, nil
}

// mendAccess says what to do about a ClusterProfile that gives no access.
func (e *examination) mendAccess(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) string {
	name, ok := member.SecretFor(e.Access, profile)
	switch {
	case !ok && e.byPlugin(profile):
		return "Correct the server in its status, or what --access-config allows (servers, bindings): " +
			fmt.Sprintf("kubectl -n %s edit clusterprofile %s --subresource=status", profile.Namespace, profile.Name)
	case !ok:
		return "Have its status.accessProviders name the Secret with the member's kubeconfig, as artifacts/examples/clusterprofile.yaml does: " +
			fmt.Sprintf("kubectl -n %s edit clusterprofile %s --subresource=status", profile.Namespace, profile.Name)
	}
	secret, err := e.Metadata.Resource(secretsResource).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	switch {
	case err != nil:
		return "Put the member's kubeconfig into the Secret, as artifacts/examples/member-kubeconfig.yaml does: kubectl -n " + name.Namespace +
			" get secret " + name.Name
	case secret.Labels[member.KubeconfigLabel] != "true":
		return fmt.Sprintf("If it is this cluster's, label it: kubectl -n %s label secret %s %s=true --overwrite",
			name.Namespace, name.Name, member.KubeconfigLabel)
	case secret.Annotations[member.ClusterProfileAnnotation] != profile.Namespace+"/"+profile.Name:
		return fmt.Sprintf("If it is this cluster's, annotate it: kubectl -n %s annotate secret %s %s=%s/%s --overwrite",
			name.Namespace, name.Name, member.ClusterProfileAnnotation, profile.Namespace, profile.Name)
	}
	return e.mendCredential(profile)
}

// byPlugin returns whether profile is for a credential plugin of the access configuration.
func (e *examination) byPlugin(profile *inventoryv1alpha1.ClusterProfile) bool {
	return slices.ContainsFunc(e.Access.Providers, func(p configv1alpha1.AccessProvider) bool {
		return p.Exec != nil &&
			slices.ContainsFunc(profile.Status.AccessProviders, func(entry inventoryv1alpha1.AccessProvider) bool { return entry.Name == p.Name })
	})
}

// mendCredential says how the credential of clusterpass for a member is replaced.
func (e *examination) mendCredential(profile *inventoryv1alpha1.ClusterProfile) string {
	name, ok := member.SecretFor(e.Access, profile)
	if !ok {
		return "See why the credential plugin gives no valid credential: kubectl -n " + SystemNamespace + " logs deployment/" + serverName
	}
	if profile.Annotations[member.MemberUIDAnnotation] != "" {
		return member.MendCredential(profile)
	}
	return fmt.Sprintf("Put a new kubeconfig of the member's ServiceAccount clusterpass into its Secret: "+
		"kubectl -n %s create secret generic %s --from-file=kubeconfig=FILE --dry-run=client -o yaml | "+
		"kubectl apply --server-side --force-conflicts -f -", name.Namespace, name.Name)
}

// credential reports how long a credential lasts, by what it says itself.
func (f *findings) credential(about, mend string, validity member.Validity, now time.Time) {
	end := validity.NotAfter
	if end.IsZero() {
		f.ok(about, "it gives access; its credential does not say when it expires")
		return
	}
	date := end.UTC().Format(time.RFC3339)
	left := end.Sub(now)
	switch {
	case left <= 0:
		f.fail(about, mend, "clusterpass's own credential for the member has expired at %s", date)
	case !validity.NotBefore.IsZero() && left < end.Sub(validity.NotBefore)/latePart:
		f.warn(about, mend, "clusterpass's own credential for the member expires at %s and has not been renewed", date)
	default:
		f.ok(about, "it gives access, with a credential that is valid until %s", date)
	}
}

// conditionJoined says that a member has been taken into the fleet. Upstream reserves no name for
// it.
const conditionJoined = "Joined"

// checkHealth reports what the ClusterProfiles' conditions say of the members.
func checkHealth(_ context.Context, e *examination) findings {
	var f findings
	if !e.haveProfiles(&f) {
		return f
	}
	for i := range e.hub.profiles.value.items {
		f.health(&e.hub.profiles.value.items[i])
	}
	return f
}

func (f *findings) health(profile *inventoryv1alpha1.ClusterProfile) {
	about := aboutProfile(profile)
	mend := fmt.Sprintf("Look the message up in docs/troubleshooting.md (Error messages), and read the conditions again: "+
		"kubectl -n %s describe clusterprofile %s", profile.Namespace, profile.Name)
	if joined := meta.FindStatusCondition(profile.Status.Conditions, conditionJoined); joined != nil && joined.Status != metav1.ConditionTrue {
		f.fail(about, mend, "%s", inWords(joined))
	}
	healthy := meta.FindStatusCondition(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	switch {
	case healthy == nil:
		f.warn(about, "Check that its manager's controllers run: kubectl -n "+SystemNamespace+" logs deployment/"+managerName,
			"its health is unknown: its manager %q has not set the condition %s",
			profile.Spec.ClusterManager.Name, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	case healthy.Status == metav1.ConditionTrue:
		f.ok(about, "healthy")
	case healthy.Status == metav1.ConditionFalse:
		f.fail(about, mend, "%s", inWords(healthy))
	default:
		f.warn(about, mend, "%s", inWords(healthy))
	}
}

// inWords says what a condition says.
func inWords(condition *metav1.Condition) string {
	return fmt.Sprintf("%s is %s since %s: %s: %s", condition.Type, condition.Status,
		condition.LastTransitionTime.UTC().Format(time.RFC3339), condition.Reason, condition.Message)
}
