// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/kubelet"
	"clusterpass.dev/test/testenv"
)

// elsewhere is the member that has no accelerator.
const elsewhere = "smartfish"

var kueueWorkloads = schema.GroupVersionResource{Group: "kueue.x-k8s.io", Version: "v1beta2", Resource: "workloads"}

// byPlacement has Kueue leave it to the controller manager where Workloads run.
func byPlacement(configuration map[string]any) {
	testenv.DispatchByPlacement(configuration)
	configuration["multiKueue"].(map[string]any)["workerLostTimeout"] = (5 * time.Second).String()
}

// Jobs run where their Placement says.
func TestMultiKueue_Placement(t *testing.T) {
	f := startWithSet(t, byPlacement, memberName, elsewhere)
	kubectl(t, f.hub, "label", "clusterprofile", memberName, "-n", namespace, "accelerator=nvidia-tesla-t4")
	kubectl(t, f.hub, "apply", "-f", placementExample(t, "accelerator.yaml"))

	t.Run("nothing is nominated before the controller manager may", f.testDispatcherIsInstalled)
	t.Run("a Job runs where the Placement that it names says, and nowhere else", f.testNamedByJob)
	t.Run("the Placement of a LocalQueue is that of its Jobs that name none", f.testNamedByQueue)
	t.Run("a Job that waits follows its Placement", f.testFollows)
	t.Run("a Placement that is missing, or of another namespace, is reported and nothing runs", f.testMissing)
	t.Run("a Placement that has chosen none of the queue's clusters is reported", f.testNoneOfTheConfig)
	t.Run("a Job of a lost cluster goes where its Placement says by then", f.testLost)
}

func placementExample(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(filepath.Dir(filepath.Dir(example(t, name))), "placement", name)
}

func (f *fleet) testDispatcherIsInstalled(t *testing.T) {
	job := f.submitFor(t, "t4")
	testenv.Eventually(t, func(ctx context.Context) error {
		w, err := f.workloadOf(ctx, t, job)
		if err == nil && !meta.IsStatusConditionTrue(w.Status.Conditions, "QuotaReserved") {
			err = errors.New("it has no quota yet")
		}
		return err
	})
	w, err := f.workloadOf(t.Context(), t, job)
	require.NoError(t, err)
	require.Empty(t, w.Status.NominatedClusterNames)

	kubectl(t, f.hub, "apply", "-k", dispatcherFiles(t))
	testenv.Eventually(t, f.complete(t, job))
}

func dispatcherFiles(t *testing.T) string {
	t.Helper()
	return filepath.Join(testenv.Root(t), "artifacts", "deploy", "multikueue-dispatcher")
}

// testUntold is for a Kueue that nominates all clusters at once, as by default.
func (f *fleet) testUntold(t *testing.T) {
	f.place(t, namespace, "none", map[string]string{"kind": "none"})
	kubectl(t, f.hub, "label", "localqueue", "fleet", "-n", namespace, v1alpha1.LabelPlacement+"=none")
	kubectl(t, f.hub, "apply", "-k", dispatcherFiles(t))
	job := f.submitHeld(t, "", memberName, elsewhere)
	kubectl(t, f.hub, "label", "clusterprofile", memberName, "-n", namespace, "kind=none")
	testenv.Eventually(t,
		f.event(t, "NominatedByOthers", "Kueue's configuration must have multiKueue.dispatcherName: clusterpass.dev/placement"))
	require.NoError(t, f.nominated(t, job, memberName, elsewhere)(t.Context()))
	f.release(t, memberName, elsewhere)
	testenv.Eventually(t, f.complete(t, job))
	kubectl(t, f.hub, "delete", "-k", dispatcherFiles(t))
	kubectl(t, f.hub, "label", "localqueue", "fleet", "-n", namespace, v1alpha1.LabelPlacement+"-")
}

func (f *fleet) testNamedByJob(t *testing.T) {
	for range 3 {
		job := f.submitFor(t, "t4")
		testenv.Eventually(t, f.complete(t, job))
		f.requireOnlyOn(t, job, memberName)
		assert.True(t, f.members[0].hasMade(t, "workloads", job))
		assert.False(t, f.members[1].hasMade(t, "workloads", job), "not even asked")
	}
	t.Run("an event says what nominated", func(t *testing.T) {
		testenv.Eventually(t, f.event(t, "Nominated", memberName+": by Placement default/t4"))
	})
	t.Run("the dispatcher has written that field and no other", func(t *testing.T) {
		job := f.submitHeld(t, "t4", memberName)
		testenv.Eventually(t, f.nominated(t, job, memberName))
		w, err := f.workloadOf(t.Context(), t, job)
		require.NoError(t, err)
		var fields []string
		for _, entry := range w.ManagedFields {
			if entry.Manager == "clusterpass-multikueue-dispatcher" {
				fields = append(fields, entry.Subresource+" "+string(entry.FieldsV1.GetRawBytes()))
			}
		}
		assert.Equal(t, []string{`status {"f:status":{"f:nominatedClusterNames":{}}}`}, fields)
		f.release(t, memberName)
		testenv.Eventually(t, f.complete(t, job))
	})
}

