// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	ours "clusterpass.dev/pkg/generated/clientset/versioned/fake"
	listers "clusterpass.dev/pkg/generated/listers/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member"
)

// setsHub is a hub with sets, each of which selects bravelion and smartfish. The server answers as
// long as mayAsk says so, and asked has who has asked it, in this order.
type setsHub struct {
	*hub
	there  cache.Indexer
	asked  []cache.ObjectName
	mayAsk func(set cache.ObjectName) bool
}

func newSets(t *testing.T) *setsHub {
	t.Helper()
	s := &setsHub{hub: newHub(t), there: newIndexer(t)}
	s.sets = listers.NewClusterCredentialSetLister(s.there)
	s.Recorder = &events.FakeRecorder{}
	s.setQueue = workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName](),
		workqueue.TypedRateLimitingQueueConfig[cache.ObjectName]{Clock: s.clock})
	t.Cleanup(s.setQueue.ShutDown)
	kube, ok := s.Hub.(*fake.Clientset)
	require.True(t, ok)
	kube.PrependReactor("create", "selfsubjectaccessreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &authorizationv1.SelfSubjectAccessReview{Status: authorizationv1.SubjectAccessReviewStatus{Allowed: true}}, nil
	})
	s.secrets = s.newSecrets(t.Context())
	client := ours.NewClientset()
	client.PrependReactor("create", "clustercredentialsets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		create := action.(clienttesting.CreateActionImpl)
		name := cache.NewObjectName(create.Namespace, create.Name)
		s.asked = append(s.asked, name)
		if !s.mayAsk(name) {
			return true, nil, apierrors.NewForbidden(v1alpha1.Resource("clustercredentialsets"), name.Name, errors.New("its author lacks: create"))
		}
		answer := create.Object.(*multiclusterv1alpha1.AuthTokenRequest).DeepCopy()
		expires := metav1.NewTime(s.clock.Now().Add(time.Hour))
		answer.Status = multiclusterv1alpha1.AuthTokenRequestStatus{
			Token: "token", ExpirationTimestamp: &expires, GrantName: "grant",
			Cluster: &multiclusterv1alpha1.Cluster{Server: "https://member.example.com"},
		}
		return true, answer, nil
	})
	s.Client = client
	return s
}

// add adds a set, whose Secrets are in its namespace, and returns the keys of its credentials.
func (s *setsHub) add(t *testing.T, namespace, name string) []credentialKey {
	t.Helper()
	set := setOf(all)
	set.Namespace, set.Name, set.UID = namespace, name, types.UID(namespace+"-"+name)
	set.Spec.Secret = v1alpha1.CredentialSecret{Name: name + "-{{.cluster.name}}", Format: v1alpha1.SecretFormatToken}
	require.NoError(t, s.there.Add(set))
	require.Empty(t, s.limits.reserve(set, 2))
	require.NoError(t, s.grantsThere.Add(&v1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "grant"}}))
	require.Eventually(t, func() bool {
		_, err := s.secrets.Start(t.Context(), namespace)
		return err == nil
	}, time.Minute, time.Millisecond)
	return []credentialKey{{cache.MetaObjectToName(set), "bravelion"}, {cache.MetaObjectToName(set), "smartfish"}}
}

// work sees to all credentials of keys, and to those that the queue has got by itself, one after
// another as a single worker does. It returns who has asked for tokens, in this order.
func (s *setsHub) work(t *testing.T, keys ...credentialKey) []cache.ObjectName {
	t.Helper()
	s.asked = nil
	for _, key := range keys {
		s.credentialQueue.Add(key)
	}
	for s.credentialQueue.Len() > 0 {
		require.True(t, loop.Next(t.Context(), s.credentialQueue, "credential", s.syncCredential))
	}
	return s.asked
}

