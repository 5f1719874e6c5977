// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	testingclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryfake "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"
	inventorylisters "sigs.k8s.io/cluster-inventory-api/client/listers/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	ours "clusterpass.dev/pkg/generated/clientset/versioned/fake"
	listers "clusterpass.dev/pkg/generated/listers/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/words"
)

// marks says of every member whether it is leaving, by the cache and by what is stored.
type marks struct{ cached, stored *member.Leaving }

func (m marks) CachedLeaving(*inventoryv1alpha1.ClusterProfile) *member.Leaving { return m.cached }

func (m marks) StoredLeaving(context.Context, *inventoryv1alpha1.ClusterProfile) *member.Leaving {
	return m.stored
}

func (marks) AccessProviders(profile *inventoryv1alpha1.ClusterProfile) []inventoryv1alpha1.AccessProvider {
	return profile.Status.AccessProviders
}

// hub has ClusterProfiles bravelion and smartfish with the label cluster, and what is given of
// PlacementDecisions. Authors may do what allows says, and reviewed counts how often that was
// asked.
type hub struct {
	*Controller
	clock    *testingclock.FakeClock
	allows   func(what *authorizationv1.ResourceAttributes) bool
	reviewed int

	grantsThere, placementsThere cache.Indexer
}

// servedDecisions is the discovery of a hub with PlacementDecisions.
func servedDecisions() []*metav1.APIResourceList {
	return []*metav1.APIResourceList{{
		GroupVersion: inventoryv1alpha1.GroupVersion.String(), APIResources: []metav1.APIResource{{Name: "placementdecisions"}},
	}}
}

// signer is the username of the controller of Placements.
const signer = "signer"

func newHub(t *testing.T, decisionsGiven ...*inventoryv1alpha1.PlacementDecision) *hub {
	t.Helper()
	h := &hub{
		grantsThere: newIndexer(t), placementsThere: newIndexer(t),
		clock:  testingclock.NewFakeClock(issued),
		allows: func(*authorizationv1.ResourceAttributes) bool { return true },
	}
	var objects []runtime.Object
	for _, name := range []string{"bravelion", "smartfish"} {
		objects = append(objects, newProfile("fleet", name))
	}
	for _, slice := range decisionsGiven {
		objects = append(objects, slice)
	}
	client := inventoryfake.NewSimpleClientset(objects...)
	factory := inventoryinformers.NewSharedInformerFactory(client, 0)
	profiles, slices := factory.Apis().V1alpha1().ClusterProfiles(), factory.Apis().V1alpha1().PlacementDecisions()
	profiles.Informer()
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	t.Cleanup(func() {
		cancel()
		factory.Shutdown()
	})
	kube := fake.NewClientset()
	kube.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		h.reviewed++
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		review.Status.Allowed = h.allows(review.Spec.ResourceAttributes)
		return true, review, nil
	})
	h.Controller = &Controller{
		Options:    Options{Hub: kube, Inventory: client, Members: marks{}, Clock: h.clock, User: signer},
		profiles:   profiles.Lister(),
		grants:     listers.NewAuthTokenGrantLister(h.grantsThere),
		placements: listers.NewPlacementLister(h.placementsThere),
		reviews:    utilcache.NewLRUExpireCacheWithClock(maxReviews, h.clock),
		leaving:    sets.New[cache.ObjectName](),
		records:    map[types.UID]map[string]*record{},
		limits:     limiter{counts: map[string]map[types.UID]int{}},
	}
	h.addCredentialQueue()
	t.Cleanup(h.credentialQueue.ShutDown)
	kube.Resources = servedDecisions()
	h.decisions = newDecisions(ctx, kube.Discovery(), slices, cache.ResourceEventHandlerFuncs{})
	require.Eventually(t, func() bool {
		_, err := h.decisions.Start(ctx, metav1.NamespaceAll)
		return err == nil
	}, time.Minute, time.Millisecond)
	return h
}

func newProfile(namespace, name string) *inventoryv1alpha1.ClusterProfile {
	return &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, ResourceVersion: "1", Labels: map[string]string{"cluster": name},
	}}
}

