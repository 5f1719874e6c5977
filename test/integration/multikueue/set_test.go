// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	clientv1alpha1 "clusterpass.dev/pkg/generated/clientset/versioned/typed/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

const (
	setFile = "clustercredentialset-kueue-v0.19.yaml"
	// setName is the name of the set in it, and of what Kueue is configured by.
	setName = "fleet"
)

var (
	multiKueueConfigs = schema.GroupVersionResource{Group: "kueue.x-k8s.io", Version: "v1beta2", Resource: "multikueueconfigs"}
	admissionChecks   = schema.GroupVersionResource{Group: "kueue.x-k8s.io", Version: "v1beta2", Resource: "admissionchecks"}
)

// A set configures MultiKueue.
func TestMultiKueue(t *testing.T) {
	f := startFleet(t, nil, memberName, "smartfish")
	kubectl(t, f.hub, "apply", "--server-side", "-f", example(t, "hub-queues.yaml"))
	manager := testenv.StartControllerManager(t, f.hub, testenv.ControllerManagerConfig{Args: []string{"--v=2"}})
	t.Run("a condition names what is not allowed yet, and the commands that allow it", f.testAllow)
	t.Run("one object suffices for Jobs to run on members", f.testFirstJob)
	t.Run("Kueue goes on through a rotation", f.testRotation)
	t.Run("a cluster that is not selected is none of Kueue's", f.testSelection)
	t.Run("the clusters of a Placement are Kueue's, best first", f.testPlacement)
	t.Run("a dispatcher that Kueue was not told of says so, and does not fight Kueue", f.testUntold)
	t.Run("what is lost or changed is put right", f.testRepair)
	t.Run("a cluster that is another's is left alone", f.testNameTaken)
	t.Run("an author who may not write objects of Kueue has none written", f.testAuthor)
	t.Run("without the consumer, or without the set, nothing stays", f.testDeletion)
	t.Run("no token is in any log", func(t *testing.T) {
		text := testenv.Must[[]byte](t)(os.ReadFile(manager.Log()))
		assert.NotContains(t, string(text), "eyJ")
	})
}

func (f *fleet) sets(t *testing.T) clientv1alpha1.ClusterCredentialSetInterface {
	t.Helper()
	return f.hub.Clusterpass(t).ClusterpassV1alpha1().ClusterCredentialSets(namespace)
}

// ready returns a check that the condition MultiKueueReady of the set has a reason, and its message
// all of words.
func (f *fleet) ready(t *testing.T, reason string, words ...string) func(context.Context) error {
	t.Helper()
	sets := f.sets(t)
	return func(ctx context.Context) error {
		set, err := sets.Get(ctx, setName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		is := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.MultiKueueReady)
		if is == nil || is.Reason != reason || is.ObservedGeneration != set.Generation ||
			slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(is.Message, word) }) {
			return fmt.Errorf("the conditions are %+v, want reason %s", set.Status.Conditions, reason)
		}
		return nil
	}
}

// patch changes the set as the admin.
func (f *fleet) patch(t *testing.T, patch string) {
	t.Helper()
	kubectl(t, f.hub, "patch", "clustercredentialset", setName, "-n", namespace, "--type=merge", "-p", patch)
}

// known returns the names of the clusters in the MultiKueueConfig, and those of all
// MultiKueueClusters.
func (f *fleet) known(ctx context.Context, t *testing.T) (config, clusters []string, err error) {
	t.Helper()
	client := dynamicClient(t, f.hub)
	object, err := client.Resource(multiKueueConfigs).Get(ctx, setName, metav1.GetOptions{})
	if err == nil {
		config, _, err = unstructured.NestedStringSlice(object.Object, "spec", "clusters")
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, nil, err
	}
	list, err := client.Resource(multiKueueClusters).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, err
	}
	for i := range list.Items {
		clusters = append(clusters, list.Items[i].GetName())
	}
	return config, clusters, nil
}

