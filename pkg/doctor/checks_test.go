// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
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

func passes(message string) verdict      { return verdict{OK, message, ""} }
func skips(message string) verdict       { return verdict{Skip, message, ""} }
func warns(message, mend string) verdict { return verdict{Warn, message, mend} }
func fails(message, mend string) verdict { return verdict{Fail, message, mend} }

func (v verdict) expect(t *testing.T, found findings) {
	t.Helper()
	assert.Equal(t, v.verdict, Worst(found), "%+v", found)
	assert.True(t, slices.ContainsFunc(found, func(f Finding) bool {
		return f.Verdict == v.verdict && strings.Contains(f.Message, v.message) && strings.Contains(f.Mend, v.mend)
	}), "no %+v in %+v", v, found)
}

type objects = []runtime.Object

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// condition returns one that has changed at testTime.
func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(testTime)}
}

// forbidden returns the hub's answer to a user without a right on a resource.
func forbidden(resource string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New("no"))
}

// refuse has a fake client answer calls with an error.
func refuse(client *clienttesting.Fake, verb, resource string, err error) {
	client.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
}

// service returns an APIService as it is registered, available.
func service(name string, changes ...func(*apiregistrationv1.APIService)) *apiregistrationv1.APIService {
	s := &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       apiregistrationv1.APIServiceSpec{Service: &apiregistrationv1.ServiceReference{Namespace: SystemNamespace, Name: serverName}},
		Status: apiregistrationv1.APIServiceStatus{Conditions: []apiregistrationv1.APIServiceCondition{
			{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionTrue, Reason: "Passed"},
		}},
	}
	for _, change := range changes {
		change(s)
	}
	return s
}

func unavailable(reason, message string) func(*apiregistrationv1.APIService) {
	return func(s *apiregistrationv1.APIService) {
		available := &s.Status.Conditions[0]
		available.Status, available.Reason, available.Message = apiregistrationv1.ConditionFalse, reason, message
	}
}

// local is a change to the APIService of a group that the hub serves itself.
func local(s *apiregistrationv1.APIService) { s.Spec.Service = nil }

func services(list ...*apiregistrationv1.APIService) map[string]*apiregistrationv1.APIService {
	byName := map[string]*apiregistrationv1.APIService{}
	for _, s := range list {
		byName[s.Name] = s
	}
	return byName
}