// decided is a decision of team with the key gpu.
func decided(name, writer string, clusters ...string) *inventoryv1alpha1.PlacementDecision {
	slice := &inventoryv1alpha1.PlacementDecision{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: name, Labels: map[string]string{inventoryv1alpha1.DecisionKeyLabel: "gpu"},
		Annotations: map[string]string{v1alpha1.AnnotationDecisionWriter: writer},
	}}
	for _, cluster := range clusters {
		slice.Decisions = append(slice.Decisions, inventoryv1alpha1.ClusterDecision{
			ClusterProfileRef: inventoryv1alpha1.ClusterProfileReference{Namespace: "fleet", Name: cluster},
		})
	}
	return slice
}

// all selects all clusters.
var all = v1alpha1.ClusterSelection{LabelSelector: &metav1.LabelSelector{}}

func naming(names ...string) v1alpha1.ClusterSelection {
	return v1alpha1.ClusterSelection{Names: names}
}

// decidedBy selects by decisions with the key gpu.
func decidedBy(writers ...string) v1alpha1.ClusterSelection {
	return v1alpha1.ClusterSelection{DecisionKey: "gpu", DecisionWriters: writers}
}

// newIndexer returns a cache that has objects.
func newIndexer(t *testing.T, objects ...any) cache.Indexer {
	t.Helper()
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, object := range objects {
		require.NoError(t, indexer.Add(object))
	}
	return indexer
}

func setOf(clusters v1alpha1.ClusterSelection) *v1alpha1.ClusterCredentialSet {
	clusters.Namespace = "fleet"
	author := &v1alpha1.Author{Requester: v1alpha1.Requester{Username: "kim"}}
	return &v1alpha1.ClusterCredentialSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "set", UID: "set-1", Generation: 1},
		Spec:       v1alpha1.ClusterCredentialSetSpec{Clusters: clusters, Author: author},
	}
}

func TestController_Matching(t *testing.T) {
	h := newHub(t, decided("a", "controller", "bravelion"), decided("b", "mallory", "smartfish"),
		decided("c", "controller", "smartfish", "gone"))
	labelled := func(name string, clusters v1alpha1.ClusterSelection) v1alpha1.ClusterSelection {
		clusters.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"cluster": name}}
		return clusters
	}
	for name, test := range map[string]struct {
		clusters v1alpha1.ClusterSelection
		want     []string
	}{
		"labels":                       {labelled("bravelion", v1alpha1.ClusterSelection{}), []string{"bravelion"}},
		"no labels are all":            {all, []string{"bravelion", "smartfish"}},
		"names":                        {naming("smartfish", "gone"), []string{"smartfish"}},
		"decisions of those who count": {decidedBy("mallory"), []string{"smartfish"}},
		"of several of them":           {decidedBy("controller", "mallory"), []string{"bravelion", "smartfish"}},
		"of no known user":             {decidedBy("kim"), nil},
		"of another key":               {v1alpha1.ClusterSelection{DecisionKey: "cpu", DecisionWriters: []string{"controller"}}, nil},
		"of anybody, in an old set":    {decidedBy(), []string{"bravelion", "smartfish"}},
		"decisions that names bound": {
			v1alpha1.ClusterSelection{DecisionKey: "gpu", DecisionWriters: []string{"controller"}, Names: []string{"smartfish"}},
			[]string{"smartfish"},
		},
		"decisions that labels bound":     {labelled("bravelion", decidedBy("controller")), []string{"bravelion"}},
		"no more than they, by the bound": {labelled("bravelion", decidedBy("mallory")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			set := setOf(test.clusters)
			found, err := h.matching(t.Context(), set)
			require.NoError(t, err)
			assert.Equal(t, test.want, slices.Sorted(maps.Keys(found)))
			require.Empty(t, h.limits.reserve(set, len(found)))
			for _, cluster := range []string{"bravelion", "smartfish", "gone"} {
				one, err := h.selectCluster(t.Context(), set, cluster)
				require.NoError(t, err)
				assert.Equal(t, found[cluster], one, "alone: %s", cluster)
			}
		})
	}
}