// knows returns a check that the MultiKueueConfig has clusters, in this order, and that there is a
// MultiKueueCluster for each and no other.
func (f *fleet) knows(t *testing.T, clusters ...string) func(context.Context) error {
	t.Helper()
	return func(ctx context.Context) error {
		config, all, err := f.known(ctx, t)
		if err != nil {
			return err
		}
		if !slices.Equal(config, clusters) || !slices.Equal(all, slices.Sorted(slices.Values(clusters))) {
			return fmt.Errorf("the config has %v; there are %v", config, all)
		}
		return nil
	}
}

func (f *fleet) testAllow(t *testing.T) {
	kubectl(t, f.hub, "apply", "--server-side", "-f", example(t, setFile))
	command := func(condition string) []string {
		var args []string
		testenv.Await(t, f.sets(t), setName, func(set *v1alpha1.ClusterCredentialSet) error {
			is := meta.FindStatusCondition(set.Status.Conditions, condition)
			if is == nil || is.Status != metav1.ConditionFalse || !strings.Contains(is.Message, "kubectl ") {
				return fmt.Errorf("the conditions are %+v", set.Status.Conditions)
			}
			_, words, _ := strings.Cut(is.Message, "kubectl ")
			args = strings.Fields(words)
			return nil
		})
		return args
	}
	kubectl(t, f.hub, command(v1alpha1.CredentialSetReady)...)
	kubectl(t, f.hub, command(v1alpha1.MultiKueueReady)...)
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonActive, "connected to 2 clusters"))
}

func (f *fleet) testFirstJob(t *testing.T) {
	require.NoError(t, f.knows(t, memberName, "smartfish")(t.Context()))
	name := f.submit(t)
	testenv.Eventually(t, f.complete(t, name))
	wait := kubectl(t, f.hub, "wait", "--for=condition=MultiKueueReady", "clustercredentialset/"+setName, "-n", namespace, "--timeout=10s")
	assert.Contains(t, string(wait), "condition met")
}

func (f *fleet) testRotation(t *testing.T) {
	before := f.tokens(t)
	kubectl(t, f.hub, "annotate", "clustercredentialset", setName, "-n", namespace, v1alpha1.AnnotationRotate+"=now")
	testenv.Eventually(t, func(context.Context) error {
		for name, token := range f.tokens(t) {
			if token == before[name] {
				return fmt.Errorf("the Secret for %s has the old token", name)
			}
		}
		return nil
	})
	testenv.Eventually(t, f.complete(t, f.submit(t)))
	require.NoError(t, f.ready(t, v1alpha1.MultiKueueReasonActive)(t.Context()))
	for _, m := range f.members {
		_, refused := m.requestsOf(t, m.worker(t))
		assert.Empty(t, refused, m.Name())
	}
}

// secrets returns the Secrets of all sets.
func (f *fleet) secrets(t *testing.T) *corev1.SecretList {
	t.Helper()
	options := metav1.ListOptions{LabelSelector: v1alpha1.LabelCredentialSetUID}
	return testenv.List(t, f.hub.Kube(t).CoreV1().Secrets(testenv.KueueNamespace), options)
}

// tokens returns the kubeconfigs of the members, by the names of the Secrets.
func (f *fleet) tokens(t *testing.T) map[string]string {
	t.Helper()
	list := f.secrets(t)
	tokens := map[string]string{}
	for i := range list.Items {
		tokens[list.Items[i].Name] = string(list.Items[i].Data["kubeconfig"])
	}
	require.Len(t, tokens, len(f.members))
	return tokens
}

// worker returns whom the member sees in Kueue of the hub.
func (m *member) worker(t *testing.T) string {
	t.Helper()
	accounts := testenv.List(t, m.Cluster.Kube(t).CoreV1().ServiceAccounts(namespace), metav1.ListOptions{})
	for i := range accounts.Items {
		if name := accounts.Items[i].Name; strings.HasPrefix(name, setName+"-") {
			return "system:serviceaccount:" + namespace + ":" + name
		}
	}
	require.Fail(t, "no ServiceAccount of the set", m.Name())
	return ""
}

