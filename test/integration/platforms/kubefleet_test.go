// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package platforms

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/doctor"
	hubfacts "clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// reconciles is how often KubeFleet overwrites the profile.
const reconciles = 300

// KubeFleet replaces all access providers of its profiles. clusterpass goes by the Secret that
// names the profile, and writes nothing back.
func TestKubeFleet(t *testing.T) {
	for _, inventory := range []string{hubfacts.InventoryServed, hubfacts.InventoryExternal} {
		t.Run("--inventory="+inventory, func(t *testing.T) { testKubeFleet(t, startHub(t, inventory)) })
	}
}

func testKubeFleet(t *testing.T, h *hub) {
	t.Helper()
	of := &memberCluster{name: memberName, healthy: metav1.ConditionUnknown}
	require.NoError(t, h.kubeFleet.reconcile(t.Context(), of))
	profiles := h.Inventory(t).ApisV1alpha1().ClusterProfiles(fleetNamespace)
	events := testenv.Must[watch.Interface](t)(profiles.Watch(t.Context(), metav1.ListOptions{ResourceVersion: h.kubeFleet.written[0]}))
	defer events.Stop()

	require.ErrorContains(t, h.mint(t.Context()), "no Secret with label clusterpass.dev/member-kubeconfig=true names it")
	require.NoError(t, testenv.Adopt(t.Context(), h.Cluster, h.bravelion, fleetNamespace, memberName))
	testenv.Eventually(t, h.mint)
	of.healthy, of.collected, of.version = metav1.ConditionTrue, true, "v1.37.0"
	require.NoError(t, h.kubeFleet.reconcile(t.Context(), of), "an entry without a server, because the member has reported none")
	secret := h.expectConsumers(t)

	t.Run("tokens go on while KubeFleet overwrites the status", func(t *testing.T) { h.testOverwriting(t, of) })
	t.Run("credentials of sets are not renewed for it", func(t *testing.T) {
		assert.Equal(t, secret.ResourceVersion, h.consumerSecret(t).ResourceVersion)
	})
	t.Run("nothing else has written the profile", func(t *testing.T) { h.expectWrites(t, events) })
	t.Run("doctor finds no failure", func(t *testing.T) {
		clients := testenv.Must[*doctor.Clients](t)(doctor.NewClients(h.RESTConfig()))
		found := doctor.Run(t.Context(), clients, doctor.Options{
			ServerUser: doctor.DefaultServerUser, ManagerUser: doctor.DefaultManagerUser, Access: member.DefaultConfig(),
		})
		assert.NotEqual(t, doctor.Fail, doctor.Worst(found), "%+v", found)
	})
	t.Run("a profile that is made again leads to the same member, and the old one's grants end", func(t *testing.T) { h.testAgain(t, of) })
}

// expectConsumers has a Placement choose the adopted member by its score, and a set follow that. It
// returns the Secret of the set.
func (h *hub) expectConsumers(t *testing.T) *corev1.Secret {
	t.Helper()
	atLeast := resource.MustParse("4")
	placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: "roomy"}}
	placement.Spec.Predicates = []v1alpha1.ClusterPredicate{{RequiredClusterSelector: v1alpha1.ClusterSelector{
		ScoreSelector: v1alpha1.ClusterScoreSelector{Requirements: []v1alpha1.ScoreRequirement{{Name: "cpu", AtLeast: &atLeast}}},
	}}}
	placements := h.alice.ClusterpassV1alpha1().Placements(fleetNamespace)
	testenv.Create(t, placements, placement)
	testenv.Await(t, placements, "roomy", func(placement *v1alpha1.Placement) error {
		if !meta.IsStatusConditionTrue(placement.Status.Conditions, v1alpha1.PlacementSatisfied) {
			return fmt.Errorf("%+v", placement.Status.Conditions)
		}
		return nil
	})
	set := &v1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{Name: "roomy"}}
	set.Spec.Clusters.DecisionKey = "roomy"
	set.Spec.Template.ClusterRoles = []multiclusterv1alpha1.ClusterRole{{Name: "view"}}
	set.Spec.Secret = v1alpha1.CredentialSecret{Namespace: consumers, Name: "{{.cluster.name}}"}
	sets := h.alice.ClusterpassV1alpha1().ClusterCredentialSets(fleetNamespace)
	testenv.Create(t, sets, set)
	testenv.Await(t, sets, "roomy", func(set *v1alpha1.ClusterCredentialSet) error {
		if set.Status.Ready != 1 {
			return fmt.Errorf("%+v", set.Status.Conditions)
		}
		return nil
	})
	secret := h.consumerSecret(t)
	require.NoError(t, use(t.Context(), testenv.Must[*rest.Config](t)(clientcmd.RESTConfigFromKubeConfig(secret.Data["kubeconfig"]))))
	return secret
}

