// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fakemember is the API of a member cluster for unit tests: what a fake clientset holds,
// served over HTTP, so that it is reached by a client of pkg/member like any. It gives UIDs,
// selects by label and heeds preconditions, which a fake clientset alone does not. It knows no
// watch, no patch and no pages.
package fakemember

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
)

const (
	// ProfileName is the name of the member's ClusterProfile, in namespace default.
	ProfileName = "bravelion"
	// ProfileUID is the UID of the member's ClusterProfile.
	ProfileUID types.UID = "profile-1"

	systemNamespace = "clusterpass-system"
)

var (
	mapper      = testrestmapper.TestOnlyStaticRESTMapper(scheme.Scheme)
	requestInfo = request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}
)

// Member is a member cluster.
type Member struct {
	// Clientset holds the objects. Its actions are the calls that were made, and its reactors answer
	// them.
	*fake.Clientset
	// Pool has access to the member by its ClusterProfile.
	*member.Pool

	server  *httptest.Server
	answers sync.Map
	down    atomic.Bool
	broken  atomic.Int64
	uids    atomic.Int64
}

// New returns a member that has the ClusterRole view and objects, and answers until the test ends.
// c is the clock of the pool.
func New(t testing.TB, c clock.WithTicker, objects ...runtime.Object) *Member {
	t.Helper()
	view := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "view"}}
	m := &Member{Clientset: fake.NewClientset(append(objects, view)...)}
	m.server = httptest.NewTLSServer(http.HandlerFunc(m.serve))
	t.Cleanup(m.server.Close)
	var err error
	m.Pool, err = member.NewPool(member.Options{
		Config: member.DefaultConfig(), Secrets: kubeconfig{m.server}, Clock: c, UserAgent: "clusterpass-test",
	})
	require.NoError(t, err)
	return m
}

// NewGrant returns a grant on the member for a ServiceAccount in namespace default, which owns
// objects of every kind. It is stored, at resource version 1, and the member is said to have all of
// it: see Ensure.
func NewGrant(account string) *v1alpha1.AuthTokenGrant {
	rules := []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	g := grant.New("team", multiclusterv1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    multiclusterv1alpha1.ClusterProfileReference{Namespace: metav1.NamespaceDefault, Name: ProfileName},
		ServiceAccountNamespace: metav1.NamespaceDefault,
		ServiceAccountName:      account,
		ClusterRoles:            []multiclusterv1alpha1.ClusterRole{{Name: "view"}, {Name: "pods", Rules: rules}},
		Roles:                   []multiclusterv1alpha1.Role{{Namespace: "ml", Name: "pods", Rules: rules}},
	}, ProfileUID, v1alpha1.Requester{Username: "jane"})
	g.UID, g.Generation, g.ResourceVersion = types.UID("grant-"+account), 1, "1"
	g.Status.ObservedGeneration = 1
	return g
}

// Ensure makes the member have all that a grant of a hub names, and forgets the calls for that.
func (m *Member) Ensure(t testing.TB, hubID string, g *v1alpha1.AuthTokenGrant) {
	t.Helper()
	client, err := m.For(t.Context(), m.Profile())
	require.NoError(t, err)
	_, err = (&grant.Keeper{HubID: hubID, Grant: g, Client: client.Kubernetes(), Clock: clock.RealClock{}}).Ensure(t.Context())
	require.NoError(t, err)
	m.ClearActions()
}

// Profile returns the member's ClusterProfile.
func (m *Member) Profile() *inventoryv1alpha1.ClusterProfile {
	return &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: ProfileName, UID: ProfileUID},
		Status:     inventoryv1alpha1.ClusterProfileStatus{AccessProviders: []inventoryv1alpha1.AccessProvider{*m.Provider()}},
	}
}

// Provider returns the entry of the ClusterProfile that leads to the member.
func (m *Member) Provider() *inventoryv1alpha1.AccessProvider {
	return &inventoryv1alpha1.AccessProvider{
		Name: configv1alpha1.DefaultProviderName,
		Cluster: clientcmdv1.Cluster{Server: m.server.URL, Extensions: []clientcmdv1.NamedExtension{{
			Name: "client.authentication.k8s.io/exec", Extension: runtime.RawExtension{Raw: []byte(`{"name":"kubeconfig"}`)},
		}}},
	}
}

// SetDown has the member break off every connection, or answer again.
func (m *Member) SetDown(down bool) { m.down.Store(down) }

