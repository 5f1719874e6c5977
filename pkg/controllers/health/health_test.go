// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/answers"
)

// fakeMember answers as the API server of a member would; a test changes how.
type fakeMember struct {
	*httptest.Server

	mu      sync.Mutex
	answers map[string]http.HandlerFunc
	calls   map[string]int
}

func newFakeMember(t *testing.T) *fakeMember {
	t.Helper()
	m := &fakeMember{calls: map[string]int{}, answers: map[string]http.HandlerFunc{
		"/readyz":             plain(http.StatusOK, "ok"),
		"/version":            plain(http.StatusOK, `{"gitVersion": "v1.37.2"}`),
		"/api/v1/nodes":       nodes(),
		clusterPropertiesPath: plain(http.StatusNotFound, ""),
		reviewsPath:           reviewed(true),
		systemPath:            plain(http.StatusForbidden, "no"),
	}}
	m.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.calls[r.URL.Path]++
		answer := m.answers[r.URL.Path]
		m.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *fakeMember) answer(path string, with http.HandlerFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers[path] = with
}

func (m *fakeMember) called(path string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[path]
}

// Get implements member.Secrets with the kubeconfig of the one member.
func (m *fakeMember) Get(namespace, name string) (*corev1.Secret, error) {
	kubeconfig, err := kubeconfigOf(m.Server)
	return secretOf(namespace, name, "bravelion", kubeconfig), err
}

// Of implements member.Secrets: every profile names its Secret.
func (*fakeMember) Of(string, string) ([]*corev1.Secret, error) { return nil, nil }

func kubeconfigOf(server *httptest.Server) ([]byte, error) {
	config := clientcmdapi.NewConfig()
	config.Clusters["m"] = &clientcmdapi.Cluster{
		Server:                   server.URL,
		CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}
	config.AuthInfos["m"] = &clientcmdapi.AuthInfo{Token: "a-token"}
	config.Contexts["m"] = &clientcmdapi.Context{Cluster: "m", AuthInfo: "m"}
	config.CurrentContext = "m"
	return clientcmd.Write(*config)
}

// secretOf returns the Secret with the kubeconfig of a profile in namespace fleet.
func secretOf(namespace, name, profile string, kubeconfig []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels:      map[string]string{member.KubeconfigLabel: "true"},
			Annotations: map[string]string{member.ClusterProfileAnnotation: "fleet/" + profile},
		},
		Data: map[string][]byte{"kubeconfig": kubeconfig},
	}
}

const (
	reviewsPath = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
	systemPath  = "/api/v1/namespaces/kube-system"
)

// reviewed answers a review of our rights.
func reviewed(allowed bool) http.HandlerFunc {
	return answers.Send("application/json", fmt.Appendf(nil,
		`{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "status": {"allowed": %v}}`, allowed))
}

func plain(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = fmt.Fprint(w, body)
	}
}

// nodes answers with nodes that have these labels.
func nodes(labels ...map[string]string) http.HandlerFunc {
	list := metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"}}
	for i, l := range labels {
		list.Items = append(list.Items, metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", i), Labels: l},
		})
	}
	body := runtime.EncodeOrDie(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), &list)
	return answers.Send(runtime.ContentTypeProtobuf, []byte(body))
}

func testProfile() *inventoryv1alpha1.ClusterProfile {
	return &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Namespace: "fleet", Name: "bravelion", UID: "an-uid", ResourceVersion: "1"},
		Spec:       inventoryv1alpha1.ClusterProfileSpec{ClusterManager: inventoryv1alpha1.ClusterManager{Name: "clusterpass"}},
		Status: inventoryv1alpha1.ClusterProfileStatus{AccessProviders: []inventoryv1alpha1.AccessProvider{{
			Name: "kubeconfig-secretreader",
			Cluster: clientcmdv1.Cluster{Extensions: []clientcmdv1.NamedExtension{{
				Name:      "client.authentication.k8s.io/exec",
				Extension: runtime.RawExtension{Raw: []byte(`{"name": "member", "key": "kubeconfig", "namespace": "clusterpass-system"}`)},
			}}},
		}}},
	}
}

