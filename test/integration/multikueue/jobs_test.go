// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

var multiKueueClusters = schema.GroupVersionResource{Group: "kueue.x-k8s.io", Version: "v1beta2", Resource: "multikueueclusters"}

// Jobs run on a member by a token of clusterpass.
func TestMultiKueue_Token(t *testing.T) {
	f := startFleet(t, nil, memberName)
	kubectl(t, f.hub, "apply", "--server-side", "-f", example(t, "hub-queues.yaml"), "-f", example(t, "by-hand.yaml"))
	testenv.Eventually(t, f.active(t, metav1.ConditionFalse, "BadKubeConfig"))
	t.Run("fewer rules do not suffice", func(t *testing.T) {
		f.writeSecret(t, f.request(t, func(request *v1alpha1.AuthTokenRequest) {
			request.Spec.ServiceAccountName = "poor"
			role := &request.Spec.ClusterRoles[0]
			role.Rules = slices.DeleteFunc(role.Rules, func(rule rbacv1.PolicyRule) bool {
				return slices.Contains(rule.Resources, "workloads")
			})
		}))
		testenv.Eventually(t, f.active(t, metav1.ConditionFalse, "ClientConnectionFailed"))
	})

	answers := []*v1alpha1.AuthTokenRequest{f.request(t, unchanged)}
	f.writeSecret(t, answers[0])
	testenv.Eventually(t, f.active(t, metav1.ConditionTrue, "Active"))

	t.Run("a Job of the hub runs on the member and ends on the hub", func(t *testing.T) {
		name := f.submit(t)
		testenv.Eventually(t, f.complete(t, name))
		testenv.AwaitGone(t, f.members[0].Kube(t).BatchV1().Jobs(namespace), name)
	})
	t.Run("another token takes over", func(t *testing.T) {
		answers = append(answers, f.request(t, unchanged))
		require.NotEqual(t, answers[0].Status.Token, answers[1].Status.Token)
		f.writeSecret(t, answers[1])
		testenv.Eventually(t, f.complete(t, f.submit(t)))
		require.NoError(t, f.active(t, metav1.ConditionTrue, "Active")(t.Context()))
	})
	t.Run("both were used, and the member has refused nothing that Kueue asked of it", func(t *testing.T) {
		credentials, refused := f.members[0].requestsOf(t, "system:serviceaccount:"+namespace+":multikueue")
		require.Len(t, credentials, len(answers))
		require.Empty(t, refused)
	})
	t.Run("no token is in Kueue's logs", func(t *testing.T) {
		tokens := []string{answers[0].Status.Token, answers[1].Status.Token}
		found, err := testenv.FindTokens(tokens, []string{f.hubKueue.Log(), f.members[0].kueue.Log()})
		require.NoError(t, err)
		require.Empty(t, found)
	})
}

func unchanged(*v1alpha1.AuthTokenRequest) {}

// request asks for a token with the rules that we tell users to ask for, once edit has changed
// them.
func (f *fleet) request(t *testing.T, edit func(*v1alpha1.AuthTokenRequest)) *v1alpha1.AuthTokenRequest {
	t.Helper()
	request, answer := read[v1alpha1.AuthTokenRequest](t, "authtokenrequest-kueue-v0.19.yaml"), &v1alpha1.AuthTokenRequest{}
	edit(request)
	data := testenv.Must[[]byte](t)(yaml.Marshal(request))
	// The server learns of the member's Secret by a watch.
	testenv.Eventually(t, func(ctx context.Context) error {
		out, err := testenv.Kubectl(ctx, f.hub.Kubeconfig(), string(data), "create", "-f", "-", "-o", "yaml")
		if err != nil {
			return err
		}
		return yaml.Unmarshal([]byte(out), answer)
	})
	require.NotEmpty(t, answer.Status.Kubeconfig)
	return answer
}

// writeSecret puts the answer's kubeconfig where Kueue looks for it.
func (f *fleet) writeSecret(t *testing.T, answer *v1alpha1.AuthTokenRequest) {
	t.Helper()
	_, err := f.hub.Kube(t).CoreV1().Secrets(testenv.KueueNamespace).Apply(t.Context(),
		corev1ac.Secret(memberName, testenv.KueueNamespace).WithData(map[string][]byte{"kubeconfig": answer.Status.Kubeconfig}),
		metav1.ApplyOptions{FieldManager: "test"})
	require.NoError(t, err)
}

// active returns a check that Kueue says of the member what is wanted.
func (f *fleet) active(t *testing.T, status metav1.ConditionStatus, reason string) func(context.Context) error {
	t.Helper()
	clusters := dynamicClient(t, f.hub).Resource(multiKueueClusters)
	return func(ctx context.Context) error {
		cluster, err := clusters.Get(ctx, memberName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		condition, err := activeCondition(cluster)
		if err != nil {
			return err
		}
		if condition.Status != status || condition.Reason != reason {
			return fmt.Errorf("it is Active: %s, %s: %s", condition.Status, condition.Reason, condition.Message)
		}
		return nil
	}
}

func activeCondition(cluster *unstructured.Unstructured) (*metav1.Condition, error) {
	var typed struct {
		Status struct {
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(cluster.Object, &typed); err != nil {
		return nil, err
	}
	condition := meta.FindStatusCondition(typed.Status.Conditions, "Active")
	if condition == nil {
		return nil, errors.New("it has no condition Active yet")
	}
	return condition, nil
}

// submit creates a Job on the hub and returns its name.
func (f *fleet) submit(t *testing.T) string {
	t.Helper()
	return testenv.Create(t, f.hub.Kube(t).BatchV1().Jobs(namespace), f.exampleJob(t)).Name
}

func (f *fleet) exampleJob(t *testing.T) *batchv1.Job {
	t.Helper()
	return read[batchv1.Job](t, "job.yaml")
}

// complete returns a check that the Job is complete on the hub, where nothing but Kueue ends it,
// and that from what the member's Job says.
func (f *fleet) complete(t *testing.T, name string) func(context.Context) error {
	t.Helper()
	hub := f.hub.Kube(t).BatchV1().Jobs(namespace)
	return func(ctx context.Context) error {
		job, err := hub.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range job.Status.Conditions {
			if condition.Type == batchv1.JobComplete && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("its status on the hub is %+v", job.Status)
	}
}

// requestsOf returns the credentials that a user has made requests to the member with, and the
// requests that it has refused.
func (m *member) requestsOf(t *testing.T, username string) (credentials sets.Set[string], refused []string) {
	t.Helper()
	credentials = sets.New[string]()
	m.EachAuditEvent(t, func(event *auditv1.Event) {
		if event.User.Username != username || event.ResponseStatus == nil {
			return
		}
		credentials.Insert(event.User.Extra[user.CredentialIDKey]...)
		if code := event.ResponseStatus.Code; code == http.StatusForbidden || code == http.StatusUnauthorized {
			refused = append(refused, fmt.Sprintf("%s %s: %d", event.Verb, event.RequestURI, code))
		}
	})
	return credentials, refused
}
