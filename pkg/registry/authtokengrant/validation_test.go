// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokengrant

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/registrytest"
)

// What users may change.
func TestValidateUpdate(t *testing.T) {
	const (
		reserved  = "keys of clusterpass.dev are the server's to set"
		immutable = "spec: Forbidden: is immutable: only an AuthTokenRequest changes it"
	)
	for name, tc := range map[string]struct {
		change func(*tokenGrant)
		want   []string
	}{
		"nothing":              {func(*tokenGrant) {}, nil},
		"a label of their own": {func(g *tokenGrant) { g.Labels["team"] = "tigers" }, nil},
		"the roles":            {func(g *tokenGrant) { g.Spec.ClusterRoles[0].Name = "cluster-admin" }, []string{immutable}},
		"the requester":        {func(g *tokenGrant) { g.Spec.Requester.Username = "bob" }, []string{immutable}},
		"the cluster":          {func(g *tokenGrant) { g.Spec.ClusterProfile.UID = "another" }, []string{immutable}},
		"a reserved label that is new": {
			func(g *tokenGrant) { g.Labels["clusterpass.dev/new"] = "" }, []string{"metadata.labels[clusterpass.dev/new]: Forbidden: " + reserved},
		},
		"a reserved label that goes": {
			func(g *tokenGrant) { g.Labels = nil }, []string{"metadata.labels[clusterpass.dev/label]: Forbidden: " + reserved},
		},
		"the value of a reserved annotation": {
			func(g *tokenGrant) { g.Annotations["clusterpass.dev/hub-audit-id"] = "forged" },
			[]string{"metadata.annotations[clusterpass.dev/hub-audit-id]: Forbidden: " + reserved},
		},
		"the abandon annotation as a label": {
			func(g *tokenGrant) { g.Labels[v1alpha1.AnnotationAbandonMember] = abandon },
			[]string{"metadata.labels[clusterpass.dev/abandon-member]: Forbidden: " + reserved},
		},
		"the abandon annotation": {func(g *tokenGrant) { g.Annotations[v1alpha1.AnnotationAbandonMember] = abandon }, nil},
		"the abandon annotation to another value": {
			func(g *tokenGrant) { g.Annotations[v1alpha1.AnnotationAbandonMember] = "yes" },
			[]string{`metadata.annotations[clusterpass.dev/abandon-member]: Unsupported value: "yes": supported values: "true"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			updated := newGrant()
			tc.change(updated)
			assert.Equal(t, tc.want, registrytest.Messages(validateUpdate(updated, newGrant())))
		})
	}

	t.Run("the abandon annotation away", func(t *testing.T) {
		old := newGrant()
		old.Annotations[v1alpha1.AnnotationAbandonMember] = abandon
		assert.Empty(t, validateUpdate(newGrant(), old))
	})
}

// Errors name the field.
func TestValidateSpec(t *testing.T) {
	path := field.NewPath("spec")
	assert.Empty(t, validateSpec(&newGrant().Spec, path))
	assert.Equal(t, []string{
		"spec.clusterProfile.namespace: Required value",
		"spec.clusterProfile.name: Required value",
		"spec.clusterProfile.uid: Required value",
		"spec.serviceAccount.namespace: Required value",
		"spec.serviceAccount.name: Required value",
		"spec.requester.username: Required value",
	}, registrytest.Messages(validateSpec(&v1alpha1.AuthTokenGrantSpec{}, path)))

	spec := newGrant().Spec
	spec.ServiceAccount.Namespace = "Upper"
	spec.ClusterRoles = []multiclusterv1alpha1.ClusterRole{{Name: "a"}, {Name: "a", Rules: []rbacv1.PolicyRule{{}}}, {}}
	spec.Roles = []multiclusterv1alpha1.Role{{Namespace: "n", Name: "a"}, {Namespace: "m", Name: "a"}, {Namespace: "n", Name: "a"}, {}}
	spec.Audiences = []string{"a", "a"}
	assert.Equal(t, []string{
		`spec.serviceAccount.namespace: Invalid value: "Upper": a lowercase RFC 1123 label must consist of lower case alphanumeric ` +
			`characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for ` +
			`validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
		`spec.clusterRoles[1].name: Duplicate value: "a"`,
		`spec.clusterRoles[1].rules[0].verbs: Required value`,
		`spec.clusterRoles[2].name: Required value`,
		`spec.roles[2]: Duplicate value: "n/a"`,
		`spec.roles[3].namespace: Required value`,
		`spec.roles[3].name: Required value`,
		`spec.audiences[1]: Duplicate value: "a"`,
	}, registrytest.Messages(validateSpec(&spec, path)))

	many := newGrant().Spec
	many.ClusterRoles, many.Roles, many.Audiences = nil, nil, nil
	for i := range 21 {
		name := fmt.Sprintf("name-%d", i)
		many.ClusterRoles = append(many.ClusterRoles, multiclusterv1alpha1.ClusterRole{Name: name})
		many.Roles = append(many.Roles, multiclusterv1alpha1.Role{Namespace: "n", Name: name})
		many.Audiences = append(many.Audiences, name)
	}
	assert.Equal(t, []string{
		"spec.clusterRoles: Too many: 21: must have at most 20 items",
		"spec.roles: Too many: 21: must have at most 20 items",
		"spec.audiences: Too many: 21: must have at most 20 items",
	}, registrytest.Messages(validateSpec(&many, path)))
}

// What a grant is of never changes.
func TestValidateInternalUpdate(t *testing.T) {
	updated := newGrant()
	updated.Spec.ClusterProfile.UID = "another"
	updated.Spec.ServiceAccount.Name = "another"
	var fields []string
	for _, err := range validateInternalUpdate(updated, newGrant()) {
		fields = append(fields, err.Field+": "+err.Detail)
	}
	assert.Equal(t, []string{"spec.clusterProfile: field is immutable", "spec.serviceAccount: field is immutable"}, fields)

	updated = newGrant()
	updated.Spec.ClusterRoles, updated.Spec.Requester.Username = nil, "bob"
	assert.Empty(t, validateInternalUpdate(updated, newGrant()))
}

// Errors name the field.
func TestValidateStatus(t *testing.T) {
	path := field.NewPath("status")
	assert.Empty(t, validateStatus(&newGrant().Status, path))
	assert.Empty(t, validateStatus(&v1alpha1.AuthTokenGrantStatus{}, path))
	assert.Equal(t, []string{
		"status.conditions[0].reason: Required value",
		"status.conditions[0].lastTransitionTime: Required value",
		"status.memberObjects[0].namespace: Required value",
		`status.memberObjects[1].namespace: Invalid value: "default": ClusterRole is in no namespace`,
		"status.memberObjects[1].name: Required value",
		`status.memberObjects[2].kind: Unsupported value: "Namespace": supported values: "ServiceAccount", "Secret", "Role", ` +
			`"RoleBinding", "ClusterRole", "ClusterRoleBinding"`,
		"status.observedGeneration: Invalid value: -1: must not be negative",
		"status.lastRequester.username: Required value",
		"status.accessProvider.name: Required value",
		`status.memberUID: Invalid value: "a\nb": a valid label must be an empty string or consist of alphanumeric characters, ` +
			`'-', '_' or '.', and must start and end with an alphanumeric character ` +
			`(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
	}, registrytest.Messages(validateStatus(&v1alpha1.AuthTokenGrantStatus{
		ObservedGeneration: -1, LastRequester: &v1alpha1.Requester{}, AccessProvider: &inventoryv1alpha1.AccessProvider{},
		MemberUID: "a\nb", Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue}},
		MemberObjects: []v1alpha1.MemberObject{
			{Kind: "Secret", Name: "binding"}, {Kind: "ClusterRole", Namespace: "default"}, {Kind: "Namespace", Name: "default"},
		},
	}, path)))
}

// An update of all roles fits the member objects.
func TestValidateStatus_MemberObjects(t *testing.T) {
	type object = v1alpha1.MemberObject
	objects := []object{{Kind: "ServiceAccount", Namespace: "n", Name: "work"}, {Kind: "Secret", Namespace: "n", Name: "work"}}
	for i := range 2 * multiclusterv1alpha1.MaxRoles {
		name := fmt.Sprintf("clusterpass:%d", i)
		objects = append(objects, object{Kind: "ClusterRole", Name: name}, object{Kind: "ClusterRoleBinding", Name: name},
			object{Kind: "Role", Namespace: "n", Name: name}, object{Kind: "RoleBinding", Namespace: "n", Name: name})
	}
	status, path := &v1alpha1.AuthTokenGrantStatus{MemberObjects: objects}, field.NewPath("status")
	assert.Empty(t, validateStatus(status, path))
	status.MemberObjects = append(status.MemberObjects, objects[0])
	const words = "status.memberObjects: Too many: 163: must have at most 162 items"
	assert.Equal(t, []string{words}, registrytest.Messages(validateStatus(status, path)))
}

// The finalizer goes only when the tokens have ended.
func TestValidateUpdate_Finalizer(t *testing.T) {
	now := metav1.Now()
	deleted := func(change func(*tokenGrant)) *tokenGrant {
		g := newGrant()
		g.DeletionTimestamp = &now
		g.Status.ExpirationCeiling, g.Status.RightsEndedTime = &now, nil
		change(g)
		return g
	}
	abandoned := func(g *tokenGrant) { g.Annotations[v1alpha1.AnnotationAbandonMember] = abandon }
	for name, tc := range map[string]struct {
		old     *tokenGrant
		refused bool
	}{
		"a grant that is not being deleted": {deleted(func(g *tokenGrant) {
			g.DeletionTimestamp, g.Status.RightsEndedTime = nil, &now
		}), true},
		"one whose tokens may have rights":      {deleted(func(*tokenGrant) {}), true},
		"one whose tokens have none any more":   {deleted(func(g *tokenGrant) { g.Status.RightsEndedTime = &now }), false},
		"one that never had a token":            {deleted(func(g *tokenGrant) { g.Status.ExpirationCeiling = nil }), false},
		"one whose member is given up for lost": {deleted(abandoned), false},
		"one that is given up for lost and not deleted": {deleted(func(g *tokenGrant) {
			g.DeletionTimestamp = nil
			abandoned(g)
		}), true},
	} {
		t.Run(name, func(t *testing.T) {
			changed := tc.old.DeepCopy()
			changed.Finalizers = nil
			assert.Equal(t, tc.refused, len(validateUpdate(changed, tc.old)) > 0)
		})
	}
}