// bench is a controller for one profile, whose probes a test makes by hand.
type bench struct {
	*Controller
	member *fakeMember
	client *fake.Clientset
	clock  *testingclock.FakeClock
	events *events.FakeRecorder
	writes int
	stored *inventoryv1alpha1.ClusterProfile
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{member: newFakeMember(t), client: fake.NewSimpleClientset(), stored: testProfile()}
	b.clock, b.events = testingclock.NewFakeClock(time.Now()), events.NewFakeRecorder(100)
	b.client.PrependReactor("patch", "clusterprofiles", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch, ok := action.(clienttesting.PatchAction)
		require.True(t, ok)
		assert.Equal(t, "status", patch.GetSubresource())
		before, err := json.Marshal(b.stored)
		require.NoError(t, err)
		after, err := strategicpatch.StrategicMergePatch(before, patch.GetPatch(), inventoryv1alpha1.ClusterProfile{})
		require.NoError(t, err)
		b.stored = &inventoryv1alpha1.ClusterProfile{}
		require.NoError(t, json.Unmarshal(after, b.stored))
		b.writes++
		return true, b.stored, nil
	})
	b.Controller = newController(t, b.member, b.client, Options{Recorder: b.events, FactsPeriod: 5 * time.Minute, Clock: b.clock})
	return b
}

// newController returns a controller that writes to a hub, and finds members by secrets.
func newController(tb testing.TB, secrets member.Secrets, client *fake.Clientset, o Options) *Controller {
	tb.Helper()
	pool, err := member.NewPool(member.Options{Config: member.DefaultConfig(), Secrets: secrets})
	require.NoError(tb, err)
	o.Managers, o.Client, o.Members, o.Workers = []string{"clusterpass"}, client, pool, 1
	o.OnChange = func(func(cache.ObjectName)) error { return nil }
	o.Profiles = inventoryinformers.NewSharedInformerFactory(client, 0).Apis().V1alpha1().ClusterProfiles()
	o.ProbePeriod, o.WriteInterval = 15*time.Second, 30*time.Second
	controller, err := New(o)
	require.NoError(tb, err)
	return controller
}

// probes has the member probed some times, a period apart, and returns the condition that is stored
// then.
func (b *bench) probes(ctx context.Context, times int) metav1.Condition {
	for range times {
		b.clock.Step(b.ProbePeriod)
		b.sync(ctx, b.stored)
	}
	if condition := health(b.stored); condition != nil {
		return *condition
	}
	return metav1.Condition{}
}

// A probe tells what is wrong.
func TestController_Probe(t *testing.T) {
	readyz := func(code int, body string) func(*bench) {
		return func(b *bench) { b.member.answer("/readyz", plain(code, body)) }
	}
	for name, test := range map[string]struct {
		change func(b *bench)
		status metav1.ConditionStatus
		reason string
		words  string
	}{
		"nothing": {func(*bench) {}, "True", ReasonReady, "ready"},
		"two checks fail": {
			readyz(500, "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/x failed\nreadyz check failed"),
			"False", ReasonNotReady, "etcd, poststarthook/x",
		},
		"our credential":       {readyz(401, "Unauthorized"), "False", ReasonUnauthorized, ""},
		"our rights":           {readyz(403, "no"), "False", ReasonForbidden, ""},
		"something else there": {readyz(404, "no such page"), "False", ReasonUnexpectedAnswer, ""},
		"nothing listens":      {func(b *bench) { b.member.Close() }, "False", ReasonConnectionRefused, "connection refused"},
		"no way to it":         {func(b *bench) { b.stored.Status.AccessProviders = nil }, "Unknown", ReasonNoAccess, "access provider"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			test.change(b)
			got := b.probes(t.Context(), failuresToReport)
			assert.Equal(t, test.status, got.Status)
			assert.Equal(t, test.reason, got.Reason)
			assert.Contains(t, got.Message, test.words)
		})
	}
}

