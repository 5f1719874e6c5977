// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/wait"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	kubernetesfake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/kueue"
)

// hub is a Keeper with the hub it works on.
type hub struct {
	*Keeper
	objects *dynamicfake.FakeDynamicClient
	// refused says what authors may not do, managerRefused the same for the controller manager.
	refused, managerRefused func(what *authorizationv1.ResourceAttributes) bool
}

func nothing(*authorizationv1.ResourceAttributes) bool { return false }

func newHub(t *testing.T, there ...runtime.Object) *hub {
	t.Helper()
	h := &hub{refused: nothing, managerRefused: nothing}
	client := kubernetesfake.NewClientset()
	client.PrependReactor("create", "selfsubjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
		review.Status.Allowed = !h.managerRefused(review.Spec.ResourceAttributes)
		return true, review, nil
	})
	client.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		review.Status.Allowed = review.Spec.User == "kim" && !h.refused(review.Spec.ResourceAttributes)
		return true, review, nil
	})
	client.Resources = []*metav1.APIResourceList{{GroupVersion: kueue.GroupVersion.String()}}
	h.objects = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		clusterKind.resource: "MultiKueueClusterList", configKind.resource: "MultiKueueConfigList", checkKind.resource: "AdmissionCheckList",
	}, there...)
	h.Keeper = New(t.Context(), client, h.objects, func(types.UID, string) {})
	return h
}

func newSet() *v1alpha1.ClusterCredentialSet {
	set := &v1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "fleet", UID: "set-1", Generation: 3}}
	set.Spec.Author = &v1alpha1.Author{Requester: v1alpha1.Requester{Username: "kim"}}
	set.Spec.Consumer.MultiKueue = &v1alpha1.MultiKueueConsumer{}
	return set
}

// workers returns so many clusters, the best first: their names are in the opposite order.
func workers(count int) []Worker {
	all := make([]Worker, count)
	for i := range all {
		name := fmt.Sprintf("c%02d", count-i)
		all[i] = Worker{Name: name, Secret: "fleet-" + name}
	}
	return all
}

// until calls Sync until the condition has a reason, with a cache that has followed what was
// written.
func (h *hub) until(t *testing.T, set *v1alpha1.ClusterCredentialSet, all []Worker, reason string) metav1.Condition {
	t.Helper()
	var is metav1.Condition
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
		followed := h.followed(t)
		var err error
		is, err = h.Sync(ctx, set, all)
		return followed && is.Reason == reason && (err == nil || reason == v1alpha1.MultiKueueReasonForbidden), nil
	})
	require.NoError(t, err, "%+v", is)
	h.follow(t)
	return is
}

// follow waits until the cache is what the hub has.
func (h *hub) follow(t *testing.T) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		return h.followed(t), nil
	})
	require.NoError(t, err)
}

func (h *hub) followed(t *testing.T) bool {
	t.Helper()
	listers, err := h.informers.Get(metav1.NamespaceAll)
	if err != nil {
		return true
	}
	for of, lister := range listers {
		cached, err := lister.List(labels.Everything())
		require.NoError(t, err)
		list, err := h.objects.Tracker().List(of.resource, kueue.GroupVersion.WithKind(of.name), metav1.NamespaceAll)
		require.NoError(t, err)
		var want []*unstructured.Unstructured
		require.NoError(t, meta.EachListItem(list, func(object runtime.Object) error {
			if u, ok := object.(*unstructured.Unstructured); ok && u.GetLabels()[v1alpha1.LabelCredentialSetUID] != "" {
				want = append(want, u)
			}
			return nil
		}))
		byName := func(a, b *unstructured.Unstructured) int { return strings.Compare(a.GetName(), b.GetName()) }
		slices.SortFunc(cached, byName)
		slices.SortFunc(want, byName)
		if !equality.Semantic.DeepEqual(cached, want) {
			return false
		}
	}
	return true
}

// connect has Kueue say that it is connected to each cluster.
func (h *hub) connect(t *testing.T) {
	t.Helper()
	clusters := h.objects.Resource(clusterKind.resource)
	list, err := clusters.List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for i := range list.Items {
		require.NoError(t, unstructured.SetNestedSlice(list.Items[i].Object,
			[]any{map[string]any{"type": "Active", "status": "True", "reason": "Active"}}, "status", "conditions"))
		_, err := clusters.Update(t.Context(), &list.Items[i], metav1.UpdateOptions{})
		require.NoError(t, err)
	}
}

// config returns the names in the MultiKueueConfig.
func (h *hub) config(t *testing.T) []string {
	t.Helper()
	object, err := h.objects.Resource(configKind.resource).Get(t.Context(), "fleet", metav1.GetOptions{})
	require.NoError(t, err)
	names, _, err := unstructured.NestedStringSlice(object.Object, "spec", "clusters")
	require.NoError(t, err)
	return names
}