func TestAPIServices(t *testing.T) {
	deployed := func(ready ...bool) objects {
		slice := &discoveryv1.EndpointSlice{ObjectMeta: named(SystemNamespace, "a")}
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: serverName}
		for _, r := range ready {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(r)}})
		}
		return objects{&corev1.Service{ObjectMeta: named(SystemNamespace, serverName)}, slice}
	}
	up := deployed(true)
	later := service(laterService)
	all := services(service(multiclusterService), later, service(clusterpassService))
	one := func(change func(*apiregistrationv1.APIService)) map[string]*apiregistrationv1.APIService {
		return services(service(multiclusterService, change), later, service(clusterpassService))
	}
	for name, test := range map[string]struct {
		services map[string]*apiregistrationv1.APIService
		mode     string
		objects  objects
		want     verdict
	}{
		"all lead to a ready server": {all, "", deployed(true, false), passes("1 of 2 endpoints are ready")},
		"a hub of the release before": {
			services(service(multiclusterService), service(clusterpassService)), "", up,
			warns("A server of an earlier release does not serve it", "After the upgrade of the server"),
		},
		"a server of the release before": {
			services(service(multiclusterService), service(clusterpassService), service(laterService, unavailable("FailedDiscoveryCheck",
				"failing or missing response from https://10.0.0.7:443/apis/multicluster.x-k8s.io/v1alpha2: bad status from ...: 404"))), "", up,
			fails("no namespace of the hub finishes deleting", "kubectl delete apiservice "+laterService),
		},
		"External beside what was left of Served": {
			services(service(clusterpassService), service(laterService)), hub.InventoryExternal, up,
			fails("it hides the hub's CustomResourceDefinitions", "kubectl delete apiservice "+laterService),
		},
		"none is there":              {nil, hub.InventoryServed, nil, fails("it is missing", "kubectl apply -k artifacts/deploy/overlays/")},
		"External takes one of them": {services(service(clusterpassService)), hub.InventoryExternal, up, passes("")},
		"no Service":                 {all, "", nil, fails("the APIServices lead to it", "kubectl apply -k")},
		"no endpoint is ready": {all, "", deployed(false, false),
			fails("none of its 2 endpoints is ready", "logs deployment/clusterpass-apiserver")},
		"the hub has no endpoint for it": {one(unavailable("MissingEndpoints", "endpoints have no addresses")), "", up,
			fails("MissingEndpoints", "logs deployment")},
		"the hub does not trust it": {
			one(unavailable("FailedDiscoveryCheck", "tls: failed to verify certificate: x509: certificate signed by unknown authority")), "", up,
			fails("x509", "trust the server's CA"),
		},
		"the hub can't reach it": {one(unavailable("FailedDiscoveryCheck", "dial tcp 10.0.0.7:443: i/o timeout")), "", up,
			fails("i/o timeout", "NetworkPolicy")},
		"the hub has not tried yet": {one(func(s *apiregistrationv1.APIService) { s.Status.Conditions = nil }), "", up,
			fails("not tried it yet", "describe apiservice")},
		"the label is left of the CRDs' own": {
			one(func(s *apiregistrationv1.APIService) { s.Labels = map[string]string{hub.AutomanagedLabel: "true"} }), "", up,
			fails("kube-apiserver undoes every change", "kubectl delete apiservice "+multiclusterService),
		},
		"it is the CRDs' and should be ours": {one(local), hub.InventoryServed, up, fails("it leads to no Service", "kubectl apply -k")},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExamination(&Clients{Kubernetes: fake.NewClientset(test.objects...)})
			e.hub.apiServices.value, e.Inventory = test.services, test.mode
			test.want.expect(t, examine(t, checkAPIServices, e))
		})
	}
}