func (f *fleet) testSelection(t *testing.T) {
	f.patch(t, `{"spec":{"clusters":{"labelSelector":null,"names":["smartfish","bravelion"]}}}`)
	testenv.Eventually(t, f.knows(t, "smartfish", memberName))
	f.patch(t, `{"spec":{"consumer":{"multiKueue":{"order":"Name"}}}}`)
	testenv.Eventually(t, f.knows(t, memberName, "smartfish"))
	f.patch(t, `{"spec":{"clusters":{"names":["smartfish"]}}}`)
	testenv.Eventually(t, f.knows(t, "smartfish"))
	testenv.Eventually(t, f.complete(t, f.submit(t)))
	f.patch(t, `{"spec":{"clusters":{"names":["not-there"]}}}`)
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonNoClusters))
	require.NoError(t, f.knows(t)(t.Context()))
	f.patch(t, `{"spec":{"clusters":{"names":["bravelion"]}}}`)
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonActive, "1 clusters"))
	testenv.Eventually(t, f.complete(t, f.submit(t)))
	f.patch(t, `{"spec":{"clusters":{"labelSelector":{},"names":null}}}`)
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonActive, "2 clusters"))
}

func (f *fleet) testRepair(t *testing.T) {
	client := dynamicClient(t, f.hub)
	require.NoError(t, client.Resource(multiKueueClusters).Delete(t.Context(), "smartfish", metav1.DeleteOptions{}))
	kubectl(t, f.hub, "patch", "multikueueconfig", setName, "--type=merge", "-p", `{"spec":{"clusters":["elsewhere"]}}`)
	kubectl(t, f.hub, "patch", "multikueuecluster", memberName, "--type=merge", "-p",
		`{"spec":{"clusterSource":{"kubeConfig":{"location":"elsewhere"}}}}`)
	testenv.Eventually(t, f.knows(t, memberName, "smartfish"))
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonActive, "2 clusters"))
}

func (f *fleet) testNameTaken(t *testing.T) {
	f.patch(t, `{"spec":{"clusters":{"labelSelector":null,"names":["bravelion"]}}}`)
	testenv.Eventually(t, f.knows(t, memberName))
	kubeConfig := map[string]any{"location": "somebody-elses", "locationType": "Secret"}
	foreign := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "MultiKueueCluster", "metadata": map[string]any{"name": "smartfish"},
		"spec": map[string]any{"clusterSource": map[string]any{"kubeConfig": kubeConfig}},
	}}
	clusters := dynamicClient(t, f.hub).Resource(multiKueueClusters)
	made, err := clusters.Create(t.Context(), foreign, metav1.CreateOptions{})
	require.NoError(t, err)
	f.patch(t, `{"spec":{"clusters":{"names":["bravelion","smartfish"]}}}`)
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonNameTaken, "MultiKueueCluster smartfish"))
	config, _, err := f.known(t.Context(), t)
	require.NoError(t, err)
	assert.Equal(t, []string{memberName}, config, "Jobs go to no cluster of another's")
	after, err := clusters.Get(t.Context(), "smartfish", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, made.Object["spec"], after.Object["spec"])
	assert.Empty(t, after.GetLabels())
	require.NoError(t, clusters.Delete(t.Context(), "smartfish", metav1.DeleteOptions{}))
	// Another's object is watched by nobody here: the set is looked at when something of it changes.
	f.patch(t, `{"spec":{"clusters":{"names":null,"labelSelector":{}}}}`)
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonActive, "2 clusters"))
}