// written returns the writes since the last time, as VERB RESOURCE NAME, each once.
func (h *hub) written() []string {
	var all []string
	for _, action := range h.objects.Actions() {
		write := action.GetVerb() + " " + action.GetResource().Resource + " "
		switch a := action.(type) {
		case clienttesting.CreateAction: // An update is one, too.
			write += a.GetObject().(*unstructured.Unstructured).GetName()
		case clienttesting.DeleteAction:
			write += a.GetName()
		default:
			continue
		}
		if !slices.Contains(all, write) {
			all = append(all, write)
		}
	}
	h.objects.ClearActions()
	return all
}

// Of too many clusters the first twenty are used, in their order.
func TestKeeper_EnsureTooManyClusters(t *testing.T) {
	h, set := newHub(t), newSet()
	h.until(t, set, workers(25), v1alpha1.MultiKueueReasonNotActive)
	h.connect(t)
	is := h.until(t, set, workers(25), v1alpha1.MultiKueueReasonTooManyClusters)
	assert.Equal(t, metav1.ConditionTrue, is.Status)
	assert.Contains(t, is.Message, "20 of 25")
	names := h.config(t)
	require.Len(t, names, 20)
	assert.Equal(t, []string{"c25", "c24"}, names[:2])
	assert.Equal(t, "c06", names[19])
	h.written()
	h.until(t, set, workers(25), v1alpha1.MultiKueueReasonTooManyClusters)
	assert.Empty(t, h.written(), "what is as it should be is not written")
}

// A cluster leaves the config first.
func TestKeeper_EnsureFewerClusters(t *testing.T) {
	h, set := newHub(t), newSet()
	h.until(t, set, workers(2), v1alpha1.MultiKueueReasonNotActive)
	h.connect(t)
	h.until(t, set, workers(2), v1alpha1.MultiKueueReasonActive)
	h.written()
	h.until(t, set, workers(2)[:1], v1alpha1.MultiKueueReasonActive)
	assert.Equal(t, []string{"update multikueueconfigs fleet", "delete multikueueclusters c01"}, h.written())
	h.until(t, set, nil, v1alpha1.MultiKueueReasonNoClusters)
	assert.Equal(t, []string{"delete multikueueconfigs fleet", "delete multikueueclusters c02"}, h.written())
	require.NoError(t, h.Remove(t.Context(), set))
	assert.Equal(t, []string{"delete admissionchecks fleet"}, h.written())
}

// What is another's is left alone.
func TestKeeper_EnsureNameTaken(t *testing.T) {
	theirs := newSet()
	theirs.UID = "set-2"
	nobodys := newCluster(newSet(), Worker{Name: "c02", Secret: "other"})
	nobodys.SetLabels(nil)
	h, set := newHub(t, newCluster(theirs, Worker{Name: "c03", Secret: "theirs"}), nobodys), newSet()
	is := h.until(t, set, workers(3), v1alpha1.MultiKueueReasonNameTaken)
	assert.Contains(t, is.Message, "MultiKueueCluster c03, MultiKueueCluster c02")
	assert.Equal(t, []string{"c01"}, h.config(t))
	require.NoError(t, h.Remove(t.Context(), set))
	for _, write := range h.written() {
		assert.NotContains(t, []string{"update multikueueclusters c02", "delete multikueueclusters c02",
			"update multikueueclusters c03", "delete multikueueclusters c03"}, write)
	}
}

// Only what the author may write is written.
func TestKeeper_EnsureForbidden(t *testing.T) {
	h, set := newHub(t), newSet()
	h.refused = func(what *authorizationv1.ResourceAttributes) bool {
		return what.Resource != clusterKind.resource.Resource || what.Name != "c02"
	}
	is := h.until(t, set, workers(2), v1alpha1.MultiKueueReasonForbidden)
	assert.Contains(t, is.Message, `create on multikueueclusters.kueue.x-k8s.io "c01"`)
	assert.Equal(t, []string{"create multikueueclusters c02"}, h.written())

	h.refused = nothing
	h.until(t, set, workers(2), v1alpha1.MultiKueueReasonNotActive)
	h.refused = func(what *authorizationv1.ResourceAttributes) bool { return what.Verb == "update" }
	h.written()
	other := workers(2)
	other[0].Secret = "other"
	h.until(t, set, other, v1alpha1.MultiKueueReasonForbidden)
	assert.Empty(t, h.written(), "what is there stays as it is")
	assert.Equal(t, []string{"c02", "c01"}, h.config(t), "and in use")

	nobody := newSet()
	nobody.Spec.Author = nil
	nobody.UID = "set-3"
	nobody.Name = "nobodys"
	h.until(t, nobody, workers(2), v1alpha1.MultiKueueReasonForbidden)
	assert.Empty(t, h.written())
}

