// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package placement tests that Placements are decided upon, and their decisions written so that
// nobody misses a cluster.
package placement

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	clientv1alpha1 "clusterpass.dev/pkg/generated/clientset/versioned/typed/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

const (
	poll = 20 * time.Millisecond
	// other is a namespace with clusters that not everybody may see.
	other = "other"
)

// fleet is a hub with both programs, and with ClusterProfiles that lead nowhere: nobody asks the
// clusters anything.
type fleet struct {
	hub       *testenv.Cluster
	admin     kubernetes.Interface
	ours      clientv1alpha1.ClusterpassV1alpha1Interface
	inventory inventoryclient.ApisV1alpha1Interface
	manager   *testenv.ControllerManager
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{hub: testenv.Start(t, testenv.Options{Audit: true})}
	testenv.StartServer(t, f.hub, testenv.ServerConfig{})
	f.admin, f.ours, f.inventory = f.hub.Kube(t), f.hub.Clusterpass(t).ClusterpassV1alpha1(), f.hub.Inventory(t).ApisV1alpha1()
	f.manager = testenv.StartControllerManager(t, f.hub, testenv.ControllerManagerConfig{Args: []string{"--v=2"}})
	return f
}

// namespace makes one, with a cluster set if that is not empty.
func (f *fleet) namespace(t *testing.T, name, set string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if set != "" {
		namespace.Labels = map[string]string{"multicluster.x-k8s.io/clusterset": set}
	}
	testenv.Create(t, f.admin.CoreV1().Namespaces(), namespace)
}

// cluster makes a ClusterProfile that is healthy.
func (f *fleet) cluster(ctx context.Context, namespace, name string, labels map[string]string) error {
	profiles := f.inventory.ClusterProfiles(namespace)
	profile := testenv.NewProfile(name, "test")
	profile.Labels = labels
	profile, err := profiles.Create(ctx, profile, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return f.health(ctx, profile, metav1.ConditionTrue)
}

// health writes the condition that placements look at.
func (f *fleet) health(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, status metav1.ConditionStatus) error {
	meta.SetStatusCondition(&profile.Status.Conditions, metav1.Condition{
		Type: inventoryv1alpha1.ClusterConditionControlPlaneHealthy, Status: status, Reason: "Test",
	})
	_, err := f.inventory.ClusterProfiles(profile.Namespace).UpdateStatus(ctx, profile, metav1.UpdateOptions{})
	return err
}

// observe says that a cluster of team is still as it was.
func (f *fleet) observe(t *testing.T, name string, at metav1.Time) {
	t.Helper()
	profile := testenv.Get(t, f.inventory.ClusterProfiles("team"), name)
	profile.Status.Properties = []inventoryv1alpha1.Property{{Name: "region", Value: "north", LastObservedTime: at}}
	testenv.UpdateStatus(t, f.inventory.ClusterProfiles("team"), profile)
}

// label gives a cluster of team the label that placements look at.
func (f *fleet) label(t *testing.T, name, value string) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{"kind":%q}}}`, value)
	testenv.Patch(t, f.inventory.ClusterProfiles("team"), name, patch)
}

// counter returns the sum of a metric of the controller manager.
func (f *fleet) counter(t *testing.T, name string) float64 {
	t.Helper()
	metrics := testenv.Scrape(t, f.manager)
	require.Contains(t, metrics, name)
	var sum float64
	for _, sample := range metrics[name] {
		sum += float64(sample.Value)
	}
	return sum
}

// score makes or changes the ClusterScore of a cluster.
func (f *fleet) score(t *testing.T, namespace, cluster string, value int32, validUntil time.Time) {
	t.Helper()
	scores := f.ours.ClusterScores(namespace)
	score, err := scores.Get(t.Context(), cluster, metav1.GetOptions{})
	if err != nil {
		score = testenv.Create(t, scores, &v1alpha1.ClusterScore{
			ObjectMeta: metav1.ObjectMeta{Name: cluster}, Spec: v1alpha1.ClusterScoreSpec{ClusterProfileName: cluster, ResourceName: "speed"},
		})
	}
	score.Status.Scores = []v1alpha1.ClusterScoreItem{{Name: "disk", Value: ptr.To(value)}}
	score.Status.ValidUntil = &metav1.Time{Time: validUntil}
	testenv.UpdateStatus(t, scores, score)
}

// byDisk returns a placement of the best clusters by that score, all with a label.
func byDisk(name string, clusters int32) *v1alpha1.Placement {
	placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: name}}
	placement.Spec.NumberOfClusters = ptr.To(clusters)
	fast := v1alpha1.ClusterSelector{LabelSelector: metav1.LabelSelector{MatchLabels: map[string]string{"kind": "fast"}}}
	placement.Spec.Predicates = []v1alpha1.ClusterPredicate{{RequiredClusterSelector: fast}}
	addOn := &v1alpha1.AddOnScore{ResourceName: "speed", ScoreName: "disk"}
	coordinate := v1alpha1.ScoreCoordinate{Type: v1alpha1.ScoreCoordinateAddOn, AddOn: addOn}
	placement.Spec.PrioritizerPolicy.Mode = v1alpha1.PrioritizerPolicyExact
	placement.Spec.PrioritizerPolicy.Configurations = []v1alpha1.PrioritizerConfig{{ScoreCoordinate: coordinate}}
	return placement
}

// slices returns the PlacementDecisions of a placement, in their order.
func (f *fleet) slices(ctx context.Context, namespace, placement string) ([]inventoryv1alpha1.PlacementDecision, error) {
	ofPlacement := metav1.ListOptions{LabelSelector: inventoryv1alpha1.DecisionKeyLabel + "=" + placement}
	list, err := f.inventory.PlacementDecisions(namespace).List(ctx, ofPlacement)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b inventoryv1alpha1.PlacementDecision) int {
		return strings.Compare(a.Labels[inventoryv1alpha1.DecisionIndexLabel], b.Labels[inventoryv1alpha1.DecisionIndexLabel])
	})
	return list.Items, nil
}

// decides waits until a placement has selected clusters, NAMESPACE/NAME, in this order.
func (f *fleet) decides(t *testing.T, namespace, placement string, want ...string) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		all, err := f.slices(ctx, namespace, placement)
		if err != nil {
			return err
		}
		var names []string
		for i := range all {
			for _, decision := range all[i].Decisions {
				names = append(names, decision.ClusterProfileRef.Namespace+"/"+decision.ClusterProfileRef.Name)
			}
		}
		if !slices.Equal(names, want) {
			return fmt.Errorf("%v are selected, want %v", names, want)
		}
		return nil
	})
}

// until waits until the condition PlacementSatisfied of a placement has a reason.
func (f *fleet) until(t *testing.T, namespace, name, reason string) *v1alpha1.Placement {
	t.Helper()
	return testenv.Await(t, f.ours.Placements(namespace), name, func(placement *v1alpha1.Placement) error {
		is := meta.FindStatusCondition(placement.Status.Conditions, v1alpha1.PlacementSatisfied)
		if is == nil || is.Reason != reason || is.ObservedGeneration != placement.Generation {
			return fmt.Errorf("the conditions are %+v, want %s", placement.Status.Conditions, reason)
		}
		return nil
	})
}
