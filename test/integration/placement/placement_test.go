// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/cli"
	"clusterpass.dev/test/testenv"
)

var changes = flag.Int("changes", 40, "how often a cluster comes first or leaves while slices are watched")

func TestPlacement(t *testing.T) {
	f := startFleet(t)
	f.namespace(t, "team", "")
	f.namespace(t, other, "shared")
	for _, name := range []string{"bravelion", "smartfish", "whale"} {
		require.NoError(t, f.cluster(t.Context(), "team", name, map[string]string{"kind": "fast"}))
	}
	require.NoError(t, f.cluster(t.Context(), "team", "slow", nil))
	t.Run("the best clusters are selected, best first", func(t *testing.T) { f.testRanks(t) })
	t.Run("every choice can be explained", func(t *testing.T) { f.testExplain(t) })
	t.Run("what means the same writes nothing", func(t *testing.T) { f.testHeartbeats(t) })
	t.Run("a cluster that is down is selected by nobody", func(t *testing.T) { f.testHealth(t) })
	t.Run("what others write into a decision is put right", func(t *testing.T) { f.testRepair(t) })
	t.Run("a decision that is another's is left alone", func(t *testing.T) { f.testNameTaken(t) })
	t.Run("clusters of other namespaces are for who may list them", func(t *testing.T) { f.testClusterSets(t) })
	t.Run("a restart goes on from what was decided", func(t *testing.T) { f.testRestart(t) })
	t.Run("decisions go with their placement", func(t *testing.T) { f.testDeletion(t) })
}

func (f *fleet) testRanks(t *testing.T) {
	t.Helper()
	hour := time.Now().Add(time.Hour)
	f.score(t, "team", "bravelion", 10, hour)
	f.score(t, "team", "smartfish", 30, hour)
	testenv.Create(t, f.ours.Placements("team"), byDisk("disk", 2))
	f.decides(t, "team", "disk", "team/smartfish", "team/bravelion")
	f.score(t, "team", "bravelion", 40, hour)
	f.decides(t, "team", "disk", "team/bravelion", "team/smartfish")
	// What nobody knows is worse than anything known.
	f.score(t, "team", "smartfish", -100, hour)
	f.decides(t, "team", "disk", "team/bravelion", "team/smartfish")
	f.score(t, "team", "whale", 20, hour)
	f.decides(t, "team", "disk", "team/bravelion", "team/whale")
	f.score(t, "team", "whale", 20, time.Now().Add(3*time.Second))
	f.decides(t, "team", "disk", "team/bravelion", "team/smartfish")

	placement := f.until(t, "team", "disk", v1alpha1.PlacementReasonAllDecisionsScheduled)
	assert.Equal(t, int32(2), placement.Status.NumberOfSelectedClusters)
	assert.Equal(t, int32(3), placement.Status.NumberOfEligibleClusters)
	assert.Equal(t, int32(4), placement.Status.NumberOfCandidateClusters)
	all := testenv.Must[[]inventoryv1alpha1.PlacementDecision](t)(f.slices(t.Context(), "team", "disk"))
	require.Len(t, all, 1)
	assert.Equal(t, "clusterpass", all[0].SchedulerName)
	assert.True(t, metav1.IsControlledBy(&all[0], placement))
	assert.Equal(t, "0", all[0].Labels[inventoryv1alpha1.DecisionIndexLabel])
}

// explain returns the lines that the plugin prints of a placement as the hub's admin, and its
// warnings.
func (f *fleet) explain(t *testing.T, namespace, placement string) (lines []string, warnings string) {
	t.Helper()
	var out, errOut strings.Builder
	cmd := cli.NewCommand(genericiooptions.IOStreams{Out: &out, ErrOut: &errOut})
	cmd.SetArgs([]string{"explain", "placement", placement, "--kubeconfig=" + f.hub.Kubeconfig(), "--namespace=" + namespace})
	require.NoError(t, cmd.ExecuteContext(t.Context()))
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines, errOut.String()
}