// A member that allows nothing is not joined.
func TestController_Joined(t *testing.T) {
	joined := func(b *bench) metav1.Condition {
		return *meta.FindStatusCondition(b.stored.Status.Conditions, ConditionJoined)
	}
	b := newBench(t)
	b.stored.Annotations = map[string]string{member.MemberUIDAnnotation: "uid"}
	b.stored.Labels = map[string]string{v1alpha2.LabelInventoryMemberID: "uid"}
	b.probes(t.Context(), 1)
	require.Equal(t, metav1.ConditionTrue, joined(b).Status)

	b.member.answer(reviewsPath, plain(http.StatusInternalServerError, ""))
	b.probes(t.Context(), 2*rightsEvery)
	require.Equal(t, metav1.ConditionTrue, joined(b).Status, "what is not known is not told")

	b.member.answer(reviewsPath, reviewed(false))
	began := b.clock.Now()
	healthy := b.probes(t.Context(), 2*rightsEvery)
	require.Equal(t, metav1.ConditionTrue, healthy.Status, "it is healthy")
	require.Equal(t, metav1.ConditionFalse, joined(b).Status)
	assert.True(t, joined(b).LastTransitionTime.After(began), "Joined has changed at %s, not before %s", joined(b).LastTransitionTime, began)
	assert.True(t, healthy.LastTransitionTime.Time.Before(began), "the health has not changed")
	assert.Equal(t, ReasonRightsLost, joined(b).Reason)
	assert.Contains(t, joined(b).Message, "Run: kubectl clusterpass join bravelion --namespace=fleet --credential-only")

	lost := joined(b).LastTransitionTime
	b.member.answer(reviewsPath, reviewed(true))
	b.probes(t.Context(), 2)
	assert.Equal(t, metav1.ConditionTrue, joined(b).Status)
	assert.True(t, joined(b).LastTransitionTime.After(lost.Time), "Joined has changed at %s, after %s", joined(b).LastTransitionTime, lost)
	assert.Equal(t, 3, b.writes)
	require.Len(t, b.events.Events, 3)
	for _, want := range []string{"Normal ControlPlaneHealthy", "Warning NotJoined RightsLost", "Normal Joined Accepted"} {
		assert.Contains(t, <-b.events.Events, want)
	}
}

// A healthy member is written once.
func TestController_HealthyMember(t *testing.T) {
	b := newBench(t)
	b.probes(t.Context(), 100)
	assert.Equal(t, 1, b.writes)
	assert.Equal(t, 100, b.member.called("/readyz"))
	assert.Equal(t, 5, b.member.called("/version"), "facts are read every 5 minutes")
	assert.Equal(t, "v1.37.2", b.stored.Status.Version.Kubernetes)
	assert.Len(t, b.stored.Status.AccessProviders, 1)
}

// One failure is no outage, and two are.
func TestController_Failures(t *testing.T) {
	b := newBench(t)
	require.Equal(t, metav1.ConditionTrue, b.probes(t.Context(), 3).Status)
	b.member.answer("/readyz", plain(500, "[-]etcd failed"))
	began := b.clock.Now().Add(b.ProbePeriod)
	require.Equal(t, metav1.ConditionTrue, b.probes(t.Context(), 1).Status)

	down := b.probes(t.Context(), 1)
	assert.Equal(t, metav1.ConditionFalse, down.Status)
	assert.True(t, down.LastTransitionTime.Time.Equal(began.Truncate(time.Second)),
		"the transition is the first failed probe: %s, not %s", began, down.LastTransitionTime)
	b.member.answer("/readyz", plain(200, "ok"))
	b.probes(t.Context(), 2)
	assert.Equal(t, metav1.ConditionTrue, health(b.stored).Status)
	assert.Equal(t, 3, b.writes)
	assert.Len(t, b.events.Events, 3)
}