// unlisted is a lister of ClusterProfiles of which none may be listed.
type unlisted struct {
	inventorylisters.ClusterProfileLister
	inventorylisters.ClusterProfileNamespaceLister
	t *testing.T
}

func (u unlisted) ClusterProfiles(namespace string) inventorylisters.ClusterProfileNamespaceLister {
	u.ClusterProfileNamespaceLister = u.ClusterProfileLister.ClusterProfiles(namespace)
	return u
}

func (u unlisted) List(labels.Selector) ([]*inventoryv1alpha1.ClusterProfile, error) {
	u.t.Error("all ClusterProfiles are listed")
	return nil, nil
}

// A set that does not select by labels alone looks only at the clusters that it names.
func TestController_MatchingByName(t *testing.T) {
	h := newHub(t, decided("a", "controller", "bravelion"))
	h.profiles = unlisted{ClusterProfileLister: h.profiles, t: t}
	byDecision := decidedBy("controller")
	bounded := byDecision
	bounded.LabelSelector = &metav1.LabelSelector{}
	for name, test := range map[string]struct {
		clusters v1alpha1.ClusterSelection
		want     []string
	}{
		"decisions":                   {byDecision, []string{"bravelion"}},
		"decisions that labels bound": {bounded, []string{"bravelion"}},
		"names":                       {naming("smartfish"), []string{"smartfish"}},
		"nothing, which selects none": {v1alpha1.ClusterSelection{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := h.matching(t.Context(), setOf(test.clusters))
			require.NoError(t, err)
			assert.Equal(t, test.want, slices.Sorted(maps.Keys(found)))
		})
	}
}

// What the author of a set may not see.
func TestController_SelectedForbidden(t *testing.T) {
	h := newHub(t)
	h.allows = func(*authorizationv1.ResourceAttributes) bool { return false }
	add := func(cluster string, uid, of types.UID) {
		g := &v1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: cluster,
			Labels: map[string]string{v1alpha1.LabelCredentialSetUID: string(of)}}}
		g.Spec.ClusterProfile = v1alpha1.GrantedClusterProfile{Namespace: "fleet", Name: cluster, UID: uid}
		require.NoError(t, h.grantsThere.Add(g))
	}
	selected := func(set *v1alpha1.ClusterCredentialSet) []string {
		is, err := h.selectClusters(t.Context(), set)
		require.NoError(t, err)
		assert.NotEmpty(t, is.refused)
		for _, cluster := range []string{"bravelion", "smartfish"} {
			one, err := h.selectCluster(t.Context(), set, cluster)
			require.NoError(t, err)
			assert.Equal(t, is.clusters[cluster], one, "alone: %s", cluster)
		}
		return slices.Sorted(maps.Keys(is.clusters))
	}
	add("smartfish", "", "another-set")
	add("bravelion", "another-profile", "set-1")
	assert.Empty(t, selected(setOf(all)), "there is nothing that the set has no grant for")
	add("bravelion", "", "set-1")
	assert.Equal(t, []string{"bravelion"}, selected(setOf(all)), "what it has a grant for stays")
	assert.Equal(t, []string{"bravelion"}, selected(setOf(naming("smartfish"))), "whatever it selects now")
	keepsNone := setOf(all)
	keepsNone.Spec.Consumer.MultiKueue = &v1alpha1.MultiKueueConsumer{ClusterSource: v1alpha1.MultiKueueClusterSourceClusterProfile}
	is, err := h.selectClusters(t.Context(), keepsNone)
	require.NoError(t, err)
	assert.Empty(t, is.clusters, "a set that keeps no credentials has nothing")
	assert.NotEmpty(t, is.refused)
}