func (h *hub) consumerSecret(t *testing.T) *corev1.Secret {
	t.Helper()
	return testenv.Get(t, h.Kube(t).CoreV1().Secrets(consumers), memberName)
}

// testOverwriting has KubeFleet reconcile many times, with another status now and then, and alice
// request tokens in between.
func (h *hub) testOverwriting(t *testing.T, of *memberCluster) {
	t.Helper()
	of.authority = base64.StdEncoding.EncodeToString(h.bravelion.CA())
	for i := range reconciles {
		if i%10 == 0 {
			of.version = fmt.Sprintf("v1.37.%d", i/10)
			of.entryPoint = fmt.Sprintf("https://entry-%d.example.com:6443", i/100)
		}
		require.NoError(t, h.kubeFleet.reconcile(t.Context(), of))
		if i%5 == 0 {
			require.NoError(t, h.mint(t.Context()), "after reconcile %d", i)
		}
	}
	profile := testenv.Get(t, h.kubeFleet.profiles, memberName)
	require.Len(t, profile.Status.AccessProviders, 1)
	assert.Equal(t, kubeFleetManager, profile.Status.AccessProviders[0].Name)
	assert.Empty(t, profile.Annotations)
	for _, entry := range profile.ManagedFields {
		assert.Equal(t, kubeFleetManager, entry.Manager, "%s has written %s", entry.Manager, entry.FieldsV1)
	}
}

// expectWrites compares the versions of a profile that a watch has seen since the first one with
// those that KubeFleet has written. The controllers of clusterpass had the time for a write after
// the last: they have renewed the score.
func (h *hub) expectWrites(t *testing.T, events watch.Interface) {
	t.Helper()
	written, version := h.kubeFleet.written[1:], ""
	scores := h.alice.ClusterpassV1alpha1().ClusterScores(fleetNamespace)
	for range 2 {
		testenv.Await(t, scores, memberName+"-usage", func(score *v1alpha1.ClusterScore) error {
			if score.ResourceVersion == version {
				return errors.New("the score is not renewed")
			}
			version = score.ResourceVersion
			return nil
		})
	}
	var seen []string
	for len(seen) < len(written) {
		select {
		case event := <-events.ResultChan():
			profile, ok := event.Object.(*inventoryv1alpha1.ClusterProfile)
			require.True(t, ok, "%+v", event)
			seen = append(seen, profile.ResourceVersion)
		case <-time.After(time.Minute):
			require.FailNow(t, "writes are missing", "%d of %d", len(seen), len(written))
		}
	}
	assert.Equal(t, written, seen)
	assert.Equal(t, written[len(written)-1], testenv.Get(t, h.kubeFleet.profiles, memberName).ResourceVersion)
	t.Logf("%d writes of KubeFleet, and no other", len(written))
}

// testAgain has the MemberCluster leave KubeFleet and come back.
func (h *hub) testAgain(t *testing.T, of *memberCluster) {
	t.Helper()
	before := testenv.Get(t, h.kubeFleet.profiles, memberName)
	require.NoError(t, h.kubeFleet.profiles.Delete(t.Context(), memberName, metav1.DeleteOptions{}))
	require.NoError(t, h.kubeFleet.reconcile(t.Context(), of))
	after := testenv.Get(t, h.kubeFleet.profiles, memberName)
	require.NotEqual(t, before.UID, after.UID)
	grants := h.alice.ClusterpassV1alpha1().AuthTokenGrants(fleetNamespace)
	testenv.Eventually(t, h.mint)
	testenv.Eventually(t, func(ctx context.Context) error {
		all, err := grants.List(ctx, metav1.ListOptions{})
		for i := range all.Items {
			if uid := all.Items[i].Spec.ClusterProfile.UID; uid != after.UID {
				err = fmt.Errorf("grant %s is of the profile %s", all.Items[i].Name, uid)
			}
		}
		return err
	})
}