// Writes to a ClusterProfile are apart.
func TestController_WritePeriod(t *testing.T) {
	b := newBench(t)
	var last time.Time
	before := 0
	for i := range 60 {
		b.member.answer("/readyz", plain([]int{200, 500}[i/3%2], "[-]etcd failed"))
		b.probes(t.Context(), 1)
		if b.writes > before {
			assert.GreaterOrEqual(t, b.clock.Since(last), b.WriteInterval)
			before, last = b.writes, b.clock.Now()
		}
	}
	assert.Greater(t, b.writes, 10)
}

// A new kind of failure is looked into soon.
func TestController_NewFailure(t *testing.T) {
	b := newBench(t)
	b.member.answer("/readyz", plain(500, "[-]etcd failed"))
	assert.LessOrEqual(t, b.sync(t.Context(), b.stored), b.ProbePeriod/reprobe)
	b.sync(t.Context(), b.stored)
	b.member.answer("/readyz", plain(403, ""))
	assert.LessOrEqual(t, b.sync(t.Context(), b.stored), b.ProbePeriod/reprobe)
}

func TestController_IsOurs(t *testing.T) {
	b := newBench(t)
	assert.True(t, b.isOurs(b.stored))
	b.stored.Spec.ClusterManager.Name = "another"
	assert.False(t, b.isOurs(b.stored))
}

// Each profile has a moment of its own in the period.
func TestController_UntilNext(t *testing.T) {
	b := newBench(t)
	slots := map[time.Duration]int{}
	for i := range 1000 {
		slots[b.untilNext(types.UID(fmt.Sprintf("uid-%d", i)))/time.Second]++
	}
	for second := range time.Duration(15) {
		assert.InDelta(t, 1000.0/15, slots[second], 40, "probes in second %d of the period", second)
	}
}

// Properties are of the member's nodes and ClusterProperties.
func TestController_Properties(t *testing.T) {
	const clusterSet, region, gpu = "cluster.clusterset.k8s.io", "topology.kubernetes.io/region", "nvidia.com/gpu.product"
	b := newBench(t)
	b.stored.Status.Properties = []inventoryv1alpha1.Property{{Name: "somebody.example.com", Value: "else"}}
	b.member.answer("/api/v1/nodes", nodes(
		map[string]string{region: "eu", gpu: "L4", "other": "label"}, map[string]string{region: "eu", gpu: "H100"}))
	b.member.answer(clusterPropertiesPath, plain(http.StatusOK,
		`{"items": [{"metadata": {"name": "cluster.clusterset.k8s.io"}, "spec": {"value": "prod-1"}}]}`))
	b.probes(t.Context(), 1)
	assert.Equal(t, map[string]string{"somebody.example.com": "else", clusterSet: "prod-1", region: "eu", gpu: "H100,L4"},
		propertiesOf(b.stored))

	b.member.answer("/api/v1/nodes", nodes(map[string]string{region: "eu", gpu: "L4"}))
	b.member.answer(clusterPropertiesPath, plain(http.StatusOK, `{"items": []}`))
	b.probes(t.Context(), 21)
	assert.Equal(t, map[string]string{"somebody.example.com": "else", region: "eu", gpu: "L4"}, propertiesOf(b.stored))
	assert.Equal(t, 2, b.writes)

	b.member.answer("/api/v1/nodes", plain(http.StatusForbidden, ""))
	b.probes(t.Context(), 21)
	assert.Equal(t, 2, b.writes, "what can't be read stays")
}

func propertiesOf(profile *inventoryv1alpha1.ClusterProfile) map[string]string {
	all := map[string]string{}
	for _, property := range profile.Status.Properties {
		all[property.Name] = property.Value
	}
	return all
}

// Values of many nodes fit into a property.
func TestJoin(t *testing.T) {
	var values []string
	for i := range 1000 {
		values = append(values, fmt.Sprintf("zone-%03d", i))
	}
	assert.Equal(t, strings.Join(values[:113], ","), join(values)) // the next one ends at byte 1025
	values[0] = strings.Repeat("a", maxPropertyValue)
	assert.Equal(t, values[0], join(values))
	values[0] += "a"
	assert.Empty(t, join(values))
}
