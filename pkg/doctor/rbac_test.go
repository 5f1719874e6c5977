// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/artifacts"
	"clusterpass.dev/pkg/member"
)

func TestNeedsOf(t *testing.T) {
	for account, known := range consequences {
		t.Run(account, func(t *testing.T) {
			keys := sets.New[string]()
			for _, n := range needsOf(account) {
				assert.NotEmpty(t, n.without, "artifacts/deploy/rbac gives %s: say in consequences what comes of it if it is missing", n.key())
				assert.False(t, keys.Has(n.key()), "two rules of artifacts/deploy/rbac for %s", n.key())
				keys.Insert(n.key())
			}
			assert.Equal(t, sets.KeySet(known), keys, "artifacts/deploy/rbac gives nothing else")
		})
	}
	for _, o := range artifacts.Objects("deploy/rbac/clusterrole.yaml", "deploy/rbac/controller-manager.yaml") {
		rules, _, err := unstructured.NestedSlice(o.Object, "rules")
		require.NoError(t, err)
		for _, rule := range rules {
			assert.Len(t, rule.(map[string]any)["apiGroups"], 1, "a need has one group: %v", rule)
		}
	}
}

func TestCheckServerRBAC(t *testing.T) {
	client := fake.NewClientset()
	var asked []authorizationv1.SubjectAccessReviewSpec
	client.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		asked = append(asked, review.Spec)
		what := review.Spec.ResourceAttributes
		review.Status.Allowed = what.Resource != "mutatingadmissionpolicies" || what.Verb != "list"
		return true, review, nil
	})

	found := examine(t, checkServerRBAC, newExamination(&Clients{Kubernetes: client}))

	require.Len(t, found, 1)
	assert.Equal(t, Fail, found[0].Verdict)
	assert.Equal(t, "it lacks list on mutatingadmissionpolicies of admissionregistration.k8s.io, in all namespaces; "+
		`without it, every write is answered with "not yet ready to handle request"`, found[0].Message)
	assert.Contains(t, found[0].Mend, "kubectl apply -k artifacts/deploy/rbac")
	for _, spec := range asked {
		assert.Equal(t, DefaultServerUser, spec.User)
		assert.ElementsMatch(t, []string{
			"system:serviceaccounts", "system:serviceaccounts:clusterpass-system", "system:authenticated",
		}, spec.Groups)
		assert.NotEqual(t, "clusterprofiles", spec.ResourceAttributes.Resource, "it is asked for what --inventory=External takes")
	}
}

func TestCheckManagerRBAC_Forbidden(t *testing.T) {
	client := fake.NewClientset()
	refuse(&client.Fake, "create", "subjectaccessreviews", forbidden("subjectaccessreviews"))
	assert.Equal(t, Skip, Worst(examine(t, checkManagerRBAC, newExamination(&Clients{Kubernetes: client}))))
}

func TestGroupsOf(t *testing.T) {
	assert.Equal(t, []string{"system:authenticated"}, groupsOf("clusterpass"))
}

// Secrets are read where the configuration says.
func TestNeedsOf_Secrets(t *testing.T) {
	e := newExamination(&Clients{})
	e.Access = &configv1alpha1.AccessConfiguration{Providers: []configv1alpha1.AccessProvider{
		{KubeconfigSecret: &configv1alpha1.KubeconfigSecretProvider{Namespaces: []string{"fleet-a", "fleet-b"}}},
	}}
	namespaces := sets.New[string]()
	for _, n := range e.applicable(needsOf(serverName)) {
		if n.Resources[0] == resourceSecrets {
			namespaces.Insert(n.namespace)
		}
	}
	assert.Equal(t, sets.New("fleet-a", "fleet-b"), namespaces)
}

// So are those of other platforms, and Karmada's Clusters.
func TestNeedsOf_Platforms(t *testing.T) {
	e := newExamination(&Clients{})
	e.Access = &configv1alpha1.AccessConfiguration{Providers: []configv1alpha1.AccessProvider{
		{KarmadaSecret: &configv1alpha1.KarmadaSecretProvider{Namespaces: []string{"karmada-cluster"}}},
		{ClusterAPISecret: &configv1alpha1.ClusterAPISecretProvider{Namespaces: []string{"team-a"}}},
	}}
	var needed []string
	for _, n := range e.applicable(needsOf(managerName)) {
		if n.mend == bindImport {
			needed = append(needed, n.describe(n.Verbs, n.Resources))
		}
	}
	assert.Equal(t, []string{
		"get, list, watch on secrets of the core group, in namespace karmada-cluster",
		"get, list, watch on secrets of the core group, in namespace team-a",
		"get, list, watch on clusters of cluster.karmada.io, in all namespaces",
	}, needed)
}

// examine returns what a check finds.
func examine(t *testing.T, run func(context.Context, *examination, *findings), e *examination) findings {
	t.Helper()
	var f findings
	run(t.Context(), e, &f)
	return f
}

// newExamination returns one of a hub in mode Served where nothing has been observed.
func newExamination(clients *Clients) *examination {
	clients.Clock = testClock
	return &examination{
		Options: Options{ServerUser: DefaultServerUser, ManagerUser: DefaultManagerUser, Access: member.DefaultConfig(), Namespace: "default"},
		Clients: clients,
	}
}