func (f *fleet) testExplain(t *testing.T) {
	t.Helper()
	lines, warnings := f.explain(t, "team", "disk")
	require.Len(t, lines, 5, lines)
	assert.Equal(t, "CLUSTER SELECTED TOTAL WHY", lines[0])
	assert.Contains(t, lines[1], "team/bravelion 1 40 ")
	assert.Contains(t, lines[2], "team/smartfish 2 -100 ")
	assert.Contains(t, lines[3], "team/whale no 0 ")
	assert.Contains(t, lines[4], "team/slow no - Predicate")
	assert.Empty(t, warnings)

	f.namespace(t, "empty", "")
	testenv.Create(t, f.ours.Placements("empty"), byDisk("nothing", 1))
	f.until(t, "empty", "nothing", v1alpha1.PlacementReasonNoClusterMatched)
	lines, warnings = f.explain(t, "empty", "nothing")
	assert.Equal(t, []string{"Placement empty/nothing has no candidate: namespace empty has no ClusterProfile, " +
		"and without spec.clusterSets a Placement chooses from its own namespace alone"}, lines)
	assert.Empty(t, warnings)
}

// testHeartbeats renews what is known. What means something comes after, in the same watch: all of
// it was seen by then.
func (f *fleet) testHeartbeats(t *testing.T) {
	t.Helper()
	passes := f.counter(t, "clusterpass_placement_passes_total")
	writes := f.counter(t, "clusterpass_placement_decision_writes_total")
	before := testenv.Must[[]inventoryv1alpha1.PlacementDecision](t)(f.slices(t.Context(), "team", "disk"))
	placement := testenv.Get(t, f.ours.Placements("team"), "disk")
	for i := range 10 {
		f.score(t, "team", "bravelion", 40, time.Now().Add(time.Hour+time.Duration(i)*time.Minute))
		f.observe(t, "bravelion", metav1.NewTime(time.Now().Add(time.Duration(i)*time.Second)))
	}
	after := testenv.Must[[]inventoryv1alpha1.PlacementDecision](t)(f.slices(t.Context(), "team", "disk"))
	assert.Equal(t, before[0].ResourceVersion, after[0].ResourceVersion)
	assert.Equal(t, placement.ResourceVersion, testenv.Get(t, f.ours.Placements("team"), "disk").ResourceVersion)

	f.label(t, "bravelion", "none")
	f.decides(t, "team", "disk", "team/smartfish", "team/whale")
	// One change with a meaning is one pass, or a few where a write is retried: far from the twenty of
	// the heartbeats.
	assert.InDelta(t, passes+2, f.counter(t, "clusterpass_placement_passes_total"), 1)
	assert.InDelta(t, writes+2, f.counter(t, "clusterpass_placement_decision_writes_total"), 1)
	f.label(t, "bravelion", "fast")
	f.decides(t, "team", "disk", "team/bravelion", "team/smartfish")
}

func (f *fleet) testHealth(t *testing.T) {
	t.Helper()
	set := func(status metav1.ConditionStatus) {
		require.NoError(t, f.health(t.Context(), testenv.Get(t, f.inventory.ClusterProfiles("team"), "bravelion"), status))
	}
	set(metav1.ConditionFalse)
	f.decides(t, "team", "disk", "team/smartfish", "team/whale")
	set(metav1.ConditionTrue)
	f.decides(t, "team", "disk", "team/bravelion", "team/smartfish")
}

func (f *fleet) testRepair(t *testing.T) {
	t.Helper()
	decisions := f.inventory.PlacementDecisions("team")
	testenv.Patch(t, decisions, "disk-decision-1", `{"decisions":[{"clusterProfileRef":{"name":"slow"}}]}`)
	f.decides(t, "team", "disk", "team/bravelion", "team/smartfish")
	require.NoError(t, decisions.Delete(t.Context(), "disk-decision-1", metav1.DeleteOptions{}))
	f.decides(t, "team", "disk", "team/bravelion", "team/smartfish")

	// What says the same and is written by somebody else is not the controller manager's until it says
	// so.
	same := testenv.Patch(t, decisions, "disk-decision-1", `{"metadata":{"annotations":{"clusterpass.dev/decision-writer":"admin"}}}`)
	require.Equal(t, "admin", same.Annotations[v1alpha1.AnnotationDecisionWriter])
	require.Eventually(t, func() bool {
		slice, err := decisions.Get(t.Context(), "disk-decision-1", metav1.GetOptions{})
		return err == nil && slice.Annotations[v1alpha1.AnnotationDecisionWriter] == v1alpha1.ControllerManagerUser
	}, testenv.WaitTimeout, poll)
}