func TestCRDs(t *testing.T) {
	type list = []*apiregistrationv1.APIService
	profiles, others := []string{profilesCRD}, []string{"serviceimports.multicluster.x-k8s.io"}
	served, own, ofTheHub := service(multiclusterService), service(clusterpassService), service(multiclusterService, local)
	for name, test := range map[string]struct {
		crds     []string
		unread   bool
		services list
		mode     string
		err      error
		want     verdict
	}{
		"none, and clusterpass serves the group": {services: list{served}, want: passes("")},
		"one beside clusterpass": {crds: others, services: list{served},
			want: fails("not ready beside it", "kubectl delete crd serviceimports.multicluster.x-k8s.io")},
		"ClusterProfile's, and the hub serves the group":      {crds: profiles, services: list{ofTheHub, own}, want: passes("External")},
		"ClusterProfile's, and the hub has no APIService yet": {crds: profiles, services: list{own}, want: passes("External")},
		"ClusterProfile's, in a version that clusterpass does not know": {crds: profiles, unread: true, services: list{own},
			want: fails("does not serve v1alpha1 or v1alpha2", "cluster-inventory-api")},
		"ClusterProfile's, which serves no version any more": {unread: true, services: list{own},
			want: fails("does not serve v1alpha1 or v1alpha2", "cluster-inventory-api")},
		"ClusterProfile's, which serves no version, and clusterpass serves the group": {unread: true, services: list{served},
			want: passes("")},
		"ClusterProfile's, in v1alpha2 alone": {crds: profiles, services: list{service(laterService, local), own},
			want: passes("External")},
		"others, and the hub serves the group": {crds: others, services: list{ofTheHub},
			want: fails("it is missing", "cluster-inventory-api")},
		"ClusterProfile's, and clusterpass is to serve the group": {crds: profiles, services: list{ofTheHub}, mode: hub.InventoryServed,
			want: fails("clashes with what clusterpass serves", "kubectl delete crd")},
		"ClusterProfile's, and clusterpass is not ready for some reason": {
			crds: profiles, services: list{ofTheHub, service(clusterpassService, unavailable("MissingEndpoints", ""))},
			want: warns("not available", "--inventory=External"),
		},
		"they may not be listed":  {err: forbidden("customresourcedefinitions"), want: skips("you may not read this")},
		"the hub does not answer": {err: context.DeadlineExceeded, want: fails("does not answer", "")},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExamination(&Clients{})
			e.hub.apiServices.value, e.Inventory = services(test.services...), test.mode
			e.hub.crds = observed[clashes]{clashes{test.crds, test.unread}, test.err}
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
	for name, test := range map[string]struct {
		lease *coordinationv1.Lease
		want  verdict
	}{
		"held and renewed":            {lease("a", 2*time.Second), passes("held by a, renewed 2s ago")},
		"renewed by a clock ahead":    {lease("a", -2*time.Second), passes("renewed 0s ago")},
		"a successor may be about to": {lease("a", 20*time.Second), passes("")},
		"held by one that is gone": {lease("a", time.Minute),
			fails("a has not renewed it since 2026-05-01T11:59:00Z", "logs deployment/clusterpass-controller-manager")},
		"given up":   {lease("", time.Second), fails("it has no holder", "logs deployment")},
		"never held": {&coordinationv1.Lease{}, fails("it has no holder", "")},
	} {
		t.Run(name, func(t *testing.T) {
			var f findings
			f.lease("Lease", test.lease, testTime)
			test.want.expect(t, f)
		})
	}
	e := newExamination(&Clients{Kubernetes: fake.NewClientset()})
	fails("there is none", "").expect(t, examine(t, checkManager, e))
}

func TestCredentials(t *testing.T) {
	const month = 30 * 24 * time.Hour
	for name, test := range map[string]struct {
		from, until time.Duration
		want        verdict
	}{
		"good for long":             {-time.Hour, month, passes("until 2026-05-31T12:00:00Z")},
		"short, and in its prime":   {-10 * time.Minute, 50 * time.Minute, passes("")},
		"not renewed at 80 %":       {-55 * time.Minute, 5 * time.Minute, warns("has not been renewed", "create secret generic")},
		"expired":                   {-2 * month, -time.Hour, fails("has expired at 2026-05-01T11:00:00Z", "create secret generic")},
		"good for who knows how":    {0, 0, passes("does not say")},
		"of unknown age, and good":  {0, time.Minute, passes("")},
		"of unknown age, and ended": {0, -time.Minute, fails("", "")},
	} {
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
	const healthy = inventoryv1alpha1.ClusterConditionControlPlaneHealthy
	ready := condition(healthy, "True", "Ready", "")
	for name, test := range map[string]struct {
		conditions []metav1.Condition
		want       verdict
	}{
		"healthy": {[]metav1.Condition{ready, condition("Joined", "True", "Joined", "")}, passes("")},
		"down": {[]metav1.Condition{condition(healthy, "False", "Timeout", "no answer in time")},
			fails("ControlPlaneHealthy is False since 2026-05-01T12:00:00Z: Timeout: no answer in time",
				"kubectl -n default describe clusterprofile bravelion")},
		"nobody knows any more":   {[]metav1.Condition{condition(healthy, "Unknown", "Stale", "")}, warns("Unknown", "")},
		"nobody has said":         {nil, warns(`its manager "clusterpass" has not set`, "logs deployment/clusterpass-controller-manager")},
		"healthy, and not joined": {[]metav1.Condition{ready, condition("Joined", "False", "NoAccess", "")}, fails("Joined is False", "")},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExamination(&Clients{})
			profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: named("default", "bravelion")}
			profile.Spec.ClusterManager.Name, profile.Status.Conditions = "clusterpass", test.conditions
			e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{profile}
			test.want.expect(t, examine(t, checkHealth, e))
		})
	}
}

func TestHealth_NoProfiles(t *testing.T) {
	e := newExamination(&Clients{})
	e.hub.profiles.value.missing = []types.NamespacedName{{Namespace: "default", Name: "nowhere"}}
	fails("it does not exist", "").expect(t, examine(t, checkHealth, e))

	e.hub.profiles.value = profiles{partial: "default"}
	passes("there is no ClusterProfile").expect(t, examine(t, checkHealth, e))

	e.hub.profiles.err = forbidden("clusterprofiles")
	skips("you may not read this").expect(t, examine(t, checkAccess, e))
}

