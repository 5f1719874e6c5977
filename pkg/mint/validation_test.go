// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
)

// validRequest is the talk's request, defaulted.
func validRequest() *v1alpha1.AuthTokenRequest {
	r := &v1alpha1.AuthTokenRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "work"},
		Spec: v1alpha1.AuthTokenRequestSpec{
			TargetClusterProfile:    v1alpha1.ClusterProfileReference{Name: "bravelion", Namespace: "default"},
			ServiceAccountNamespace: "default", ServiceAccountName: "work",
			ClusterRoles: []v1alpha1.ClusterRole{{Name: "cluster-admin"}},
		},
	}
	v1alpha1.SetDefaults_AuthTokenRequest(r)
	return r
}

func TestValidate(t *testing.T) {
	rule := rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}
	manyRoles := make([]v1alpha1.ClusterRole, v1alpha1.MaxRoles+1)
	for i := range manyRoles {
		manyRoles[i].Name = strings.Repeat("r", i+1)
	}
	reserved := []v1alpha1.Role{{Namespace: "kube-system", Name: "extension-apiserver-authentication-reader"}}
	sameClusterRole := []v1alpha1.ClusterRole{{Name: "view"}, {Name: "view", Rules: []rbacv1.PolicyRule{rule}}}
	sameRole := []v1alpha1.Role{{Namespace: "ml", Name: "jobs"}, {Namespace: "dev", Name: "jobs"}, {Namespace: "ml", Name: "jobs"}}
	withoutVerbs := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}}}
	ofURLs := []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics"}}}
	type request = v1alpha1.AuthTokenRequest
	tests := map[string]struct {
		change func(r *request)
		want   string
	}{
		"the talk's request": {func(*request) {}, ""},
		"no name at all":     {func(r *request) { r.Name = "" }, ""},
		"the group alone":    {func(r *request) { r.Spec.TargetClusterProfile.APIGroup = "multicluster.x-k8s.io" }, ""},
		"another group": {
			func(r *request) { r.Spec.TargetClusterProfile.APIGroup = "example.com" }, "spec.targetClusterProfile.apiGroup: Unsupported value",
		},
		"another kind": {func(r *request) { r.Spec.TargetClusterProfile.Kind = "Cluster" }, "spec.targetClusterProfile.kind: Unsupported value"},
		"no target":    {func(r *request) { r.Spec.TargetClusterProfile.Name = "" }, "spec.targetClusterProfile.name: Required value"},
		"a target that is a path": {
			func(r *request) { r.Spec.TargetClusterProfile.Name = "a/b" }, "spec.targetClusterProfile.name: Invalid value",
		},
		"no service account": {
			func(r *request) { r.Spec.ServiceAccountName, r.Spec.ServiceAccountNamespace = "", "" },
			"spec.serviceAccountName: Required value, spec.serviceAccountNamespace: Required value",
		},
		"a service account in kube-system": {
			func(r *request) { r.Spec.ServiceAccountNamespace = "kube-system" }, "spec.serviceAccountNamespace: Forbidden",
		},
		"a service account in clusterpass's own namespace": {
			func(r *request) { r.Spec.ServiceAccountNamespace = "clusterpass-system" }, "spec.serviceAccountNamespace: Forbidden",
		},
		"a service account in a reserved namespace that a flag allows": {func(r *request) { r.Spec.ServiceAccountNamespace = "kube-public" }, ""},
		"a role in kube-system":    {func(r *request) { r.Spec.Roles = reserved }, "spec.roles[0].namespace: Forbidden"},
		"a role name with a colon": {func(r *request) { r.Spec.ClusterRoles[0].Name = "system:node" }, ""},
		"a role name with a slash": {func(r *request) { r.Spec.ClusterRoles[0].Name = "a/b" }, "spec.clusterRoles[0].name: Invalid value"},
		"a role name with a star":  {func(r *request) { r.Spec.ClusterRoles[0].Name = "*" }, "spec.clusterRoles[0].name: Invalid value"},
		"a role made for another request": {
			func(r *request) { r.Spec.ClusterRoles[0].Name = "clusterpass:abc:admin" }, "spec.clusterRoles[0].name: Forbidden",
		},
		"a role twice":   {func(r *request) { r.Spec.ClusterRoles = sameClusterRole }, "spec.clusterRoles[1].name: Duplicate value"},
		"a Role twice":   {func(r *request) { r.Spec.Roles = sameRole }, "spec.roles[2]: Duplicate value"},
		"too many roles": {func(r *request) { r.Spec.ClusterRoles = manyRoles }, "spec.clusterRoles: Too many"},
		"rules without verbs": {
			func(r *request) { r.Spec.ClusterRoles[0].Rules = withoutVerbs }, "spec.clusterRoles[0].rules[0].verbs: Required value",
		},
		"rules of a Role for URLs": {
			func(r *request) { r.Spec.Roles = []v1alpha1.Role{{Namespace: "default", Name: "r", Rules: ofURLs}} },
			"spec.roles[0].rules[0].nonResourceURLs: Invalid value",
		},
		"an audience twice":       {func(r *request) { r.Spec.Audiences = []string{"vault", "vault"} }, "spec.audiences[1]: Duplicate value"},
		"an audience with a star": {func(r *request) { r.Spec.Audiences = []string{"*"} }, "spec.audiences[0]: Invalid value"},
		"nine minutes":            {func(r *request) { r.Spec.ExpirationSeconds = ptr.To[int64](540) }, "spec.expirationSeconds: Invalid value"},
		"labels of the server": {
			func(r *request) { r.Labels = map[string]string{grant.LabelGrantUID: "x"} }, "metadata.labels[clusterpass.dev/grant-uid]: Forbidden",
		},
	}
	m := New(Config{AllowedNamespaces: sets.New("kube-public")})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := validRequest()
			test.change(r)
			var got []string
			for _, err := range m.Validate(r) {
				got = append(got, err.Field+": "+err.Type.String())
			}
			assert.Equal(t, test.want, strings.Join(got, ", "))
		})
	}
}