func TestController_SyncCredentialNotSelected(t *testing.T) {
	h, set := newHub(t), setOf(naming("smartfish"))
	h.sets = listers.NewClusterCredentialSetLister(newIndexer(t, set))
	h.record(set, "bravelion").state = state{v1alpha1.CredentialStatus{ClusterProfile: "bravelion"}, set.Generation, time.Time{}}
	again, err := h.syncCredential(t.Context(), credentialKey{cache.MetaObjectToName(set), "bravelion"})
	require.NoError(t, err)
	assert.Zero(t, again)
	assert.False(t, h.knows(set, "bravelion"), "it is looked at when it is selected again: a renewal may have become due")
}

func TestController_AuthorRefused(t *testing.T) {
	byNames := naming("bravelion", "smartfish")
	decision := v1alpha1.ClusterSelection{DecisionKey: "gpu", Names: []string{"bravelion"}}
	refusal := func(h *hub, set *v1alpha1.ClusterCredentialSet) string {
		refused, err := h.authorRefused(t.Context(), set)
		require.NoError(t, err)
		return refused
	}
	may := func(verb, name string) func(*authorizationv1.ResourceAttributes) bool {
		return func(what *authorizationv1.ResourceAttributes) bool {
			return what.Group == "multicluster.x-k8s.io" && what.Resource == "clusterprofiles" && what.Namespace == "fleet" &&
				what.Verb == verb && (name == "" || what.Name == name)
		}
	}
	for name, test := range map[string]struct {
		clusters v1alpha1.ClusterSelection
		allows   func(*authorizationv1.ResourceAttributes) bool
		refused  string
		reviewed int
	}{
		"who may get all selects by names": {byNames, may("get", ""), "", 1},
		"who may get the first needs the second, too": {byNames, may("get", "bravelion"),
			`its author may not get in namespace "fleet": clusterprofiles.multicluster.x-k8s.io "smartfish"`, 3},
		"who may only list does not select by names": {byNames, may("list", ""), `its author may not get`, 2},
		"who may list selects by labels":             {all, may("list", ""), "", 1},
		"who may only get does not": {all, may("get", ""),
			`its author may not list in namespace "fleet": clusterprofiles.multicluster.x-k8s.io. Bind a Role`, 1},
		"nor by decisions, although names bound these": {decision, may("get", ""), `its author may not list`, 1},
		"who may list goes by decisions":               {decision, may("list", ""), "", 1},
		"who may do everything elsewhere selects none": {all,
			func(what *authorizationv1.ResourceAttributes) bool { return what.Namespace != "fleet" }, `its author may not list`, 1},
		"a Role for it is in the message, as a command": {all, may("get", ""),
			"kubectl -n fleet create role select-clusters --verb=list --resource=clusterprofiles.multicluster.x-k8s.io", 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.allows = test.allows
			for range 2 {
				refused := refusal(h, setOf(test.clusters))
				assert.Contains(t, refused, test.refused)
				assert.Equal(t, test.refused == "", refused == "")
			}
			assert.Equal(t, test.reviewed, h.reviewed, "an answer is used again")
		})
	}
	t.Run("a refusal is asked about again, and a new author at once", func(t *testing.T) {
		h, set := newHub(t), setOf(all)
		h.allows = may("get", "")
		require.NotEmpty(t, refusal(h, set))
		h.allows = may("list", "")
		h.clock.Step(refusedPeriod + time.Second)
		require.Empty(t, refusal(h, set))
		h.allows = may("get", "")
		set.Generation++
		require.NotEmpty(t, refusal(h, set))
	})
	t.Run("who names many has to be allowed to get all, which is one review", func(t *testing.T) {
		h := newHub(t)
		h.allows = func(what *authorizationv1.ResourceAttributes) bool { return what.Name != "" }
		refused := refusal(h, setOf(v1alpha1.ClusterSelection{Names: make([]string, maxNamed+1)}))
		assert.Contains(t, refused, "clusterprofiles.multicluster.x-k8s.io, all of them, because the set names more than 20")
		assert.Equal(t, 1, h.reviewed)
	})
	t.Run("nobody is nobody's author", func(t *testing.T) {
		set := setOf(all)
		set.Spec.Author = nil
		assert.NotEmpty(t, refusal(newHub(t), set))
	})
}

