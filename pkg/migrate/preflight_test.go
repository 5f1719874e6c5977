// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsfake "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/fake"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	kubefake "k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
	certutil "k8s.io/client-go/util/cert"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregatorfake "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/fake"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/bounds"
	"clusterpass.dev/pkg/hub"
)

// testService is where the server of these tests is.
var testService = ServiceReference{Namespace: "clusterpass-system", Name: "clusterpass-apiserver", Port: 443}

type objects = []runtime.Object

// fakeHub is a hub that allows everything and on which clusterpass is deployed, with what is given
// besides.
type fakeHub struct {
	*Hub
	kube        *kubefake.Clientset
	apiServices *aggregatorfake.Clientset
}

func newFakeHub(t *testing.T, objects ...runtime.Object) *fakeHub {
	t.Helper()
	var kube, crds, apiServices, owners, inventoryObjects []runtime.Object
	for _, o := range objects {
		switch o := o.(type) {
		case *apiregistrationv1.APIService:
			apiServices = append(apiServices, o)
		case *metav1.PartialObjectMetadata:
			owners = append(owners, o)
		case *unstructured.Unstructured:
			inventoryObjects = append(inventoryObjects, o)
		case *corev1.Secret, *corev1.Namespace, *corev1.Service, *appsv1.Deployment:
			kube = append(kube, o)
		default:
			crds = append(crds, o)
		}
	}
	h := &fakeHub{kube: kubefake.NewClientset(append(kube,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "0123456789"}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: testService.Namespace, Name: testService.Name}})...)}
	h.kube.PrependReactor("create", "selfsubjectaccessreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &authorizationv1.SelfSubjectAccessReview{Status: authorizationv1.SubjectAccessReviewStatus{Allowed: true}}, nil
	})
	h.apiServices = aggregatorfake.NewClientset(apiServices...)
	metadataScheme := metadatafake.NewTestScheme()
	require.NoError(t, metav1.AddMetaToScheme(metadataScheme))
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, meta.RESTScopeNamespace)
	h.Hub = &Hub{
		URL:         "https://hub.example.com",
		Kube:        h.kube,
		CRDs:        apiextensionsfake.NewClientset(crds...),
		APIServices: h.apiServices,
		Objects: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
			kinds[0].gvr(): "ClusterProfileList", kinds[1].gvr(): "PlacementDecisionList",
			v1alpha2.SchemeGroupVersion.WithResource("clusterprofiles"): "ClusterProfileList",
		}, inventoryObjects...),
		Metadata: metadatafake.NewSimpleMetadataClient(metadataScheme, owners...),
		Mapper:   mapper,
	}
	return h
}

// migration returns one with a folder of its own.
func (h *fakeHub) migration(t *testing.T) *Migration {
	t.Helper()
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	options := Options{Dir: filepath.Join(t.TempDir(), "migration"), Timeout: time.Second, Service: testService}
	return New(h.Hub, options, streams)
}

// registration returns the APIService of a group-version, which leads to a Service of
// clusterpass-system or, without a name, to the hub itself.
func registration(gv schema.GroupVersion, service string, ca []byte) *apiregistrationv1.APIService {
	registered := &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: hub.APIServiceName(gv), UID: "a1"},
		Spec:       apiregistrationv1.APIServiceSpec{Group: gv.Group, Version: gv.Version, CABundle: ca},
	}
	if service == "" {
		registered.Labels = map[string]string{hub.AutomanagedLabel: "true"}
		return registered
	}
	port := testService.Port
	registered.Spec.Service = &apiregistrationv1.ServiceReference{Namespace: testService.Namespace, Name: service, Port: &port}
	return registered
}

// newCA returns a certificate, in PEM.
func newCA(t *testing.T) []byte {
	t.Helper()
	ca, _, err := certutil.GenerateSelfSignedCertKey("clusterpass-apiserver.clusterpass-system.svc", nil, nil)
	require.NoError(t, err)
	return ca
}

func deployment(args ...string) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: testService.Namespace, Name: testService.Name},
		Spec:       appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Args: args}}}}},
		Status:     appsv1.DeploymentStatus{UpdatedReplicas: 1},
	}
}

