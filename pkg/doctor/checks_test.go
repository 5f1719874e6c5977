// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	certutil "k8s.io/client-go/util/cert"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	clusterpassfake "clusterpass.dev/pkg/generated/clientset/versioned/fake"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
)

var (
	testTime  = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	testClock = clocktesting.NewFakePassiveClock(testTime)
)

// verdict is what the tests compare of the worst finding: its verdict and a part of its words.
type verdict struct {
	verdict       Verdict
	message, mend string
}

func (v verdict) expect(t *testing.T, found findings) {
	t.Helper()
	assert.Equal(t, v.verdict, Worst(found), "%+v", found)
	assert.True(t, slices.ContainsFunc(found, func(f Finding) bool {
		return f.Verdict == v.verdict && strings.Contains(f.Message, v.message) && strings.Contains(f.Mend, v.mend)
	}), "no %+v in %+v", v, found)
}

// service returns an APIService as it is registered, available.
func service(name string, change func(*apiregistrationv1.APIService)) *apiregistrationv1.APIService {
	s := &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       apiregistrationv1.APIServiceSpec{Service: &apiregistrationv1.ServiceReference{Namespace: SystemNamespace, Name: serverName}},
		Status: apiregistrationv1.APIServiceStatus{Conditions: []apiregistrationv1.APIServiceCondition{
			{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionTrue, Reason: "Passed"},
		}},
	}
	if change != nil {
		change(s)
	}
	return s
}

func unavailable(reason, message string) func(*apiregistrationv1.APIService) {
	return func(s *apiregistrationv1.APIService) {
		s.Status.Conditions[0] = apiregistrationv1.APIServiceCondition{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionFalse, Reason: reason, Message: message}
	}
}

func services(list ...*apiregistrationv1.APIService) map[string]*apiregistrationv1.APIService {
	byName := map[string]*apiregistrationv1.APIService{}
	for _, s := range list {
		byName[s.Name] = s
	}
	return byName
}

func TestAPIServices(t *testing.T) {
	lead := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: SystemNamespace, Name: serverName}}
	endpoints := func(ready ...bool) *discoveryv1.EndpointSlice {
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: SystemNamespace, Name: "a", Labels: map[string]string{discoveryv1.LabelServiceName: serverName}}}
		for _, r := range ready {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(r)}})
		}
		return slice
	}
	both := services(service(multiclusterService, nil), service(clusterpassService, nil))
	one := func(change func(*apiregistrationv1.APIService)) map[string]*apiregistrationv1.APIService {
		return services(service(multiclusterService, change), service(clusterpassService, nil))
	}
	tests := map[string]struct {
		services map[string]*apiregistrationv1.APIService
		mode     string
		objects  []runtime.Object
		want     verdict
	}{
		"both lead to a ready server":    {both, "", []runtime.Object{lead, endpoints(true, false)}, verdict{verdict: OK, message: "1 of 2 endpoints are ready"}},
		"neither is there":               {nil, hub.InventoryServed, nil, verdict{Fail, "it is missing", "kubectl apply -k artifacts/deploy/overlays/"}},
		"External takes one of them":     {services(service(clusterpassService, nil)), hub.InventoryExternal, []runtime.Object{lead, endpoints(true)}, verdict{verdict: OK}},
		"no Service":                     {both, "", nil, verdict{Fail, "the APIServices lead to it", "kubectl apply -k"}},
		"no endpoint is ready":           {both, "", []runtime.Object{lead, endpoints(false, false)}, verdict{Fail, "none of its 2 endpoints is ready", "logs deployment/clusterpass-apiserver"}},
		"the hub has no endpoint for it": {one(unavailable("MissingEndpoints", "endpoints have no addresses")), "", []runtime.Object{lead, endpoints(true)}, verdict{Fail, "MissingEndpoints", "logs deployment"}},
		"the hub does not trust it": {
			one(unavailable("FailedDiscoveryCheck", "tls: failed to verify certificate: x509: certificate signed by unknown authority")), "",
			[]runtime.Object{lead, endpoints(true)}, verdict{Fail, "x509", "trust the server's CA"},
		},
		"the hub can't reach it": {
			one(unavailable("FailedDiscoveryCheck", "dial tcp 10.0.0.7:443: i/o timeout")), "",
			[]runtime.Object{lead, endpoints(true)}, verdict{Fail, "i/o timeout", "NetworkPolicy"},
		},
		"the hub has not tried yet": {
			one(func(s *apiregistrationv1.APIService) { s.Status.Conditions = nil }), "",
			[]runtime.Object{lead, endpoints(true)}, verdict{Fail, "not tried it yet", "describe apiservice"},
		},
		"the label is left of the CRDs' own": {
			one(func(s *apiregistrationv1.APIService) { s.Labels = map[string]string{hub.AutomanagedLabel: "true"} }), "",
			[]runtime.Object{lead, endpoints(true)}, verdict{Fail, "kube-apiserver undoes every change", "kubectl delete apiservice " + multiclusterService},
		},
		"it is the CRDs' and should be ours": {
			one(func(s *apiregistrationv1.APIService) { s.Spec.Service = nil }), hub.InventoryServed,
			[]runtime.Object{lead, endpoints(true)}, verdict{Fail, "it leads to no Service", "kubectl apply -k"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := newExamination(&Clients{Kubernetes: fake.NewClientset(test.objects...)})
			e.hub.apiServices.value, e.Inventory = test.services, test.mode
			test.want.expect(t, examine(t, checkAPIServices, e))
		})
	}
}

