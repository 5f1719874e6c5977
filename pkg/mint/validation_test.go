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
			ServiceAccountName:      "work",
			ServiceAccountNamespace: "default",
			ClusterRoles:            []v1alpha1.ClusterRole{{Name: "cluster-admin"}},
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
	tests := map[string]struct {
		change func(r *v1alpha1.AuthTokenRequest)
		want   []string
	}{
		"the talk's request": {change: func(*v1alpha1.AuthTokenRequest) {}},
		"no name at all":     {change: func(r *v1alpha1.AuthTokenRequest) { r.Name = "" }},
		"the group alone": {change: func(r *v1alpha1.AuthTokenRequest) {
			r.Spec.TargetClusterProfile.APIGroup = "multicluster.x-k8s.io"
		}},
		"another group": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.TargetClusterProfile.APIGroup = "example.com" },
			want:   []string{"spec.targetClusterProfile.apiGroup: Unsupported value"},
		},
		"another kind": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.TargetClusterProfile.Kind = "Cluster" },
			want:   []string{"spec.targetClusterProfile.kind: Unsupported value"},
		},
		"no target": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.TargetClusterProfile.Name = "" },
			want:   []string{"spec.targetClusterProfile.name: Required value"},
		},
		"a target that is a path": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.TargetClusterProfile.Name = "a/b" },
			want:   []string{"spec.targetClusterProfile.name: Invalid value"},
		},
		"no service account": {
			change: func(r *v1alpha1.AuthTokenRequest) {
				r.Spec.ServiceAccountName, r.Spec.ServiceAccountNamespace = "", ""
			},
			want: []string{"spec.serviceAccountName: Required value", "spec.serviceAccountNamespace: Required value"},
		},
		"a service account in kube-system": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.ServiceAccountNamespace = "kube-system" },
			want:   []string{"spec.serviceAccountNamespace: Forbidden"},
		},
		"a service account in clusterpass's own namespace": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.ServiceAccountNamespace = "clusterpass-system" },
			want:   []string{"spec.serviceAccountNamespace: Forbidden"},
		},
		"a service account in a reserved namespace that a flag allows": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.ServiceAccountNamespace = "kube-public" },
		},
		"a role in kube-system": {
			change: func(r *v1alpha1.AuthTokenRequest) {
				r.Spec.Roles = []v1alpha1.Role{{Namespace: "kube-system", Name: "extension-apiserver-authentication-reader"}}
			},
			want: []string{"spec.roles[0].namespace: Forbidden"},
		},
		"a role name with a colon": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.ClusterRoles[0].Name = "system:node" },
		},
		"a role name with a slash": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.ClusterRoles[0].Name = "a/b" },
			want:   []string{"spec.clusterRoles[0].name: Invalid value"},
		},
		"a role name with a star": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.ClusterRoles[0].Name = "*" },
			want:   []string{"spec.clusterRoles[0].name: Invalid value"},
		},
		"a role made for another request": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.ClusterRoles[0].Name = "clusterpass:abc:admin" },
			want:   []string{"spec.clusterRoles[0].name: Forbidden"},
		},
		"a role twice": {
			change: func(r *v1alpha1.AuthTokenRequest) {
				r.Spec.ClusterRoles = []v1alpha1.ClusterRole{{Name: "view"}, {Name: "view", Rules: []rbacv1.PolicyRule{rule}}}
			},
			want: []string{"spec.clusterRoles[1].name: Duplicate value"},
		},
		"too many roles": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.ClusterRoles = manyRoles },
			want:   []string{"spec.clusterRoles: Too many"},
		},
		"rules without verbs": {
			change: func(r *v1alpha1.AuthTokenRequest) {
				r.Spec.ClusterRoles[0].Rules = []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}}}
			},
			want: []string{"spec.clusterRoles[0].rules[0].verbs: Required value"},
		},
		"rules of a Role for URLs": {
			change: func(r *v1alpha1.AuthTokenRequest) {
				r.Spec.Roles = []v1alpha1.Role{{Namespace: "default", Name: "r", Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics"}}}}}
			},
			want: []string{"spec.roles[0].rules[0].nonResourceURLs: Invalid value"},
		},
		"an audience twice": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.Audiences = []string{"vault", "vault"} },
			want:   []string{"spec.audiences[1]: Duplicate value"},
		},
		"an audience with a star": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.Audiences = []string{"*"} },
			want:   []string{"spec.audiences[0]: Invalid value"},
		},
		"nine minutes": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Spec.ExpirationSeconds = ptr.To[int64](540) },
			want:   []string{"spec.expirationSeconds: Invalid value"},
		},
		"labels of the server": {
			change: func(r *v1alpha1.AuthTokenRequest) { r.Labels = map[string]string{grant.LabelGrantUID: "x"} },
			want:   []string{"metadata.labels[clusterpass.dev/grant-uid]: Forbidden"},
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
			assert.Equal(t, test.want, got)
		})
	}
}