func (f *fleet) testAuthor(t *testing.T) {
	const author = "kim"
	testenv.Grant(t, f.hub.Kube(t), "", author, testenv.UserSubject(author),
		rbacv1.PolicyRule{APIGroups: []string{"clusterpass.dev"}, Resources: []string{"clustercredentialsets"}, Verbs: []string{"*"}},
		rbacv1.PolicyRule{APIGroups: []string{"multicluster.x-k8s.io"}, Resources: []string{"clusterprofiles", "clusterprofiles/token"},
			Verbs: []string{"*"}},
		rbacv1.PolicyRule{APIGroups: []string{corev1.GroupName}, Resources: []string{"secrets"}, Verbs: []string{"create", "update"}},
		rbacv1.PolicyRule{APIGroups: []string{"kueue.x-k8s.io"}, Resources: []string{"multikueueclusters"}, Verbs: []string{"create"},
			ResourceNames: []string{"bravelion"}})
	kubectl(t, f.hub, "delete", "clustercredentialset", setName, "-n", namespace, "--timeout=60s")
	testenv.Eventually(t, f.knows(t))
	testenv.Create(t, testenv.Clusterpass(t, f.hub.User(t, author)).ClusterpassV1alpha1().ClusterCredentialSets(namespace),
		read[v1alpha1.ClusterCredentialSet](t, setFile))
	// Tokens it may have; of what Kueue needs, nothing else than the one that RBAC names.
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonForbidden, author, "create on multikueueclusters.kueue.x-k8s.io \"smartfish\"",
		"create on multikueueconfigs.kueue.x-k8s.io \"fleet\""))
	names, clusters, err := f.known(t.Context(), t)
	require.NoError(t, err)
	assert.Empty(t, names)
	assert.Equal(t, []string{"bravelion"}, clusters)
}

func (f *fleet) testDeletion(t *testing.T) {
	require.NoError(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		whole, err := f.sets(t).Get(t.Context(), setName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		whole.Spec.Rotation.RefreshAtPercent = ptr.To(int32(70))
		_, err = f.sets(t).Update(t.Context(), whole, metav1.UpdateOptions{}) // The admin is the author.
		return err
	}))
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonActive, "2 clusters"))

	f.patch(t, `{"spec":{"consumer":{"multiKueue":null}}}`)
	testenv.Eventually(t, f.nothingLeft(t))
	set := testenv.Get(t, f.sets(t), setName)
	assert.Equal(t, int32(2), set.Status.Ready)
	f.tokens(t)

	f.patch(t, `{"spec":{"consumer":{"multiKueue":{"configName":"other"}}}}`)
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonActive, "2 clusters"))
	_, err := dynamicClient(t, f.hub).Resource(admissionChecks).Get(t.Context(), "other", metav1.GetOptions{})
	require.NoError(t, err)
	f.patch(t, `{"spec":{"consumer":{"multiKueue":{"configName":null}}}}`)
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonActive, "2 clusters"))
	require.NoError(t, f.knows(t, memberName, "smartfish")(t.Context()))
	_, err = dynamicClient(t, f.hub).Resource(multiKueueConfigs).Get(t.Context(), "other", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "%v", err)

	kubectl(t, f.hub, "delete", "clustercredentialset", setName, "-n", namespace, "--timeout=60s")
	testenv.Eventually(t, f.nothingLeft(t))
	assert.Empty(t, f.secrets(t).Items)

	// Kueue goes by the AdmissionCheck that it holds back, also for the next set of that name.
	kubectl(t, f.hub, "apply", "--server-side", "-f", example(t, setFile))
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonActive, "2 clusters"))
	testenv.Eventually(t, f.complete(t, f.submit(t)))
}

// nothingLeft returns a check that nothing is left of what a set keeps of Kueue's objects, but for
// an AdmissionCheck that a ClusterQueue still names: Kueue holds that one back.
func (f *fleet) nothingLeft(t *testing.T) func(context.Context) error {
	t.Helper()
	knows, checks := f.knows(t), dynamicClient(t, f.hub).Resource(admissionChecks)
	return func(ctx context.Context) error {
		if err := knows(ctx); err != nil {
			return err
		}
		check, err := checks.Get(ctx, setName, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		case check.GetDeletionTimestamp() == nil:
			return errors.New("the AdmissionCheck is still there")
		}
		return nil
	}
}