func TestCRDs(t *testing.T) {
	local := service(multiclusterService, func(s *apiregistrationv1.APIService) { s.Spec.Service = nil })
	tests := map[string]struct {
		crds     []string
		unread   bool
		services map[string]*apiregistrationv1.APIService
		mode     string
		err      error
		want     verdict
	}{
		"none, and clusterpass serves the group": {services: services(service(multiclusterService, nil)), want: verdict{verdict: OK}},
		"one beside clusterpass": {
			crds: []string{"serviceimports.multicluster.x-k8s.io"}, services: services(service(multiclusterService, nil)),
			want: verdict{Fail, "not ready beside it", "kubectl delete crd serviceimports.multicluster.x-k8s.io"},
		},
		"ClusterProfile's, and the hub serves the group":                 {crds: []string{profilesCRD}, services: services(local, service(clusterpassService, nil)), want: verdict{verdict: OK, message: "External"}},
		"ClusterProfile's, and the hub has no APIService yet":            {crds: []string{profilesCRD}, services: services(service(clusterpassService, nil)), want: verdict{verdict: OK, message: "External"}},
		"ClusterProfile's, in a later version alone":                     {crds: []string{profilesCRD}, unread: true, services: services(service(clusterpassService, nil)), want: verdict{Fail, "does not serve", "cluster-inventory-api"}},
		"others, and the hub serves the group":                           {crds: []string{"serviceimports.multicluster.x-k8s.io"}, services: services(local), want: verdict{Fail, "it is missing", "cluster-inventory-api"}},
		"ClusterProfile's, and clusterpass is to serve the group":        {crds: []string{profilesCRD}, services: services(local), mode: hub.InventoryServed, want: verdict{Fail, "serves as a whole", "kubectl delete crd"}},
		"ClusterProfile's, and clusterpass is not ready for some reason": {crds: []string{profilesCRD}, services: services(local, service(clusterpassService, unavailable("MissingEndpoints", ""))), want: verdict{Warn, "not available", "--inventory=External"}},
		"they may not be listed":                                         {err: apierrors.NewForbidden(apiextensionsv1.Resource("customresourcedefinitions"), "", errors.New("no")), want: verdict{verdict: Skip, message: "you may not read this"}},
		"the hub does not answer":                                        {err: context.DeadlineExceeded, want: verdict{verdict: Fail, message: "does not answer"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := newExamination(nil)
			e.hub.apiServices.value, e.hub.crds, e.Inventory = test.services, observed[clashes]{clashes{test.crds, test.unread}, test.err}, test.mode
			test.want.expect(t, examine(t, checkCRDs, e))
		})
	}
}