// The hub renews its own credentials for the members all the time.
func TestController_AccessChanged(t *testing.T) {
	s := newSets(t)
	keys := s.add(t, "team", "viewers")
	set, err := s.sets.ClusterCredentialSets("team").Get("viewers")
	require.NoError(t, err)
	bravelion := cache.NewObjectName("fleet", "bravelion")
	// No Secret is written, whose event would enqueue others.
	s.setState(&wanted{set: set, profile: newProfile(bravelion.Namespace, bravelion.Name)}, state{generation: set.Generation})
	enqueued := func(change func(cache.ObjectName)) (credentials, sets int) {
		change(bravelion)
		credentials, sets = s.credentialQueue.Len(), s.setQueue.Len()
		for range sets {
			name, _ := s.setQueue.Get()
			s.setQueue.Done(name)
		}
		for range credentials {
			key, _ := s.credentialQueue.Get()
			assert.Equal(t, keys[0], key)
			s.credentialQueue.Done(key)
		}
		return credentials, sets
	}
	for _, test := range []struct {
		what    string
		marks   marks
		change  func(cache.ObjectName)
		setsToo int
	}{
		{"a renewed credential", marks{}, s.accessChanged, 0},
		{"a member that begins to leave", marks{cached: &member.Leaving{}}, s.accessChanged, 1},
		{"one that is leaving", marks{cached: &member.Leaving{}}, s.accessChanged, 0},
		{"one that stays after all", marks{}, s.accessChanged, 1},
		{"a changed profile", marks{}, s.memberChanged, 1},
		{"a changed profile of a member that is leaving", marks{cached: &member.Leaving{}}, s.memberChanged, 1},
		{"the same member, which stays", marks{}, s.accessChanged, 1},
	} {
		s.Members = test.marks
		credentials, sets := enqueued(test.change)
		assert.Equal(t, 1, credentials, test.what)
		assert.Equal(t, test.setsToo, sets, test.what)
	}
}

// Refused authors are asked for ever less often.
func TestController_RefusedAuthorBackoff(t *testing.T) {
	const day = 24 * time.Hour
	s := newSets(t)
	s.mayAsk = func(cache.ObjectName) bool { return false }
	key := s.add(t, "tenant", "hopeless")[0]
	passed, last := time.Duration(0), time.Duration(0)
	for passed < day {
		again, err := s.syncCredential(t.Context(), key)
		require.NoError(t, err, "a refusal is no failure, which is tried again within a minute")
		require.GreaterOrEqual(t, again, last)
		require.Positive(t, again)
		passed, last = passed+again, again
		s.clock.Step(again)
	}
	assert.Equal(t, maxRefusedBackoff, last)
	assert.Less(t, len(s.asked), 64, "of a credential in a day")

	s.mayAsk = func(cache.ObjectName) bool { return true }
	_, err := s.syncCredential(t.Context(), key)
	require.NoError(t, err)
	assert.True(t, s.knows(mustGet(t, s, key), key.cluster))
	assert.Zero(t, s.refusals.NumRequeues(key), "who gets its token is tried soon again when it is refused the next time")
}

func mustGet(t *testing.T, s *setsHub, key credentialKey) *v1alpha1.ClusterCredentialSet {
	t.Helper()
	set, err := s.sets.ClusterCredentialSets(key.set.Namespace).Get(key.set.Name)
	require.NoError(t, err)
	return set
}

// Renewals come before refused authors.
func TestController_RefusedAuthorsLast(t *testing.T) {
	s := newSets(t)
	s.mayAsk = func(set cache.ObjectName) bool { return set.Namespace != "tenant" }
	var hopeless, large []credentialKey
	for i := range 50 {
		hopeless = append(hopeless, s.add(t, "tenant", fmt.Sprintf("hopeless-%d", i))...)
	}
	for i := range 10 {
		large = append(large, s.add(t, "large", fmt.Sprintf("set-%d", i))...)
	}
	small := s.add(t, "small", "set")
	assert.Len(t, s.work(t, append(append(append([]credentialKey{}, hopeless...), large...), small...)...), 122, "each is asked for once")

	// All are due again, and the hopeless ones are the first in the queue.
	s.clock.Step(time.Hour)
	asked := s.work(t, append(append(append([]credentialKey{}, hopeless...), large...), small...)...)
	renewed, refused, lastOfSmall := 0, 0, 0
	for i, set := range asked {
		if set.Namespace == "tenant" {
			refused++
			continue
		}
		renewed++
		if set.Namespace == "small" {
			lastOfSmall = i
		}
		if renewed == len(large)+len(small) {
			break
		}
	}
	require.Equal(t, len(large)+len(small), renewed)
	assert.LessOrEqual(t, lastOfSmall, 5, "a namespace with one set does not wait for one with ten")
	assert.LessOrEqual(t, refused, (renewed+refused)/failingShare+1, "all renewals come before the hopeless, but for their share")

	// Whoever mends the rights and touches the set does not wait for the backoff.
	s.mayAsk = func(cache.ObjectName) bool { return true }
	set := mustGet(t, s, hopeless[0]).DeepCopy()
	set.Generation++
	old := mustGet(t, s, hopeless[0])
	require.NoError(t, s.there.Update(set))
	s.setUpdated(old, set)
	assert.Equal(t, []cache.ObjectName{hopeless[0].set, hopeless[0].set}, s.work(t), "both of its clusters, at once")
}