// Fields that the set does not say stay as they are.
func TestKeeper_EnsureOtherFields(t *testing.T) {
	h, set := newHub(t), newSet()
	h.until(t, set, workers(1), v1alpha1.MultiKueueReasonNotActive)
	configs := h.objects.Resource(configKind.resource)
	object, err := configs.Get(t.Context(), "fleet", metav1.GetOptions{})
	require.NoError(t, err)
	require.NoError(t, unstructured.SetNestedField(object.Object, "Automated", "spec", "quotaManagement"))
	object.SetLabels(labels.Merge(object.GetLabels(), labels.Set{"team": "a"}))
	object.SetAnnotations(labels.Merge(object.GetAnnotations(), labels.Set{"note": "b"}))
	object.SetFinalizers([]string{"example.com/a"})
	object.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "c", UID: "d"}})
	_, err = configs.Update(t.Context(), object, metav1.UpdateOptions{})
	require.NoError(t, err)
	h.follow(t)
	err = wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
		if _, err := h.Sync(ctx, set, workers(2)); err != nil {
			return false, nil
		}
		return len(h.config(t)) == 2, nil
	})
	require.NoError(t, err)
	object, err = configs.Get(t.Context(), "fleet", metav1.GetOptions{})
	require.NoError(t, err)
	mode, _, err := unstructured.NestedString(object.Object, "spec", "quotaManagement")
	require.NoError(t, err)
	assert.Equal(t, "Automated", mode)
	assert.Equal(t, "a", object.GetLabels()["team"])
	assert.Equal(t, "b", object.GetAnnotations()["note"])
	assert.Equal(t, []string{"example.com/a"}, object.GetFinalizers())
	assert.Len(t, object.GetOwnerReferences(), 1)
}

// A failure drops nothing that is there.
func TestKeeper_EnsureFailure(t *testing.T) {
	h, set := newHub(t), newSet()
	h.until(t, set, workers(2), v1alpha1.MultiKueueReasonNotActive)
	h.follow(t)
	h.objects.PrependReactor("update", clusterKind.resource.Resource, func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("the hub is on fire")
	})
	other := workers(2)
	other[0].Secret = "other"
	h.written()
	is, err := h.Sync(t.Context(), set, other)
	require.ErrorContains(t, err, "on fire")
	assert.Equal(t, v1alpha1.MultiKueueReasonNotActive, is.Reason)
	assert.NotContains(t, h.written(), "delete multikueueclusters c02")
	assert.Equal(t, []string{"c02", "c01"}, h.config(t))
}

func TestKeeper_HubNotPrepared(t *testing.T) {
	t.Run("without the rights", func(t *testing.T) {
		h := newHub(t)
		h.managerRefused = func(what *authorizationv1.ResourceAttributes) bool { return what.Verb == "delete" }
		is := h.until(t, newSet(), workers(1), v1alpha1.MultiKueueReasonForbidden)
		assert.Contains(t, is.Message, "delete multikueueclusters")
		assert.Contains(t, is.Message, "kubectl create clusterrolebinding clusterpass-multikueue --clusterrole=clusterpass:multikueue")
		_, blocked := IsBlocked(newSet(), h.Remove(t.Context(), newSet()))
		assert.True(t, blocked)
		assert.Empty(t, h.written())
	})
	t.Run("without Kueue", func(t *testing.T) {
		h := newHub(t)
		client, ok := h.hub.(*kubernetesfake.Clientset)
		require.True(t, ok)
		client.Resources = nil
		is, err := h.Sync(t.Context(), newSet(), workers(1))
		require.Error(t, err)
		assert.Equal(t, v1alpha1.MultiKueueReasonNotInstalled, is.Reason)
		require.NoError(t, h.Remove(t.Context(), newSet()), "there is nothing to remove")
	})
}

// maxReference is how long the name of a cluster, of its Secret or of its ClusterProfile may be in
// Kueue's v1beta2.
const maxReference = 256

func TestObjects_Names(t *testing.T) {
	set := &v1alpha1.ClusterCredentialSet{}
	set.Namespace, set.Name = strings.Repeat("n", 63), strings.Repeat("s", 63)
	set.Spec.Consumer.MultiKueue = &v1alpha1.MultiKueueConsumer{}
	longest := strings.Repeat("c", 253)
	byProfile, bySecret := newCluster(set, Worker{Name: longest}), newCluster(set, Worker{Name: longest[1:], Secret: longest})
	config, check := newConfig(set, []string{longest}), newCheck(set)
	for _, object := range []*unstructured.Unstructured{byProfile, bySecret, config, check} {
		assert.Empty(t, validation.IsDNS1123Subdomain(object.GetName()), object.GetKind())
	}
	assert.NotEqual(t, byProfile.GetName(), bySecret.GetName())
	for _, refers := range []struct {
		object *unstructured.Unstructured
		path   []string
	}{
		{byProfile, []string{"spec", "clusterSource", "clusterProfileRef", "name"}},
		{bySecret, []string{"spec", "clusterSource", "kubeConfig", "location"}},
	} {
		name, _, _ := unstructured.NestedString(refers.object.Object, refers.path...)
		assert.Equal(t, longest, name)
		assert.LessOrEqual(t, len(name), maxReference)
	}
	parameter, _, _ := unstructured.NestedString(check.Object, "spec", "parameters", "name")
	assert.Equal(t, config.GetName(), parameter)
	assert.Empty(t, validation.IsDNS1123Label(parameter), "an AdmissionCheck refers to its config by a label")
}