func TestLeases(t *testing.T) {
	lease := func(holder string, age time.Duration) *coordinationv1.Lease {
		return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To(holder), LeaseDurationSeconds: ptr.To[int32](15), RenewTime: &metav1.MicroTime{Time: testTime.Add(-age)},
		}}
	}
	tests := map[string]struct {
		lease *coordinationv1.Lease
		want  verdict
	}{
		"held and renewed":            {lease("a", 2*time.Second), verdict{verdict: OK, message: "held by a, renewed 2s ago"}},
		"renewed by a clock ahead":    {lease("a", -2*time.Second), verdict{verdict: OK, message: "renewed 0s ago"}},
		"a successor may be about to": {lease("a", 20*time.Second), verdict{verdict: OK}},
		"held by one that is gone":    {lease("a", time.Minute), verdict{Fail, "a has not renewed it since 2026-05-01T11:59:00Z", "logs deployment/clusterpass-controller-manager"}},
		"given up":                    {lease("", time.Second), verdict{Fail, "it has no holder", "logs deployment"}},
		"never held":                  {&coordinationv1.Lease{}, verdict{verdict: Fail, message: "it has no holder"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var f findings
			f.lease("Lease", test.lease, testTime)
			test.want.expect(t, f)
		})
	}
	verdict{verdict: Fail, message: "there is none"}.expect(t, examine(t, checkManager, newExamination(&Clients{Kubernetes: fake.NewClientset()})))
}

func TestCredentials(t *testing.T) {
	const month = 30 * 24 * time.Hour
	tests := map[string]struct {
		from, until time.Duration
		want        verdict
	}{
		"good for long":             {-time.Hour, month, verdict{verdict: OK, message: "until 2026-05-31T12:00:00Z"}},
		"short, and in its prime":   {-10 * time.Minute, 50 * time.Minute, verdict{verdict: OK}},
		"not renewed at 80 %":       {-55 * time.Minute, 5 * time.Minute, verdict{Warn, "has not been renewed", "create secret generic"}},
		"expired":                   {-2 * month, -time.Hour, verdict{Fail, "has expired at 2026-05-01T11:00:00Z", "create secret generic"}},
		"good for who knows how":    {0, 0, verdict{verdict: OK, message: "does not say"}},
		"of unknown age, and good":  {0, time.Minute, verdict{verdict: OK}},
		"of unknown age, and ended": {0, -time.Minute, verdict{verdict: Fail}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var validity member.Validity
			if test.from != 0 {
				validity.NotBefore = testTime.Add(test.from)
			}
			if test.until != 0 {
				validity.NotAfter = testTime.Add(test.until)
			}
			var f findings
			f.credential("ClusterProfile", "create secret generic", validity, testTime)
			test.want.expect(t, f)
		})
	}
}

func TestHealth(t *testing.T) {
	condition := func(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(testTime)}
	}
	const healthy = inventoryv1alpha1.ClusterConditionControlPlaneHealthy
	tests := map[string]struct {
		conditions []metav1.Condition
		want       verdict
	}{
		"healthy":                 {[]metav1.Condition{condition(healthy, "True", "Ready", ""), condition("Joined", "True", "Joined", "")}, verdict{verdict: OK}},
		"down":                    {[]metav1.Condition{condition(healthy, "False", "Timeout", "no answer in time")}, verdict{Fail, "ControlPlaneHealthy is False since 2026-05-01T12:00:00Z: Timeout: no answer in time", "kubectl -n default describe clusterprofile bravelion"}},
		"nobody knows any more":   {[]metav1.Condition{condition(healthy, "Unknown", "Stale", "")}, verdict{verdict: Warn, message: "Unknown"}},
		"nobody has said":         {nil, verdict{Warn, `its manager "clusterpass" has not set`, "logs deployment/clusterpass-controller-manager"}},
		"healthy, and not joined": {[]metav1.Condition{condition(healthy, "True", "Ready", ""), condition("Joined", "False", "NoAccess", "")}, verdict{verdict: Fail, message: "Joined is False"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := newExamination(nil)
			profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "bravelion"}}
			profile.Spec.ClusterManager.Name, profile.Status.Conditions = "clusterpass", test.conditions
			e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{profile}
			test.want.expect(t, examine(t, checkHealth, e))
		})
	}
}