func TestPreflight(t *testing.T) {
	ca := newCA(t)
	ours := registration(v1alpha1.SchemeGroupVersion, testService.Name, ca)
	unknown, deleted, unowned, large := object(t, stored), object(t, stored), object(t, stored), object(t, stored)
	set(unknown, "x", "status", "flavour")
	properties := make([]any, bounds.MaxEntries+1)
	for i := range properties {
		properties[i] = map[string]any{"name": strconv.Itoa(i), "value": "a"}
	}
	set(large, properties, "status", "properties")
	deleted.SetDeletionTimestamp(&metav1.Time{Time: time.Now()})
	unowned.SetFinalizers(nil)
	both := profileCRD()
	both.Spec.Versions = append(both.Spec.Versions, both.Spec.Versions[0])
	both.Spec.Versions[1].Name = "v1beta1"
	unread := both.DeepCopy()
	unread.Spec.Versions[0].Served = false
	lossy := laterCRD()
	lossy.Status.StoredVersions = []string{"v1alpha1", "v1alpha2"}
	// deployed is a hub that has ClusterProfiles, and all of clusterpass.
	deployed := func(more ...runtime.Object) objects {
		return append(objects{profileCRD(), ours, deployment("--secure-port=8443")}, more...)
	}
	type texts = []string
	finalizersAndOwner := texts{"finalizers", "ConfigMap owner"}

	for name, test := range map[string]struct {
		objects            objects
		blockers, warnings texts
	}{
		"nothing is in the way": {deployed(registration(inventory, "", nil)), nil, nil},
		"nothing to move":       {objects{ours, deployment()}, texts{"the hub has no CustomResourceDefinition that could be moved"}, nil},
		"an APIService that hides the objects": {deployed(registration(inventory, testService.Name, ca)),
			texts{"kubectl delete apiservice v1alpha1.multicluster.x-k8s.io"}, nil},
		"an APIService of somebody else": {deployed(registration(inventory, "elsewhere", ca)),
			texts{"leads to Service clusterpass-system/elsewhere, which is not clusterpass's"}, nil},
		"a server in the other mode": {objects{profileCRD(), ours, deployment("--inventory=External")},
			texts{"runs with --inventory=External"}, nil},
		"no CA anywhere": {objects{profileCRD(), deployment()},
			texts{`no CA for clusterpass-apiserver: secrets "clusterpass-apiserver-cert" not found. Give it with --ca-file`},
			texts{"there is no APIService v1alpha1.clusterpass.dev"}},
		"a field that would be lost, and an object that is going": {deployed(unknown),
			texts{`unknown field "status.flavour"`}, finalizersAndOwner},
		"an object that is larger than ours may be": {deployed(large),
			texts{"ClusterProfile default/bravelion is larger than clusterpass takes. " +
				"Shorten it: status.properties: Too many: 1001: must have at most 1000 items"}, finalizersAndOwner},
		"an object that is being deleted": {deployed(deleted), texts{"1 ClusterProfile being deleted: default/bravelion"}, finalizersAndOwner},
		"an owner that is not there": {deployed(unowned), nil,
			texts{"1 ClusterProfile imported without an owner that is not there any more or gets a new UID: default/bravelion (ConfigMap owner)"}},
		"another version of the definition": {objects{both, ours, deployment()}, nil,
			texts{"also serves version v1beta1, which will be gone"}},
		"another version of the definition alone": {objects{unread, ours, deployment()},
			texts{"clusterprofiles.multicluster.x-k8s.io does not serve v1alpha1 or v1alpha2, in which objects can be moved"},
			texts{"also serves version v1beta1, which will be gone"}},
		"v1alpha2 of the definition alone": {objects{laterCRD(), ours, deployment()}, nil, nil},
		"v1alpha2 of the definition, which has stored v1alpha1": {objects{lossy, ours, deployment()}, nil,
			texts{"what v1alpha2 lacks does not move (credentialProviders and paths of CA files)"}},
		"an APIService of v1alpha2 that hides its objects": {
			objects{laterCRD(), ours, deployment(), registration(v1alpha2.SchemeGroupVersion, testService.Name, ca)},
			texts{"kubectl delete apiservice v1alpha2.multicluster.x-k8s.io"}, nil},
		"no Deployment": {objects{profileCRD(), ours}, nil, texts{"there is no Deployment"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newFakeHub(t, test.objects...).migration(t)
			found, err := m.preflight(t.Context())
			require.NoError(t, err)
			requireEach(t, test.blockers, found.blockers)
			requireEach(t, test.warnings, found.warnings)
			assert.NoDirExists(t, m.folder.path)
		})
	}
}

// requireEach makes sure that got has as many texts as want, each with the words of want's.
func requireEach(t *testing.T, want, got []string) {
	t.Helper()
	require.Len(t, got, len(want), "%q", got)
	for i := range want {
		assert.Contains(t, got[i], want[i])
	}
}

func TestPreflight_FolderOfAnotherHub(t *testing.T) {
	h := newFakeHub(t, profileCRD(), registration(v1alpha1.SchemeGroupVersion, testService.Name, newCA(t)))
	m := h.migration(t)
	m.options.Dir = exported(t).path
	_, err := m.preflight(t.Context())
	require.ErrorContains(t, err, "is of another hub")
}