func (f *fleet) testNamedByQueue(t *testing.T) {
	kubectl(t, f.hub, "label", "localqueue", "fleet", "-n", namespace, v1alpha1.LabelPlacement+"=t4")
	job := f.submit(t)
	testenv.Eventually(t, f.complete(t, job))
	f.requireOnlyOn(t, job, memberName)
	f.place(t, namespace, "other", map[string]string{"accelerator": "none"})
	kubectl(t, f.hub, "label", "clusterprofile", elsewhere, "-n", namespace, "accelerator=none")
	job = f.submitFor(t, "other")
	testenv.Eventually(t, f.complete(t, job))
	f.requireOnlyOn(t, job, elsewhere)
	kubectl(t, f.hub, "label", "localqueue", "fleet", "-n", namespace, v1alpha1.LabelPlacement+"-")

	// Without any, Kueue may take every cluster of the queue.
	job = f.submitHeld(t, "", memberName, elsewhere)
	testenv.Eventually(t, f.nominated(t, job, memberName, elsewhere))
	f.release(t, memberName, elsewhere)
	testenv.Eventually(t, f.complete(t, job))
}

func (f *fleet) testFollows(t *testing.T) {
	job := f.submitHeld(t, "t4", memberName, elsewhere)
	f.settled(t, job, memberName)
	kubectl(t, f.hub, "label", "clusterprofile", elsewhere, "-n", namespace, "--overwrite", "accelerator=nvidia-tesla-t4")
	f.settled(t, job, memberName, elsewhere)
	kubectl(t, f.hub, "label", "clusterprofile", memberName, "-n", namespace, "accelerator-")
	f.settled(t, job, elsewhere)
	f.release(t, memberName, elsewhere)
	testenv.Eventually(t, f.complete(t, job))
	f.requireOnlyOn(t, job, elsewhere)
	kubectl(t, f.hub, "label", "clusterprofile", memberName, "-n", namespace, "accelerator=nvidia-tesla-t4")
	kubectl(t, f.hub, "label", "clusterprofile", elsewhere, "-n", namespace, "accelerator-")
}

func (f *fleet) testMissing(t *testing.T) {
	kubectl(t, f.hub, "create", "namespace", "team-b")
	f.place(t, "team-b", "late", map[string]string{"accelerator": "nvidia-tesla-t4"})
	job := f.submitFor(t, "late")
	testenv.Eventually(t, f.event(t, "NoDecision", "there is no decision of Placement default/late"))
	testenv.Eventually(t, f.nominated(t, job))
	f.place(t, namespace, "late", map[string]string{"accelerator": "nvidia-tesla-t4"})
	testenv.Eventually(t, f.complete(t, job))
	f.requireOnlyOn(t, job, memberName)
}

func (f *fleet) testNoneOfTheConfig(t *testing.T) {
	f.patch(t, `{"spec":{"clusters":{"labelSelector":null,"names":["smartfish"]}}}`)
	testenv.Eventually(t, f.knows(t, elsewhere))
	job := f.submitFor(t, "t4")
	testenv.Eventually(t, f.event(t, "NoClusterOfQueue", "Placement default/t4 has chosen 1 clusters, none of them of MultiKueueConfig fleet"))
	f.patch(t, `{"spec":{"clusters":{"names":["smartfish","bravelion"]}}}`)
	testenv.Eventually(t, f.complete(t, job))
	f.requireOnlyOn(t, job, memberName)
}

func (f *fleet) testLost(t *testing.T) {
	job := f.exampleJob(t)
	job.Annotations = map[string]string{kubelet.RunForAnnotation: "1h"}
	job.Labels[v1alpha1.LabelPlacement] = "t4"
	made := testenv.Create(t, f.hub.Kube(t).BatchV1().Jobs(namespace), job)
	testenv.Eventually(t, func(ctx context.Context) error { return f.members[0].runs(ctx, t, made.Name) })
	kubectl(t, f.hub, "label", "clusterprofile", elsewhere, "-n", namespace, "accelerator=nvidia-tesla-t4")
	f.members[0].kueue.Stop()
	f.members[0].Stop()
	testenv.Eventually(t, func(ctx context.Context) error { return f.members[1].runs(ctx, t, made.Name) })
}

// submitFor creates a Job on the hub that names a Placement, none if that is empty, and returns its
// name.
func (f *fleet) submitFor(t *testing.T, placement string) string {
	t.Helper()
	job := f.exampleJob(t)
	if placement != "" {
		job.Labels[v1alpha1.LabelPlacement] = placement
	}
	return testenv.Create(t, f.hub.Kube(t).BatchV1().Jobs(namespace), job).Name
}