func TestHealth_NoProfiles(t *testing.T) {
	e := newExamination(nil)
	e.hub.profiles.value.missing = []types.NamespacedName{{Namespace: "default", Name: "nowhere"}}
	verdict{verdict: Fail, message: "it does not exist"}.expect(t, examine(t, checkHealth, e))

	e.hub.profiles.value = profiles{partial: "default"}
	verdict{verdict: OK, message: "there is no ClusterProfile"}.expect(t, examine(t, checkHealth, e))

	e.hub.profiles.err = apierrors.NewForbidden(inventoryv1alpha1.Resource("clusterprofiles"), "", errors.New("no"))
	verdict{verdict: Skip, message: "you may not read this"}.expect(t, examine(t, checkAccess, e))
}

func TestCheckAccess_Plugin(t *testing.T) {
	e := newExamination(&Clients{Kubernetes: fake.NewClientset()})
	e.Access = &configv1alpha1.AccessConfiguration{
		Limits: member.DefaultConfig().Limits,
		Providers: []configv1alpha1.AccessProvider{{Name: "plugin", Exec: &configv1alpha1.ExecProvider{
			APIVersion: "client.authentication.k8s.io/v1", Command: "/plugin", Servers: []string{"https://*.fleet"}, CertificateAuthorityData: testCA(t),
			Bindings: []configv1alpha1.ExecBinding{{Namespaces: []string{"fleet"}}},
		}}},
	}
	profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "bravelion"}}
	profile.Status.AccessProviders = []inventoryv1alpha1.AccessProvider{{Name: "plugin", Cluster: clientcmdv1.Cluster{Server: "https://a.fleet"}}}
	e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{profile}
	verdict{Fail, "binds the ClusterProfile to no server https://a.fleet", "bindings): kubectl -n default edit clusterprofile bravelion --subresource=status"}.
		expect(t, examine(t, checkAccess, e))
}

// testCA returns a CA in PEM.
func testCA(t *testing.T) []byte {
	t.Helper()
	ca, _, err := certutil.GenerateSelfSignedCertKey("ca", nil, nil)
	require.NoError(t, err)
	return ca
}