// Answer has requests for a path answered by handler, as a member would that is hostile, or whose
// Clientset does not know it.
func (m *Member) Answer(path string, handler http.HandlerFunc) { m.answers.Store(path, handler) }

// BrokenOff returns how many requests were broken off because the member is down.
func (m *Member) BrokenOff() int64 { return m.broken.Load() }

// Objects returns what the member has that a grant could own, as "resource namespace/name UID",
// sorted.
func (m *Member) Objects(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, gvr := range []schema.GroupVersionResource{
		corev1.SchemeGroupVersion.WithResource("serviceaccounts"),
		corev1.SchemeGroupVersion.WithResource("secrets"),
		rbacv1.SchemeGroupVersion.WithResource("roles"),
		rbacv1.SchemeGroupVersion.WithResource("rolebindings"),
		rbacv1.SchemeGroupVersion.WithResource("clusterroles"),
		rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings"),
	} {
		kind, err := mapper.KindFor(gvr)
		require.NoError(t, err)
		list, err := m.Tracker().List(gvr, kind, metav1.NamespaceAll)
		require.NoError(t, err)
		err = meta.EachListItem(list, func(o runtime.Object) error {
			accessor, err := meta.Accessor(o)
			all = append(all, fmt.Sprintf("%s %s/%s %s", gvr.Resource, accessor.GetNamespace(), accessor.GetName(), accessor.GetUID()))
			return err
		})
		require.NoError(t, err)
	}
	slices.Sort(all)
	return all
}

// Calls returns the calls that were made, as "verb resource namespace/name", since they were last
// cleared.
func (m *Member) Calls() []string { return Calls(m.Actions()) }

// Writes returns those of Calls that change something.
func (m *Member) Writes() []string { return Writes(m.Actions()) }

// Calls returns actions as "verb resource namespace/name".
func Calls(actions []clienttesting.Action) []string {
	calls := make([]string, 0, len(actions))
	for _, a := range actions {
		calls = append(calls, call(a))
	}
	return calls
}

// Writes returns those of Calls that change something.
func Writes(actions []clienttesting.Action) []string {
	var writes []string
	for _, a := range actions {
		if verb := a.GetVerb(); verb != "get" && verb != "list" && verb != "watch" {
			writes = append(writes, call(a))
		}
	}
	return writes
}

// Events returns the events that were recorded since it was last called.
func Events(recorder *events.FakeRecorder) (all []string) {
	for len(recorder.Events) > 0 {
		all = append(all, <-recorder.Events)
	}
	return all
}

func call(a clienttesting.Action) string {
	resource := a.GetResource().Resource
	if a.GetSubresource() != "" {
		resource += "/" + a.GetSubresource()
	}
	name := ""
	switch a := a.(type) {
	case clienttesting.CreateAction: // updates, too
		if accessor, err := meta.Accessor(a.GetObject()); err == nil {
			name = accessor.GetName()
		}
	case interface{ GetName() string }:
		name = a.GetName()
	}
	return fmt.Sprintf("%s %s %s/%s", a.GetVerb(), resource, a.GetNamespace(), name)
}

func (m *Member) serve(w http.ResponseWriter, r *http.Request) {
	if m.down.Load() {
		m.broken.Add(1)
		panic(http.ErrAbortHandler)
	}
	if answer, ok := m.answers.Load(r.URL.Path); ok {
		answer.(http.HandlerFunc)(w, r)
		return
	}
	info, err := requestInfo.NewRequestInfo(r)
	if err != nil || !info.IsResourceRequest {
		fmt.Fprint(w, "ok") // /livez
		return
	}
	if info.Resource == "namespaces" {
		info.Namespace = "" // as the tracker has it
	}
	version := schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}
	answer, err := m.do(r, info, version.WithResource(info.Resource))
	if err != nil {
		responsewriters.ErrorNegotiated(err, scheme.Codecs, version, w, r)
		return
	}
	responsewriters.WriteObjectNegotiated(scheme.Codecs, negotiation.DefaultEndpointRestrictions, version, w, r, http.StatusOK, answer, false)
}

func (m *Member) do(r *http.Request, info *request.RequestInfo, gvr schema.GroupVersionResource) (runtime.Object, error) {
	body, err := decode(r)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	switch info.Verb {
	case "get":
		return m.Invokes(clienttesting.NewGetAction(gvr, info.Namespace, info.Name), nil)
	case "list":
		return m.list(r, info, gvr)
	case "create":
		if accessor, err := meta.Accessor(body); err == nil {
			accessor.SetUID(types.UID(fmt.Sprintf("uid-%d", m.uids.Add(1))))
		}
		return m.Invokes(clienttesting.NewCreateAction(gvr, info.Namespace, body), nil)
	case "update":
		return m.Invokes(clienttesting.NewUpdateAction(gvr, info.Namespace, body), nil)
	case "delete":
		return m.remove(info, gvr, body)
	}
	return nil, apierrors.NewMethodNotSupported(gvr.GroupResource(), info.Verb)
}