// A set that keeps no credentials leaves its consumer as it is while its author may not select.
func TestController_SyncSetRefused(t *testing.T) {
	h, set := newHub(t), setOf(all)
	h.allows = func(*authorizationv1.ResourceAttributes) bool { return false }
	set.Spec.Consumer.MultiKueue = &v1alpha1.MultiKueueConsumer{ClusterSource: v1alpha1.MultiKueueClusterSourceClusterProfile}
	set.Status.Selected, set.Status.Ready = 2, 2
	set.Status.Conditions = []metav1.Condition{{Type: v1alpha1.MultiKueueReady, Status: metav1.ConditionTrue,
		Reason: v1alpha1.MultiKueueReasonActive}}
	client := ours.NewClientset(set)
	h.sets, h.Client = listers.NewClusterCredentialSetLister(newIndexer(t, set)), client
	again, err := h.syncSet(t.Context(), cache.MetaObjectToName(set)) // Without a Keeper of Kueue's objects.
	require.NoError(t, err)
	assert.Equal(t, refusedPeriod, again, "nothing else says when the author may")
	stored, err := client.ClusterpassV1alpha1().ClusterCredentialSets(set.Namespace).Get(t.Context(), set.Name, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Zero(t, stored.Status.Selected)
	assert.Zero(t, stored.Status.Ready)
	assert.True(t, meta.IsStatusConditionTrue(stored.Status.Conditions, v1alpha1.MultiKueueReady))
	is := meta.FindStatusCondition(stored.Status.Conditions, v1alpha1.CredentialSetReady)
	require.NotNil(t, is)
	assert.Equal(t, metav1.ConditionFalse, is.Status)
	assert.Equal(t, v1alpha1.CredentialSetReasonAuthorForbidden, is.Reason)
}

func TestController_TellReady(t *testing.T) {
	ready := metav1.Condition{Type: v1alpha1.CredentialSetReady, Status: metav1.ConditionTrue, Reason: v1alpha1.CredentialSetReasonReady,
		Message: "each selected cluster has a credential"}
	byDecision := decidedBy("controller")
	updateStatus := func(set *v1alpha1.ClusterCredentialSet, selected *selection) *metav1.Condition {
		setReady(set, ready, selected)
		return meta.FindStatusCondition(set.Status.Conditions, v1alpha1.CredentialSetReady)
	}
	t.Run("the message omits what the author may not see", func(t *testing.T) {
		h := newHub(t, decided("b", "mallory", "smartfish"))
		h.allows = func(*authorizationv1.ResourceAttributes) bool { return false }
		selected, err := h.selectClusters(t.Context(), setOf(byDecision))
		require.NoError(t, err)
		selected.leaving = []string{"smartfish"}
		is := updateStatus(setOf(byDecision), selected)
		assert.Equal(t, v1alpha1.CredentialSetReasonAuthorForbidden, is.Reason)
		assert.Equal(t, selected.refused, is.Message)
	})
	t.Run("names that are no ClusterProfile's are in the message", func(t *testing.T) {
		h, set := newHub(t), setOf(naming("bravelion", "bravelino"))
		selected, err := h.selectClusters(t.Context(), set)
		require.NoError(t, err)
		is := updateStatus(set, selected)
		assert.Equal(t, "each selected cluster has a credential; there is no ClusterProfile bravelino", is.Message)
	})
	t.Run("of the credentials from before, the set goes on telling", func(t *testing.T) {
		set := setOf(byDecision)
		set.Status.Selected = 1
		is := updateStatus(set, &selection{refused: "its author may not list", reason: v1alpha1.CredentialSetReasonAuthorForbidden})
		assert.Equal(t, metav1.ConditionTrue, is.Status)
		assert.Equal(t, v1alpha1.CredentialSetReasonAuthorForbidden, is.Reason)
		assert.Equal(t, "only clusters that already have a credential are selected: its author may not list; "+
			"each selected cluster has a credential", is.Message)
	})
	t.Run("the message counts decisions that do not count, and names the writer of the first", func(t *testing.T) {
		h := newHub(t, decided("b", "mal\nlory"+strings.Repeat("y", 1000), "smartfish"), decided("a", "controller", "smartfish"),
			decided("c", "mallory", "smartfish"))
		selected, err := h.selectClusters(t.Context(), setOf(byDecision))
		require.NoError(t, err)
		is := updateStatus(setOf(byDecision), selected)
		assert.Contains(t, is.Message, "each selected cluster has a credential; PlacementDecisions with this decision-key that do not count")
		assert.Contains(t, is.Message, `: 2. The first is b: it is written by "mal`)
		assert.Contains(t, is.Message, `", whom spec.clusters.decisionWriters does not name`)
		assert.NotContains(t, is.Message, "\n")
		assert.LessOrEqual(t, len(is.Message), words.MaxMessage)
	})
}

func TestController_TellWriters(t *testing.T) {
	old := setOf(decidedBy())
	c := &Controller{Options: Options{User: "someone"}}
	c.setAnyDecisionWriter(old)
	is := meta.FindStatusCondition(old.Status.Conditions, v1alpha1.CredentialSetAnyDecisionWriter)
	require.NotNil(t, is, "a set of an earlier release says that anybody's decisions count")
	assert.Contains(t, is.Message, `kubectl -n team patch clustercredentialsets.clusterpass.dev set --type=merge `+
		`--patch='{"spec":{"clusters":{"decisionWriters":["someone"]}}}'`)
	old.Spec.Clusters.DecisionWriters = []string{"controller"}
	c.setAnyDecisionWriter(old)
	assert.Empty(t, old.Status.Conditions, "and no more once it names whose do")
	byLabels := setOf(all)
	c.setAnyDecisionWriter(byLabels)
	assert.Empty(t, byLabels.Status.Conditions)
}

func TestController_MaxCredentials(t *testing.T) {
	h := newHub(t)
	h.limits.max = 3
	named := func(namespace, name string) *v1alpha1.ClusterCredentialSet {
		set := setOf(all)
		set.Namespace, set.Name, set.UID = namespace, name, types.UID(namespace+name)
		return set
	}
	selected := func(set *v1alpha1.ClusterCredentialSet) (int, string) {
		is, err := h.selectClusters(t.Context(), set)
		require.NoError(t, err)
		one, err := h.selectCluster(t.Context(), set, "bravelion")
		require.NoError(t, err)
		assert.Equal(t, is.clusters["bravelion"], one, "alone")
		if is.refused != "" {
			assert.Equal(t, v1alpha1.CredentialSetReasonTooManyClusters, is.reason)
		}
		return len(is.clusters), is.refused
	}
	first, second := named("team", "first"), named("team", "second")
	n, refused := selected(first)
	assert.Equal(t, 2, n, refused)
	n, refused = selected(second)
	assert.Equal(t, 0, n, "the sets of a namespace have a limit together")
	assert.Contains(t, refused,
		"it selects 2 clusters and the other sets of the namespace 2, of at most 3 together (--max-credentials-per-namespace")
	n, refused = selected(first)
	assert.Equal(t, 2, n, "who was first stays: %s", refused)
	n, refused = selected(named("other", "third"))
	assert.Equal(t, 2, n, "another namespace has a limit of its own: %s", refused)
	h.limits.drop(first)
	n, refused = selected(second)
	assert.Equal(t, 2, n, "a set that is gone makes room: %s", refused)

	t.Run("a set that is not counted yet gets no new credential", func(t *testing.T) {
		one, err := h.selectCluster(t.Context(), named("team", "started"), "bravelion")
		require.NoError(t, err)
		assert.Nil(t, one)
	})
	t.Run("a set that keeps no credentials counts for none", func(t *testing.T) {
		keepsNone := named("team", "kueue")
		keepsNone.Spec.Consumer.MultiKueue = &v1alpha1.MultiKueueConsumer{ClusterSource: v1alpha1.MultiKueueClusterSourceClusterProfile}
		n, refused := selected(keepsNone)
		assert.Equal(t, 2, n, refused)
		h.limits.drop(second)
		n, refused = selected(first)
		assert.Equal(t, 2, n, refused)
	})
}