func TestGrants(t *testing.T) {
	grant := func(name string, age time.Duration, change func(*clusterpassv1alpha1.AuthTokenGrant)) *clusterpassv1alpha1.AuthTokenGrant {
		g := &clusterpassv1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, CreationTimestamp: metav1.NewTime(testTime.Add(-age))}}
		g.Spec.ClusterProfile = clusterpassv1alpha1.GrantedClusterProfile{Namespace: "default", Name: "bravelion"}
		g.Status.MemberUID = "member-1"
		change(g)
		return g
	}
	ready := func(status metav1.ConditionStatus, since time.Duration) func(*clusterpassv1alpha1.AuthTokenGrant) {
		return func(g *clusterpassv1alpha1.AuthTokenGrant) {
			g.Status.Conditions = []metav1.Condition{{Type: clusterpassv1alpha1.GrantReady, Status: status, Reason: "Refused", Message: "it does not allow", LastTransitionTime: metav1.NewTime(testTime.Add(-since))}}
		}
	}
	deleted := func(since time.Duration) func(*clusterpassv1alpha1.AuthTokenGrant) {
		return func(g *clusterpassv1alpha1.AuthTokenGrant) {
			g.DeletionTimestamp = ptr.To(metav1.NewTime(testTime.Add(-since)))
			g.Finalizers = []string{clusterpassv1alpha1.GrantFinalizer}
			g.Status.Conditions = []metav1.Condition{{Type: clusterpassv1alpha1.GrantRevoked, Status: metav1.ConditionFalse, Reason: "MemberFailed", Message: "it can't be reached"}}
		}
	}
	tests := map[string]struct {
		grant *clusterpassv1alpha1.AuthTokenGrant
		want  verdict
	}{
		"ready":                      {grant("a", time.Hour, ready("True", time.Hour)), verdict{verdict: OK, message: "none of 1 is stuck"}},
		"not ready for a moment":     {grant("a", time.Hour, ready("False", time.Minute)), verdict{verdict: OK}},
		"not ready for long":         {grant("a", time.Hour, ready("False", 20*time.Minute)), verdict{Warn, "Refused: it does not allow", "kubectl -n team delete authtokengrant a"}},
		"nothing said since it came": {grant("a", time.Hour, func(*clusterpassv1alpha1.AuthTokenGrant) {}), verdict{verdict: Warn, message: "no reason is given"}},
		"deleted lately":             {grant("a", time.Hour, deleted(time.Minute)), verdict{verdict: OK}},
		"deleted and not revoked": {
			grant("a", time.Hour, deleted(11*time.Minute)),
			verdict{Fail, "is not revoked: MemberFailed: it can't be reached", "kubectl -n team annotate authtokengrant a clusterpass.dev/abandon-member=true"},
		},
		"ready, and nobody knows on which cluster": {
			grant("a", time.Hour, func(g *clusterpassv1alpha1.AuthTokenGrant) { ready("True", time.Hour)(g); g.Status.MemberUID = "" }),
			verdict{Warn, "1 of its grants do not say which cluster they are on", "kubectl clusterpass join bravelion --namespace=default --credential-only --member-context=CONTEXT"},
		},
		"ready a moment ago, and nobody knows yet on which cluster": {
			grant("a", time.Minute, func(g *clusterpassv1alpha1.AuthTokenGrant) { ready("True", time.Minute)(g); g.Status.MemberUID = "" }),
			verdict{verdict: OK},
		},
		"ready on a cluster that was not joined, and nobody knows which": {
			grant("a", time.Hour, func(g *clusterpassv1alpha1.AuthTokenGrant) {
				ready("True", time.Hour)(g)
				g.Status.MemberUID, g.Spec.ClusterProfile.Name = "", "smartfish"
			}),
			verdict{Warn, "does not let clusterpass get its namespace kube-system", "kubectl --context=CONTEXT apply -k artifacts/deploy/member"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := newExamination(&Clients{Clusterpass: clusterpassfake.NewClientset(test.grant)})
			joined := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "bravelion"}}
			joined.Annotations = map[string]string{member.MemberUIDAnnotation: "member-1"}
			e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{joined}
			test.want.expect(t, examine(t, checkGrants, e))

			e.Clusters = []types.NamespacedName{{Namespace: "default", Name: "another"}}
			verdict{verdict: OK, message: "none of 0 is stuck"}.expect(t, examine(t, checkGrants, e))
		})
	}
}

// Whoever may not list the grants of all namespaces has those of one checked, page by page, and not
// more than so many are reported one by one.
func TestGrants_InOneNamespace(t *testing.T) {
	client := clusterpassfake.NewClientset()
	client.PrependReactor("list", "authtokengrants", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetNamespace() == metav1.NamespaceAll {
			return true, nil, apierrors.NewForbidden(clusterpassv1alpha1.Resource("authtokengrants"), "", errors.New("no"))
		}
		page := &clusterpassv1alpha1.AuthTokenGrantList{Items: make([]clusterpassv1alpha1.AuthTokenGrant, maxStuck)}
		for i := range page.Items {
			page.Items[i].CreationTimestamp = metav1.NewTime(testTime.Add(-time.Hour)) // and not ready since then
		}
		if action.(clienttesting.ListActionImpl).GetListOptions().Continue == "" {
			page.Continue = "the second page"
		}
		return true, page, nil
	})
	found := examine(t, checkGrants, newExamination(&Clients{Clusterpass: client}))
	require.Len(t, found, maxStuck+2)
	assert.Equal(t, "20 more are like that", found[maxStuck].Message)
	assert.Equal(t, "you may not list those of all namespaces: only default is checked", found[maxStuck+1].Message)
}