func TestCheckAccess_Plugin(t *testing.T) {
	ca, _, err := certutil.GenerateSelfSignedCertKey("ca", nil, nil)
	require.NoError(t, err)
	e := newExamination(&Clients{Kubernetes: fake.NewClientset()})
	e.Access = &configv1alpha1.AccessConfiguration{
		Limits: member.DefaultConfig().Limits,
		Providers: []configv1alpha1.AccessProvider{{Name: "plugin", Exec: &configv1alpha1.ExecProvider{
			APIVersion: "client.authentication.k8s.io/v1", Command: "/plugin", Servers: []string{"https://*.fleet"},
			CertificateAuthorityData: ca, Bindings: []configv1alpha1.ExecBinding{{Namespaces: []string{"fleet"}}},
		}}},
	}
	profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: named("default", "bravelion")}
	cluster := clientcmdv1.Cluster{Server: "https://a.fleet"}
	profile.Status.AccessProviders = []inventoryv1alpha1.AccessProvider{{Name: "plugin", Cluster: cluster}}
	e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{profile}
	fails("binds the ClusterProfile to no server https://a.fleet",
		"bindings): kubectl -n default edit clusterprofile bravelion --subresource=status").expect(t, examine(t, checkAccess, e))
}

func TestGrants(t *testing.T) {
	type grant = clusterpassv1alpha1.AuthTokenGrant
	ago := func(age time.Duration) metav1.Time { return metav1.NewTime(testTime.Add(-age)) }
	ready := func(status metav1.ConditionStatus, since time.Duration) func(*grant) {
		return func(g *grant) {
			g.Status.Conditions = []metav1.Condition{condition(clusterpassv1alpha1.GrantReady, status, "Refused", "it does not allow")}
			g.Status.Conditions[0].LastTransitionTime = ago(since)
		}
	}
	deleted := func(since time.Duration) func(*grant) {
		return func(g *grant) {
			g.DeletionTimestamp, g.Finalizers = ptr.To(ago(since)), []string{clusterpassv1alpha1.GrantFinalizer}
			g.Status.Conditions = []metav1.Condition{condition(clusterpassv1alpha1.GrantRevoked, "False", "MemberFailed", "it can't be reached")}
		}
	}
	for name, test := range map[string]struct {
		age    time.Duration
		change func(*grant)
		want   verdict
	}{
		"ready":                  {time.Hour, ready("True", time.Hour), passes("none of 1 is stuck")},
		"not ready for a moment": {time.Hour, ready("False", time.Minute), passes("")},
		"not ready for long": {time.Hour, ready("False", 20*time.Minute),
			warns("Refused: it does not allow", "kubectl -n team delete authtokengrant a")},
		"nothing said since it came": {time.Hour, func(*grant) {}, warns("no reason is given", "")},
		"deleted lately":             {time.Hour, deleted(time.Minute), passes("")},
		"deleted and not revoked": {time.Hour, deleted(11 * time.Minute), fails("is not revoked: MemberFailed: it can't be reached",
			"kubectl -n team annotate authtokengrant a clusterpass.dev/abandon-member=true")},
		"ready, and nobody knows on which cluster": {
			time.Hour, func(g *grant) { ready("True", time.Hour)(g); g.Status.MemberUID = "" },
			warns("1 of its grants do not say which cluster they are on",
				"kubectl clusterpass join bravelion --namespace=default --credential-only --member-context=CONTEXT"),
		},
		"ready a moment ago, and nobody knows yet on which cluster": {
			time.Minute, func(g *grant) { ready("True", time.Minute)(g); g.Status.MemberUID = "" }, passes(""),
		},
		"ready on a cluster that was not joined, and nobody knows which": {
			time.Hour, func(g *grant) {
				ready("True", time.Hour)(g)
				g.Status.MemberUID, g.Spec.ClusterProfile.Name = "", "smartfish"
			},
			warns("does not let clusterpass get its namespace kube-system", "kubectl --context=CONTEXT apply -k artifacts/deploy/member"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := &grant{ObjectMeta: named("team", "a")}
			g.CreationTimestamp, g.Status.MemberUID = ago(test.age), "member-1"
			g.Spec.ClusterProfile = clusterpassv1alpha1.GrantedClusterProfile{Namespace: "default", Name: "bravelion"}
			test.change(g)
			e := newExamination(&Clients{Clusterpass: clusterpassfake.NewClientset(g)})
			joined := &inventoryv1alpha1.ClusterProfile{ObjectMeta: named("default", "bravelion")}
			joined.Annotations = map[string]string{member.MemberUIDAnnotation: "member-1"}
			e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{joined}
			test.want.expect(t, examine(t, checkGrants, e))

			e.Clusters = []types.NamespacedName{{Namespace: "default", Name: "another"}}
			passes("none of 0 is stuck").expect(t, examine(t, checkGrants, e))
		})
	}
}