func decode(r *http.Request) (runtime.Object, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil || len(body) == 0 {
		return nil, err
	}
	return runtime.Decode(scheme.Codecs.UniversalDeserializer(), body)
}

func (m *Member) list(r *http.Request, info *request.RequestInfo, gvr schema.GroupVersionResource) (runtime.Object, error) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	kind, err := mapper.KindFor(gvr)
	if err != nil {
		return nil, err
	}
	options := metav1.ListOptions{LabelSelector: selector.String()}
	list, err := m.Invokes(clienttesting.NewListActionWithOptions(gvr, kind, info.Namespace, options), nil)
	if err != nil {
		return nil, err
	}
	var selected []runtime.Object
	err = meta.EachListItem(list, func(o runtime.Object) error {
		if accessor, err := meta.Accessor(o); err == nil && selector.Matches(labels.Set(accessor.GetLabels())) {
			selected = append(selected, o)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, meta.SetList(list, selected)
}

func (m *Member) remove(info *request.RequestInfo, gvr schema.GroupVersionResource, body runtime.Object) (runtime.Object, error) {
	options, _ := body.(*metav1.DeleteOptions)
	if options == nil {
		options = &metav1.DeleteOptions{}
	}
	if err := CheckPreconditions(m.Tracker(), gvr, info.Namespace, info.Name, options.Preconditions); err != nil {
		return nil, err
	}
	_, err := m.Invokes(clienttesting.NewDeleteActionWithOptions(gvr, info.Namespace, info.Name, *options), nil)
	return &metav1.Status{Status: metav1.StatusSuccess}, err
}

// CheckPreconditions returns the error that an API server has for a deletion whose preconditions do
// not hold.
func CheckPreconditions(
	tracker clienttesting.ObjectTracker, gvr schema.GroupVersionResource, namespace, name string, p *metav1.Preconditions,
) error {
	found, err := tracker.Get(gvr, namespace, name)
	if err != nil || p == nil {
		return err
	}
	accessor, err := meta.Accessor(found)
	if err != nil {
		return err
	}
	uid, version := accessor.GetUID(), accessor.GetResourceVersion()
	if p.UID != nil && *p.UID != uid || p.ResourceVersion != nil && *p.ResourceVersion != version {
		failed := fmt.Errorf("the preconditions do not hold: it is %s at %s", uid, version)
		return apierrors.NewConflict(gvr.GroupResource(), name, failed)
	}
	return nil
}

// kubeconfig is the Secret of the hub with the kubeconfig of a member.
type kubeconfig struct{ *httptest.Server }

// Get implements member.Secrets.
func (k kubeconfig) Get(namespace, name string) (*corev1.Secret, error) {
	if namespace != systemNamespace || name != "kubeconfig" {
		return nil, apierrors.NewNotFound(corev1.Resource("secrets"), name)
	}
	config := clientcmdapi.NewConfig()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate().Raw})
	config.Clusters["member"] = &clientcmdapi.Cluster{Server: k.URL, CertificateAuthorityData: ca}
	config.AuthInfos["clusterpass"] = &clientcmdapi.AuthInfo{Token: "of-clusterpass"}
	config.Contexts["member"] = &clientcmdapi.Context{Cluster: "member", AuthInfo: "clusterpass"}
	config.CurrentContext = "member"
	data, err := clientcmd.Write(*config)
	secret := &corev1.Secret{Data: map[string][]byte{"kubeconfig": data}}
	secret.Namespace, secret.Name, secret.Labels = namespace, name, map[string]string{member.KubeconfigLabel: "true"}
	secret.Annotations = map[string]string{member.ClusterProfileAnnotation: metav1.NamespaceDefault + "/" + ProfileName}
	return secret, err
}

// Of implements member.Secrets.
func (k kubeconfig) Of(namespace, name string) ([]*corev1.Secret, error) {
	secret, err := k.Get(systemNamespace, "kubeconfig")
	if err != nil || !member.IsSecretOf(secret, namespace, name) {
		return nil, err
	}
	return []*corev1.Secret{secret}, nil
}