func TestIsRefused(t *testing.T) {
	status := func(code int32, reason metav1.StatusReason, cause metav1.CauseType, retryAfter int32) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason, Details: &metav1.StatusDetails{
			Causes: []metav1.StatusCause{{Type: cause}}, RetryAfterSeconds: retryAfter,
		}}}
	}
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"the hub forbids it":                       {apierrors.NewForbidden(v1alpha1.Resource("clustercredentialsets"), "gpu", nil), true},
		"the request is invalid":                   {status(422, metav1.StatusReasonInvalid, "", 0), true},
		"the member does not allow it":             {status(503, metav1.StatusReasonServiceUnavailable, member.CauseForbidden, 0), true},
		"a policy of the member denies it":         {status(409, member.ReasonPolicyDenied, member.CausePolicy, 0), true},
		"a quota of the member may be raised":      {status(409, member.ReasonQuotaExceeded, member.CauseQuota, 30), false},
		"the member may answer again":              {status(504, metav1.StatusReasonTimeout, member.CauseUnreachable, 0), false},
		"the hub asks to come back a little later": {status(403, metav1.StatusReasonForbidden, "", 1), false},
		"a Secret that somebody else has made":     {apierrors.NewConflict(corev1.Resource("secrets"), "set", errors.New("another's")), false},
		"a refusal that another error came with": {fmt.Errorf("writing: %w",
			apierrors.NewForbidden(v1alpha1.Resource("clustercredentialsets"), "set", nil)), true},
		"a cache that is behind what is stored":      {errBehind, false},
		"an error that is no answer says nothing":    {errors.New("connection refused"), false},
		"the set is a newer one than in the cache":   {status(409, metav1.StatusReasonConflict, "", 0), false},
		"the hub's credential is not accepted there": {status(503, metav1.StatusReasonServiceUnavailable, member.CauseUnauthorized, 0), false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, isRefused(test.err)) })
	}
}

func TestController_GrantChanged(t *testing.T) {
	s := newSets(t)
	key := s.add(t, "tenant", "gpu")[0]
	g := &v1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{
		Namespace: "tenant", Name: "given-up", Labels: map[string]string{v1alpha1.LabelCredentialSetUID: "tenant-gpu"},
	}}
	g.Spec.ClusterProfile.Name = key.cluster
	s.grantChanged(g)
	assert.Equal(t, 0, s.credentialQueue.Len(), "a grant that a failed request has taken back asks for no other: that has its backoff")
	now := metav1.Now()
	g.Status.ExpirationCeiling = &now
	s.grantChanged(g)
	assert.Equal(t, 1, s.credentialQueue.Len(), "one that has had tokens, and is gone, does")
	g.Labels, s.sets = nil, nil
	assert.NotPanics(t, func() { s.grantChanged(g) }, "for one of no set, no set is looked for")
}

func TestLanes_Pop(t *testing.T) {
	key := func(namespace, set string, cluster int) credentialKey {
		return credentialKey{cache.NewObjectName(namespace, set), strconv.Itoa(cluster)}
	}
	hopeless := map[credentialKey]bool{}
	l := &lanes{failing: func(key credentialKey) bool { return hopeless[key] }, first: newTurns(), later: newTurns()}
	// A tenant's sets can get nothing, another one has as many clusters in one set, and beside these
	// there are two sets with a cluster each.
	for i := range 100 {
		for set := range 5 {
			key := key("tenant", fmt.Sprint("hopeless", set), i)
			hopeless[key] = true
			l.Push(key)
		}
		l.Push(key("large", "all", i))
	}
	l.Push(key("large", "one", 0))
	l.Push(key("small", "one", 0))
	assert.Equal(t, 602, l.Len())

	at := map[credentialKey]int{}
	failing := 0
	for i := range 602 {
		popped := l.Pop()
		_, twice := at[popped]
		assert.False(t, twice, "%v comes twice", popped)
		at[popped] = i
		if i < 80 && hopeless[popped] {
			failing++
		}
	}
	assert.Zero(t, l.Len())
	assert.Less(t, at[key("small", "one", 0)], 3, "a namespace waits for no other")
	assert.Less(t, at[key("large", "one", 0)], 6, "a set waits for no other of its namespace")
	assert.Equal(t, 80/failingShare, failing, "those that failed come last, but have their share")
	assert.Less(t, at[key("large", "all", 98)], 120)
}