// submitHeld is submitFor while members admit no Workload, until release.
func (f *fleet) submitHeld(t *testing.T, placement string, members ...string) string {
	t.Helper()
	f.hold(t, "Hold", members)
	return f.submitFor(t, placement)
}

func (f *fleet) release(t *testing.T, members ...string) {
	t.Helper()
	f.hold(t, "None", members)
}

func (f *fleet) hold(t *testing.T, policy string, members []string) {
	t.Helper()
	for _, m := range f.members {
		if slices.Contains(members, m.Name()) {
			kubectl(t, m.Cluster, "patch", "clusterqueue", "fleet", "--type=merge", "-p", `{"spec":{"stopPolicy":"`+policy+`"}}`)
		}
	}
}

// place makes a Placement of the clusters that have labels.
func (f *fleet) place(t *testing.T, namespace, name string, labels map[string]string) {
	t.Helper()
	placement := &v1alpha1.Placement{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Placement"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.PlacementSpec{Predicates: []v1alpha1.ClusterPredicate{{
			RequiredClusterSelector: v1alpha1.ClusterSelector{LabelSelector: metav1.LabelSelector{MatchLabels: labels}},
		}}},
	}
	data := testenv.Must[[]byte](t)(json.Marshal(placement))
	testenv.MustKubectl(t, f.hub.Kubeconfig(), string(data), "create", "-n", namespace, "-f", "-")
}

// workload is a Workload of Kueue, as far as it is looked at.
type workload struct {
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		Conditions            []metav1.Condition `json:"conditions"`
		ClusterName           string             `json:"clusterName"`
		NominatedClusterNames []string           `json:"nominatedClusterNames"`
	} `json:"status"`
}

// workloadOf returns the Workload of a Job on the hub.
func (f *fleet) workloadOf(ctx context.Context, t *testing.T, job string) (*workload, error) {
	t.Helper()
	list, err := dynamicClient(t, f.hub).Resource(kueueWorkloads).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for i := range list.Items {
		if owner := metav1.GetControllerOf(&list.Items[i]); owner != nil && owner.Name == job {
			w := &workload{}
			return w, runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, w)
		}
	}
	return nil, fmt.Errorf("job %s has no Workload", job)
}

// nominated returns a check that the Workload of a Job is nominated for clusters, in any order.
func (f *fleet) nominated(t *testing.T, job string, clusters ...string) func(context.Context) error {
	t.Helper()
	return func(ctx context.Context) error {
		w, err := f.workloadOf(ctx, t, job)
		if err != nil {
			return err
		}
		if is := w.Status.NominatedClusterNames; !slices.Equal(slices.Sorted(slices.Values(is)), slices.Sorted(slices.Values(clusters))) {
			return fmt.Errorf("it is nominated for %v; it has %q; %+v", is, w.Status.ClusterName, w.Status.Conditions)
		}
		return nil
	}
}

// event returns a check that there is an event on some Workload that has a reason and a text.
func (f *fleet) event(t *testing.T, reason, text string) func(context.Context) error {
	t.Helper()
	client := f.hub.Kube(t).EventsV1().Events(namespace)
	return func(ctx context.Context) error {
		list, err := client.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range list.Items {
			if event := &list.Items[i]; event.Reason == reason && event.Regarding.Kind == "Workload" && strings.Contains(event.Note, text) {
				return nil
			}
		}
		return fmt.Errorf("no event %s %q among %d", reason, text, len(list.Items))
	}
}

// requireOnlyOn has the members say that a Job ran on one of them and on no other.
func (f *fleet) requireOnlyOn(t *testing.T, job, cluster string) {
	t.Helper()
	for _, m := range f.members {
		require.Equal(t, m.Name() == cluster, m.hasMade(t, "jobs", job), "%s, of %s", m.Name(), job)
	}
}

// settled waits until the Workload of a Job is nominated for clusters, and Kueue has a copy of it
// there and on no other. A copy that gets quota before Kueue has taken it back would stay.
func (f *fleet) settled(t *testing.T, job string, clusters ...string) {
	t.Helper()
	testenv.Eventually(t, f.nominated(t, job, clusters...))
	for _, m := range f.members {
		workloads := dynamicClient(t, m.Cluster).Resource(kueueWorkloads).Namespace(namespace)
		testenv.Eventually(t, func(ctx context.Context) error {
			list, err := workloads.List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			has := slices.ContainsFunc(list.Items, func(w unstructured.Unstructured) bool { return strings.Contains(w.GetName(), job) })
			if has != slices.Contains(clusters, m.Name()) {
				return fmt.Errorf("%s has a copy: %t", m.Name(), has)
			}
			return nil
		})
	}
}

// hasMade says whether an object for a Job of the hub was ever made on the member.
func (m *member) hasMade(t *testing.T, resource, job string) bool {
	t.Helper()
	made := false
	m.EachAuditEvent(t, func(event *auditv1.Event) {
		of := event.ObjectRef
		made = made || event.Verb == "create" && of != nil && of.Resource == resource && strings.Contains(of.Name, job)
	})
	return made
}
