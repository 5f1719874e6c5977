// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/test/testenv"
)

func TestHealth(t *testing.T) {
	f := startFleet(t)
	t.Run("a profile says what its member is", func(t *testing.T) { f.testFacts(t) })
	t.Run("a healthy fleet causes no write", func(t *testing.T) { f.testIdle(t) })
	t.Run("a profile of another manager is left alone", func(t *testing.T) { f.testAnothers(t) })
	t.Run("a credential that the member does not accept is reported", func(t *testing.T) { f.testCredential(t) })
	t.Run("ten outages are reported ten times", func(t *testing.T) { f.testOutages(t) })
}

func (f *fleet) testFacts(t *testing.T) {
	t.Helper()
	profile := testenv.Get(t, f.profiles, "bravelion")
	assert.True(t, meta.IsStatusConditionTrue(profile.Status.Conditions, "Joined"))
	assert.NotEmpty(t, profile.Status.AccessProviders)

	// A node is an API object like any other. What is new on the member is seen when it is back.
	testenv.Create(t, f.bravelion.Kube(t).CoreV1().Nodes(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: "worker", Labels: map[string]string{"topology.kubernetes.io/region": "eu", "nvidia.com/gpu.product": "L4"},
	}})
	require.NoError(t, f.bravelion.Kill("kube-apiserver"))
	f.untilHealthy(t, "bravelion", metav1.ConditionFalse)
	require.NoError(t, f.bravelion.Restart(t.Context(), "kube-apiserver"))
	profile = testenv.Await(t, f.profiles, "bravelion", func(profile *inventoryv1alpha1.ClusterProfile) error {
		if len(profile.Status.Properties) != 2 {
			return fmt.Errorf("its properties are %v", profile.Status.Properties)
		}
		return nil
	})
	assert.Equal(t, "nvidia.com/gpu.product L4", profile.Status.Properties[0].Name+" "+profile.Status.Properties[0].Value)
	assert.Equal(t, "topology.kubernetes.io/region eu", profile.Status.Properties[1].Name+" "+profile.Status.Properties[1].Value)
	assert.NotEmpty(t, profile.Status.Version.Kubernetes)
}

var idle = flag.Duration("idle", 16*time.Second, "how long a healthy fleet is watched")

// testIdle has twenty profiles, and watches them while each is probed several times, and its score
// collected.
func (f *fleet) testIdle(t *testing.T) {
	t.Helper()
	for i := range 18 {
		name := fmt.Sprintf("idle-%02d", i)
		f.join(t, []*testenv.Cluster{f.bravelion, f.smartfish}[i%2], name)
		f.untilHealthy(t, name, metav1.ConditionTrue)
	}
	f.untilHealthy(t, "bravelion", metav1.ConditionTrue)
	f.untilIdentified(t)
	list := testenv.List(t, f.profiles, metav1.ListOptions{})
	require.Len(t, list.Items, 20)
	events, err := f.profiles.Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	require.NoError(t, err)
	defer events.Stop()

	before, until := f.probes(t), time.Now().Add(*idle)
	err = wait.PollUntilContextTimeout(t.Context(), poll, *idle+testenv.WaitTimeout, true, func(context.Context) (bool, error) {
		select {
		case event := <-events.ResultChan():
			return false, fmt.Errorf("%s: %v", event.Type, event.Object)
		default:
			return time.Now().After(until) && f.probes(t) >= before+20*8, nil
		}
	})
	require.NoError(t, err)
	t.Logf("20 profiles, %.0f probes, no write", f.probes(t)-before)
	f.scoresAreFresh(t)
}

// untilIdentified waits until each profile has the label with the UID of its member, which is
// written once.
func (f *fleet) untilIdentified(t *testing.T) {
	t.Helper()
	uids := sets.New[string]()
	for _, member := range []*testenv.Cluster{f.bravelion, f.smartfish} {
		uids.Insert(string(testenv.Get(t, member.Kube(t).CoreV1().Namespaces(), metav1.NamespaceSystem).UID))
	}
	testenv.Eventually(t, func(ctx context.Context) error {
		list, err := f.profiles.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range list.Items {
			if id := list.Items[i].Labels[v1alpha2.LabelInventoryMemberID]; !uids.Has(id) {
				return fmt.Errorf("%s has the id %q", list.Items[i].Name, id)
			}
		}
		return nil
	})
}

// scoresAreFresh makes sure that each of the twenty profiles has a score that is valid.
func (f *fleet) scoresAreFresh(t *testing.T) {
	t.Helper()
	scores := testenv.List(t, f.hub.Clusterpass(t).ClusterpassV1alpha1().ClusterScores("default"), metav1.ListOptions{})
	require.Len(t, scores.Items, 20)
	for i := range scores.Items {
		require.NotNil(t, scores.Items[i].Status.ValidUntil, scores.Items[i].Name)
		assert.True(t, scores.Items[i].Status.ValidUntil.After(time.Now()), scores.Items[i].Name)
	}
}

// probes returns how many probes have found a member ready so far.
func (f *fleet) probes(t *testing.T) float64 {
	t.Helper()
	for _, sample := range testenv.Scrape(t, f.manager)["clusterpass_member_probes_total"] {
		if sample.Metric["result"] == "Ready" {
			return float64(sample.Value)
		}
	}
	return 0
}

func (f *fleet) testAnothers(t *testing.T) {
	t.Helper()
	created := testenv.Create(t, f.profiles, testenv.NewProfile("anothers", "another"))
	ours := created.DeepCopy()
	ours.ObjectMeta = metav1.ObjectMeta{Name: "nowhere"}
	ours.Spec.ClusterManager.Name = "clusterpass"
	testenv.Create(t, f.profiles, ours)
	// Ours came later and has been seen to.
	f.untilHealthy(t, "nowhere", metav1.ConditionUnknown, "NoAccess")
	assert.Equal(t, created.ResourceVersion, testenv.Get(t, f.profiles, "anothers").ResourceVersion)
}

func (f *fleet) testCredential(t *testing.T) {
	t.Helper()
	accounts := f.smartfish.Kube(t).CoreV1().ServiceAccounts("clusterpass-system")
	require.NoError(t, accounts.Delete(t.Context(), "clusterpass", metav1.DeleteOptions{}))
	f.untilHealthy(t, "smartfish", metav1.ConditionFalse, "Unauthorized")
	f.join(t, f.smartfish, "smartfish")
	f.untilHealthy(t, "smartfish", metav1.ConditionTrue)
}

func (f *fleet) testOutages(t *testing.T) {
	t.Helper()
	for i := range 10 {
		killed := time.Now().Truncate(time.Second)
		require.NoError(t, f.bravelion.Kill("kube-apiserver"))
		// A probe that was under way on a busy machine may have timed out first.
		down := f.untilHealthy(t, "bravelion", metav1.ConditionFalse, "ConnectionRefused", "Unreachable")
		assert.WithinRange(t, down.LastTransitionTime.Time, killed, time.Now(), "outage %d", i)
		t.Logf("outage %d was told after %s", i, time.Since(killed).Round(100*time.Millisecond))

		back := time.Now().Truncate(time.Second)
		require.NoError(t, f.bravelion.Restart(t.Context(), "kube-apiserver"))
		up := f.untilHealthy(t, "bravelion", metav1.ConditionTrue)
		assert.WithinRange(t, up.LastTransitionTime.Time, back, time.Now(), "return %d", i)
	}
}