func (f *fleet) testNameTaken(t *testing.T) {
	t.Helper()
	decisions := f.inventory.PlacementDecisions("team")
	theirs := testenv.Create(t, decisions, &inventoryv1alpha1.PlacementDecision{
		ObjectMeta: metav1.ObjectMeta{Name: "taken-decision-1"}, Decisions: []inventoryv1alpha1.ClusterDecision{}, SchedulerName: "another",
	})
	testenv.Create(t, f.ours.Placements("team"), byDisk("taken", 1))
	f.until(t, "team", "taken", v1alpha1.PlacementReasonNameTaken)
	assert.Equal(t, theirs.ResourceVersion, testenv.Get(t, decisions, "taken-decision-1").ResourceVersion)
	require.NoError(t, decisions.Delete(t.Context(), "taken-decision-1", metav1.DeleteOptions{}))
	f.decides(t, "team", "taken", "team/bravelion")
}

func (f *fleet) testClusterSets(t *testing.T) {
	t.Helper()
	const author = "kim"
	require.NoError(t, f.cluster(t.Context(), other, "secret", map[string]string{"kind": "fast"}))
	client := testenv.Clusterpass(t, f.hub.User(t, author))
	f.bind(t, "team", "admin", author)
	placement := byDisk("shared", 1)
	placement.Spec.ClusterSets = []string{"shared"}
	placement = testenv.Create(t, client.ClusterpassV1alpha1().Placements("team"), placement)
	require.Equal(t, author, placement.Spec.Author.Username)
	f.until(t, "team", "shared", v1alpha1.PlacementReasonNoClusterSets)
	lines, _ := f.explain(t, "team", "shared")
	require.Len(t, lines, 2, lines)
	assert.Contains(t, lines[0], "its author may not list the ClusterProfiles of the namespaces in its cluster sets: "+other,
		"the hub's admin may, and the author may not")
	assert.Contains(t, lines[1], "The controller says: NoClusterSets: ")

	f.bind(t, other, "view", author)
	// The hub's authoriser has to know before it is asked again: the label of the namespace has it
	// asked.
	testenv.Eventually(t, func(ctx context.Context) error {
		for _, set := range []string{"null", `"shared"`} {
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{"multicluster.x-k8s.io/clusterset":%s}}}`, set)
			if _, err := f.admin.CoreV1().Namespaces().Patch(ctx, other, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				return err
			}
		}
		all, err := f.slices(ctx, "team", "shared")
		if err == nil && (len(all) == 0 || len(all[0].Decisions) == 0) {
			err = errors.New("nothing is selected yet")
		}
		return err
	})
	f.decides(t, "team", "shared", "other/secret")
}

func (f *fleet) bind(t *testing.T, namespace, role, user string) {
	t.Helper()
	testenv.Bind(t, f.admin, namespace, user+"-"+role, testenv.UserSubject(user), role)
}

func (f *fleet) testRestart(t *testing.T) {
	t.Helper()
	before := testenv.Must[[]inventoryv1alpha1.PlacementDecision](t)(f.slices(t.Context(), "team", "disk"))
	require.NoError(t, f.manager.Restart(t.Context()))
	testenv.Create(t, f.ours.Placements("team"), byDisk("after", 1))
	f.decides(t, "team", "after", "team/bravelion")
	after := testenv.Must[[]inventoryv1alpha1.PlacementDecision](t)(f.slices(t.Context(), "team", "disk"))
	assert.Equal(t, before[0].ResourceVersion, after[0].ResourceVersion)
}

func (f *fleet) testDeletion(t *testing.T) {
	t.Helper()
	require.NoError(t, f.ours.Placements("team").Delete(t.Context(), "disk", metav1.DeleteOptions{}))
	f.decides(t, "team", "disk")
	testenv.Eventually(t, func(ctx context.Context) error {
		all, err := f.slices(ctx, "team", "disk")
		if err == nil && len(all) > 0 {
			err = errors.New("the slices are still there")
		}
		return err
	})
}

// TestPlacement_NobodyMissesCluster has clusters come first and leave, in a decision of 250 in
// three slices, and watches.
func TestPlacement_NobodyMissesCluster(t *testing.T) {
	const clusters = 250
	f := startFleet(t)
	f.namespace(t, "many", "")
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(16)
	for i := range clusters {
		group.Go(func() error {
			return f.cluster(ctx, "many", fmt.Sprintf("m%03d", i), map[string]string{"kind": "many"})
		})
	}
	require.NoError(t, group.Wait())
	placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
	placement.Spec.PrioritizerPolicy.Mode = v1alpha1.PrioritizerPolicyExact // By name.
	testenv.Create(t, f.ours.Placements("many"), placement)
	f.selects(t, "many", "all", clusters)

	stop := f.watchForGaps(t, clusters)
	for i := range *changes {
		require.NoError(t, f.cluster(t.Context(), "many", "a-first", nil))
		f.selects(t, "many", "all", clusters+1)
		require.NoError(t, f.inventory.ClusterProfiles("many").Delete(t.Context(), "a-first", metav1.DeleteOptions{}))
		f.selects(t, "many", "all", clusters)
		if i%10 == 0 {
			t.Logf("%d of %d", i, *changes)
		}
	}
	events, gaps := stop()
	assert.Empty(t, gaps)
	t.Logf("%d events of slices in %d changes: no cluster was missing", events, 2**changes)
}

// selects waits until the status of a placement counts so many.
func (f *fleet) selects(t *testing.T, namespace, name string, count int) {
	t.Helper()
	testenv.Await(t, f.ours.Placements(namespace), name, func(placement *v1alpha1.Placement) error {
		selected := placement.Status.NumberOfSelectedClusters
		if int(selected) != count || !meta.IsStatusConditionTrue(placement.Status.Conditions, v1alpha1.PlacementSatisfied) {
			return fmt.Errorf("%d clusters are selected, want %d", selected, count)
		}
		return nil
	})
}

// watchForGaps returns a function that returns how many events there have been, and after which of
// them how many of the clusters that stay were in no slice.
func (f *fleet) watchForGaps(t *testing.T, stay int) func() (events int, gaps []string) {
	t.Helper()
	list := testenv.List(t, f.inventory.PlacementDecisions("many"), metav1.ListOptions{})
	there := map[string][]inventoryv1alpha1.ClusterDecision{}
	for i := range list.Items {
		there[list.Items[i].Name] = list.Items[i].Decisions
	}
	ctx, cancel := context.WithCancel(t.Context())
	watch, err := f.inventory.PlacementDecisions("many").Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	require.NoError(t, err)
	events, gaps, done := 0, []string{}, make(chan struct{})
	go func() {
		defer close(done)
		for event := range watch.ResultChan() {
			slice, ok := event.Object.(*inventoryv1alpha1.PlacementDecision)
			if !ok {
				return
			}
			events++
			there[slice.Name] = slice.Decisions
			if event.Type == "DELETED" {
				delete(there, slice.Name)
			}
			seen := sets.New[string]()
			for _, decisions := range there {
				for _, decision := range decisions {
					seen.Insert(decision.ClusterProfileRef.Name)
				}
			}
			if missing := stay - seen.Delete("a-first").Len(); missing > 0 {
				gaps = append(gaps, fmt.Sprintf("after event %d, %s of %s: %d clusters", events, event.Type, slice.Name, missing))
			}
		}
	}()
	return func() (int, []string) {
		cancel()
		<-done
		return events, gaps
	}
}