// Whoever may not list the grants of all namespaces has those of one checked, page by page, and not
// more than so many are reported one by one.
func TestGrants_InOneNamespace(t *testing.T) {
	client := clusterpassfake.NewClientset()
	client.PrependReactor("list", "authtokengrants", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetNamespace() == metav1.NamespaceAll {
			return true, nil, forbidden("authtokengrants")
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
	for name, test := range map[string]struct {
		ahead, took time.Duration
		want        verdict
	}{
		"in step":                           {200 * time.Millisecond, 10 * time.Millisecond, passes("agrees (± 500ms) with this machine's")},
		"in step as far as can be told":     {0, 20 * time.Second, passes("agrees")},
		"ten seconds ahead":                 {10 * time.Second, 10 * time.Millisecond, warns("ahead of this machine's", "timedatectl")},
		"behind by more than tokens endure": {-2 * time.Minute, 10 * time.Millisecond, fails("behind this machine's", "timedatectl")},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExamination(&Clients{})
			// The hub answers half-way, by its clock.
			date := testTime.Add(test.took / 2).Add(test.ahead).Truncate(time.Second)
			e.hub.skew.value = newSkew(date, testTime, testTime.Add(test.took))
			test.want.expect(t, examine(t, checkClock, e))
		})
	}
}

// The hub's clock is what counts.
func TestExamination_Now(t *testing.T) {
	e := newExamination(&Clients{})
	e.hub.skew.value = skew{value: time.Hour}
	assert.Equal(t, testTime.Add(time.Hour), e.now())
}

func TestOpenAPI(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		err    error
		want   verdict
	}{
		"it is whole": {status: http.StatusOK, want: passes("")},
		"it is broken": {status: http.StatusServiceUnavailable, body: "failed to build merge specs",
			want: fails("503 Service Unavailable, which stops kubectl apply, Helm and Argo CD: failed to build merge specs",
				"kubectl get --raw /openapi/v2")},
		"it is not for us": {status: http.StatusForbidden, want: skips("")},
		"nobody is there":  {err: errors.New("connection refused"), want: fails("connection refused", "")},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExamination(&Clients{Get: func(context.Context, string, string) (*http.Response, error) {
				if test.err != nil {
					return nil, test.err
				}
				answer := httptest.NewRecorder()
				answer.WriteHeader(test.status)
				_, _ = answer.WriteString(test.body)
				return answer.Result(), nil
			}})
			test.want.expect(t, examine(t, checkOpenAPI, e))
		})
	}
}

// Nothing is minted unasked, and no token is made that could not be revoked.
func TestCheckMint(t *testing.T) {
	skips("--mint CLUSTER").expect(t, examine(t, checkMint, newExamination(&Clients{})))

	hub := fake.NewClientset()
	hub.PrependReactor("create", "selfsubjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
		assert.Equal(t, &authorizationv1.ResourceAttributes{
			Namespace: "default", Verb: "delete", Group: "clusterpass.dev", Resource: "authtokengrants",
		}, review.Spec.ResourceAttributes)
		return true, review, nil
	})
	client := clusterpassfake.NewClientset()
	e := newExamination(&Clients{Kubernetes: hub, Clusterpass: client})
	e.Mint = []types.NamespacedName{{Namespace: "default", Name: "bravelion"}}

	skips("you lack delete on authtokengrants.clusterpass.dev in namespace default").expect(t, examine(t, checkMint, e))
	require.Empty(t, client.Actions(), "it went on all the same")
}
