// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokengrant

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
	"clusterpass.dev/test/registrytest"
)

type tokenGrant = v1alpha1.AuthTokenGrant

const testNamespace = "team"

var testTime = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	require.NoError(t, AddFieldLabelConversion(scheme))
	return scheme
}

func newGrant() *tokenGrant {
	return &v1alpha1.AuthTokenGrant{
		ObjectMeta: metav1.ObjectMeta{
			Name: "bravelion-work-6f3c2a", Namespace: testNamespace, ResourceVersion: "7", Generation: 3,
			Labels:      map[string]string{"team": "lions", "clusterpass.dev/label": "server"},
			Annotations: map[string]string{"clusterpass.dev/hub-audit-id": "of the server"}, Finalizers: []string{v1alpha1.GrantFinalizer},
		},
		Spec: v1alpha1.AuthTokenGrantSpec{
			ClusterProfile: v1alpha1.GrantedClusterProfile{Namespace: testNamespace, Name: "bravelion", UID: "uid-of-bravelion"},
			ServiceAccount: v1alpha1.GrantedServiceAccount{Namespace: "default", Name: "work"},
			ClusterRoles: []multiclusterv1alpha1.ClusterRole{
				{Name: "view"},
				{Name: "pods", Rules: []rbacv1.PolicyRule{{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"pods"}}}},
			},
			Roles:     []multiclusterv1alpha1.Role{{Namespace: "default", Name: "leader"}},
			Requester: v1alpha1.Requester{Username: "alice", Groups: []string{"team"}},
		},
		Status: v1alpha1.AuthTokenGrantStatus{
			ObservedGeneration: 3,
			ExpirationCeiling:  &metav1.Time{Time: testTime.Add(53 * time.Minute)},
			LastIssuedTime:     &metav1.Time{Time: testTime.Add(-5 * time.Minute)},
			MemberObjects:      []v1alpha1.MemberObject{{Kind: "ServiceAccount", Namespace: "default", Name: "work"}},
			Conditions:         []metav1.Condition{condition(v1alpha1.GrantReady, metav1.ConditionTrue, v1alpha1.GrantReasonEnsured)},
		},
	}
}

func condition(conditionType string, status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: conditionType, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(testTime)}
}

// update runs a grant through a strategy as the store does.
func update(t *testing.T, s rest.RESTUpdateStrategy, change func(*tokenGrant)) (*tokenGrant, error) {
	t.Helper()
	old, changed := newGrant(), newGrant()
	change(changed)
	err := rest.BeforeUpdate(s, genericapirequest.WithNamespace(t.Context(), testNamespace), changed, old)
	assert.Equal(t, newGrant(), old, "the old object was changed")
	return changed, err
}

// Users change only the metadata.
func TestStrategy_Update(t *testing.T) {
	updated, err := update(t, newStrategy(testScheme(t)), func(g *tokenGrant) {
		g.Labels["team"] = "tigers"
		g.Annotations["example.com/ticket"] = "4711"
		g.Finalizers = append(g.Finalizers, "example.com/added")
		g.Status = v1alpha1.AuthTokenGrantStatus{}
		g.Generation = 9
	})
	require.NoError(t, err)

	want := newGrant()
	want.Labels["team"] = "tigers"
	want.Annotations["example.com/ticket"] = "4711"
	want.Finalizers = append(want.Finalizers, "example.com/added")
	assert.Equal(t, want, updated)
}

// An update of the status changes the status and managed fields only.
func TestStatusStrategy_Update(t *testing.T) {
	managed := []metav1.ManagedFieldsEntry{{Manager: "revoker", Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1"}}
	updated, err := update(t, newStatusStrategy(testScheme(t)), func(g *tokenGrant) {
		g.Labels["team"] = "tigers"
		g.Finalizers = nil
		g.ManagedFields = managed
		g.Spec.ClusterRoles = nil
		g.Status.MemberObjects = nil
	})
	require.NoError(t, err)

	want := newGrant()
	want.ManagedFields = managed
	want.Status.MemberObjects = nil
	assert.Equal(t, want, updated)
}

// The pipeline changes spec and status.
func TestInternalStrategy_Update(t *testing.T) {
	for _, tc := range []struct {
		name           string
		change         func(*tokenGrant)
		wantGeneration int64
	}{
		{"of the roles makes another generation", func(g *tokenGrant) { g.Spec.ClusterRoles[0].Name = "edit" }, 4},
		{"of the rules of a role makes another generation", func(g *tokenGrant) { g.Spec.ClusterRoles[1].Rules[0].Verbs[0] = "get" }, 4},
		{"of the audiences makes another generation", func(g *tokenGrant) { g.Spec.Audiences = []string{"vault"} }, 4},
		{"of roles and requester makes another generation", func(g *tokenGrant) { g.Spec.Roles, g.Spec.Requester.Username = nil, "bob" }, 4},
		{"of the requester alone makes none", func(g *tokenGrant) { g.Spec.Requester = v1alpha1.Requester{Username: "bob"} }, 3},
		{"from no audiences to an empty list of them makes none", func(g *tokenGrant) { g.Spec.Audiences = []string{} }, 3},
		{"of the status makes none", func(g *tokenGrant) { g.Status = v1alpha1.AuthTokenGrantStatus{} }, 3},
		{"of the metadata makes none", func(g *tokenGrant) { g.Finalizers, g.Labels = nil, nil }, 3},
	} {
		t.Run("a change "+tc.name, func(t *testing.T) {
			want := newGrant()
			tc.change(want)
			want.Generation = tc.wantGeneration
			updated, err := update(t, internalStrategy{registrystrategy.New(testScheme(t))}, tc.change)
			require.NoError(t, err)
			assert.Equal(t, want, updated)
		})
	}
}

// The pipeline creates a grant with its status.
func TestInternalStrategy_Create(t *testing.T) {
	created := newGrant()
	created.Generation = 9
	rest.FillObjectMetaSystemFields(created)
	want := created.DeepCopy()
	want.Generation = 1
	ctx := genericapirequest.WithNamespace(t.Context(), testNamespace)
	require.NoError(t, rest.BeforeCreate(internalStrategy{registrystrategy.New(testScheme(t))}, ctx, created))
	assert.Equal(t, want, created)
}

// Each strategy resets what it does not set.
func TestStrategies_ResetFields(t *testing.T) {
	registrytest.ResetFields(t, v1alpha1.SchemeGroupVersion, newStrategy(testScheme(t)), newStatusStrategy(testScheme(t)))
}