func TestClocks(t *testing.T) {
	tests := map[string]struct {
		ahead, took time.Duration
		want        verdict
	}{
		"in step":                           {200 * time.Millisecond, 10 * time.Millisecond, verdict{verdict: OK, message: "agrees (± 500ms) with this machine's"}},
		"in step as far as can be told":     {0, 20 * time.Second, verdict{verdict: OK, message: "agrees"}},
		"ten seconds ahead":                 {10 * time.Second, 10 * time.Millisecond, verdict{Warn, "ahead of this machine's", "timedatectl"}},
		"behind by more than tokens endure": {-2 * time.Minute, 10 * time.Millisecond, verdict{Fail, "behind this machine's", "timedatectl"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := newExamination(nil)
			// The hub answers half-way, by its clock.
			date := testTime.Add(test.took / 2).Add(test.ahead).Truncate(time.Second)
			e.hub.skew.value = newSkew(date, testTime, testTime.Add(test.took))
			test.want.expect(t, examine(t, checkClock, e))
		})
	}
}

// The hub's clock is what counts.
func TestExamination_Now(t *testing.T) {
	e := newExamination(nil)
	e.hub.skew.value = skew{value: time.Hour}
	assert.Equal(t, testTime.Add(time.Hour), e.now())
}

func TestOpenAPI(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		err    error
		want   verdict
	}{
		"it is whole":      {status: http.StatusOK, want: verdict{verdict: OK}},
		"it is broken":     {status: http.StatusServiceUnavailable, body: "failed to build merge specs", want: verdict{Fail, "503 Service Unavailable, which stops kubectl apply, Helm and Argo CD: failed to build merge specs", "kubectl get --raw /openapi/v2"}},
		"it is not for us": {status: http.StatusForbidden, want: verdict{verdict: Skip}},
		"nobody is there":  {err: errors.New("connection refused"), want: verdict{verdict: Fail, message: "connection refused"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			e := newExamination(&Clients{Get: func(context.Context, string, string) (*http.Response, error) {
				if test.err != nil {
					return nil, test.err
				}
				return &http.Response{
					StatusCode: test.status, Status: strings.Join([]string{map[int]string{503: "503", 403: "403", 200: "200"}[test.status], http.StatusText(test.status)}, " "),
					Body: io.NopCloser(strings.NewReader(test.body)),
				}, nil
			}})
			test.want.expect(t, examine(t, checkOpenAPI, e))
		})
	}
}

// Nothing is minted unasked, and no token is made that could not be revoked.
func TestCheckMint(t *testing.T) {
	verdict{verdict: Skip, message: "--mint CLUSTER"}.expect(t, examine(t, checkMint, newExamination(nil)))

	hub := fake.NewClientset()
	hub.PrependReactor("create", "selfsubjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
		assert.Equal(t, &authorizationv1.ResourceAttributes{Namespace: "default", Verb: "delete", Group: "clusterpass.dev", Resource: "authtokengrants"}, review.Spec.ResourceAttributes)
		return true, review, nil
	})
	client := clusterpassfake.NewClientset()
	e := newExamination(&Clients{Kubernetes: hub, Clusterpass: client})
	e.Mint = []types.NamespacedName{{Namespace: "default", Name: "bravelion"}}

	verdict{verdict: Skip, message: "you lack delete on authtokengrants.clusterpass.dev in namespace default"}.expect(t, examine(t, checkMint, e))
	require.Empty(t, client.Actions(), "it went on all the same")
}