func TestMigration_FindTarget(t *testing.T) {
	first, second := newCA(t), newCA(t)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: testService.Namespace, Name: "clusterpass-apiserver-cert"},
		Data:       map[string][]byte{caKey: second},
	}
	gv := v1alpha1.SchemeGroupVersion
	injected := registration(gv, testService.Name, first)
	injected.Annotations = map[string]string{injectCA: "clusterpass-system/clusterpass-apiserver", "other": "annotation"}

	for name, test := range map[string]struct {
		registered  *apiregistrationv1.APIService
		ca          []byte
		annotations map[string]string
		readsSecret bool
	}{
		"is that of our other APIService, with cert-manager's annotation, and no Secret is read": {injected, first,
			map[string]string{injectCA: "clusterpass-system/clusterpass-apiserver"}, false},
		"is that of the Secret where the other APIService has none":        {registration(gv, testService.Name, nil), second, nil, true},
		"is that of the Secret where the other APIService leads elsewhere": {registration(gv, "elsewhere", first), second, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t, test.registered, secret)
			found := &findings{}
			require.NoError(t, h.migration(t).findTarget(t.Context(), found))
			assert.Equal(t, test.ca, found.target.Spec.CABundle)
			assert.Equal(t, test.annotations, found.target.Annotations)
			assert.Equal(t, test.readsSecret, slices.ContainsFunc(h.kube.Actions(), func(action clienttesting.Action) bool {
				return action.GetResource().Resource == "secrets"
			}))
		})
	}
}

func TestMigration_EnsureAPIService(t *testing.T) {
	first, second := newCA(t), newCA(t)
	injected := registration(inventory, testService.Name, second)
	injected.Annotations = map[string]string{injectCA: "clusterpass-system/clusterpass-apiserver"}
	for name, test := range map[string]struct {
		there  objects
		verbs  []string
		wantCA []byte
	}{
		"creates what is missing":                       {nil, []string{"get", "create"}, first},
		"puts one in the place of kube-apiserver's own": {objects{registration(inventory, "", nil)}, []string{"get", "delete", "create"}, first},
		"leaves alone what is right":                    {objects{registration(inventory, testService.Name, first)}, []string{"get"}, first},
		"corrects the CA": {objects{registration(inventory, testService.Name, second)},
			[]string{"get", "update"}, first},
		"leaves the CA to cert-manager": {objects{injected}, []string{"get"}, second},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHub(t, test.there...)
			m := h.migration(t)
			to := m.newAPIService(inventory)
			to.Spec.CABundle = first
			require.NoError(t, m.ensureAPIService(t.Context(), to))
			var verbs []string
			for _, action := range h.apiServices.Actions() {
				verbs = append(verbs, action.GetVerb())
				if deletion, ok := action.(clienttesting.DeleteActionImpl); ok {
					assert.EqualValues(t, "a1", *deletion.DeleteOptions.Preconditions.UID)
				}
			}
			assert.Equal(t, test.verbs, verbs)
			got, err := h.apiServices.ApiregistrationV1().APIServices().Get(t.Context(), inventoryService, metav1.GetOptions{})
			require.NoError(t, err)
			assert.Equal(t, test.wantCA, got.Spec.CABundle)
			assert.NotContains(t, got.Labels, hub.AutomanagedLabel)
			assert.Equal(t, testService.Name, got.Spec.Service.Name)
		})
	}
}

// A hub that forwards to another Service is not waited for: what is in the way is said at once.
func TestPreflight_ForwardedElsewhere(t *testing.T) {
	ca := newCA(t)
	h := newFakeHub(t, profileCRD(), registration(v1alpha1.SchemeGroupVersion, testService.Name, ca), deployment(),
		registration(inventory, "elsewhere", ca))
	h.kube.Resources = []*metav1.APIResourceList{{GroupVersion: inventory.String(), APIResources: []metav1.APIResource{{Name: ourResource}}}}
	found, err := h.migration(t).preflight(t.Context())
	require.NoError(t, err)
	requireEach(t, []string{"leads to Service clusterpass-system/elsewhere, which is not clusterpass's"}, found.blockers)
}

// Priorities are those that are deployed.
func TestAPIService_Priorities(t *testing.T) {
	file, err := os.ReadFile("../../artifacts/deploy/base/apiservices.yaml")
	require.NoError(t, err)
	deployed := map[string]apiregistrationv1.APIServiceSpec{}
	for document := range bytes.SplitSeq(file, []byte("\n---\n")) {
		var service apiregistrationv1.APIService
		require.NoError(t, yaml.Unmarshal(document, &service))
		deployed[service.Name] = service.Spec
	}
	for _, gv := range hub.InventoryVersions {
		ours := (&Migration{}).newAPIService(gv)
		assert.Equal(t, deployed[ours.Name].GroupPriorityMinimum, ours.Spec.GroupPriorityMinimum, ours.Name)
		assert.Equal(t, deployed[ours.Name].VersionPriority, ours.Spec.VersionPriority, ours.Name)
	}
	for name, spec := range deployed {
		// kube-apiserver gives this number to every group of CustomResourceDefinitions.
		assert.Greater(t, spec.GroupPriorityMinimum, int32(1000), name)
	}
}
