// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

func TestEntitlementID(t *testing.T) {
	request := func() Request { return Request{Namespace: "default", Spec: validRequest().Spec} }
	base := newEntitlement("hub", request(), "uid-1")
	if errs := validation.IsValidLabelValue(base.id); len(errs) > 0 {
		t.Errorf("id %q does not fit a label: %v", base.id, errs)
	}

	different := map[string]func(r *Request) *entitlement{
		"another hub":     func(r *Request) *entitlement { return newEntitlement("other", *r, "uid-1") },
		"another cluster": func(r *Request) *entitlement { return newEntitlement("hub", *r, "uid-2") },
		"another namespace of the request": func(r *Request) *entitlement {
			r.Namespace = "team-a"
			return newEntitlement("hub", *r, "uid-1")
		},
		"another service account": func(r *Request) *entitlement {
			r.Spec.ServiceAccountName = "other"
			return newEntitlement("hub", *r, "uid-1")
		},
		"another namespace of the service account": func(r *Request) *entitlement {
			r.Spec.ServiceAccountNamespace = "other"
			return newEntitlement("hub", *r, "uid-1")
		},
		"a role fewer": func(r *Request) *entitlement {
			r.Spec.ClusterRoles = nil
			return newEntitlement("hub", *r, "uid-1")
		},
		"rules under the same name": func(r *Request) *entitlement {
			r.Spec.ClusterRoles[0].Rules = []rbacv1.PolicyRule{{Verbs: []string{"get"}}}
			return newEntitlement("hub", *r, "uid-1")
		},
		"an audience": func(r *Request) *entitlement {
			r.Spec.Audiences = []string{"vault"}
			return newEntitlement("hub", *r, "uid-1")
		},
		"a Role in the place of a ClusterRole": func(r *Request) *entitlement {
			r.Spec.ClusterRoles = nil
			r.Spec.Roles = []v1alpha1.Role{{Namespace: "default", Name: "cluster-admin"}}
			return newEntitlement("hub", *r, "uid-1")
		},
	}
	for name, change := range different {
		t.Run(name+" is another entitlement", func(t *testing.T) {
			r := request()
			if got := change(&r); got.id == base.id {
				t.Errorf("the same id: %s", got.id)
			}
		})
	}

	same := map[string]func(r *Request){
		"another lifetime": func(r *Request) { r.Spec.ExpirationSeconds = nil },
		"another audit id": func(r *Request) { r.AuditID = "8c1f7f5e-8e3f-4c0b-9d3c-2f2c8a3b5d11" },
		"roles in another order": func(r *Request) {
			r.Spec.ClusterRoles = []v1alpha1.ClusterRole{{Name: "b"}, {Name: "a"}}
		},
	}
	for name, change := range same {
		t.Run(name+" is the same entitlement", func(t *testing.T) {
			r := request()
			if name == "roles in another order" {
				r.Spec.ClusterRoles = []v1alpha1.ClusterRole{{Name: "a"}, {Name: "b"}}
				base := newEntitlement("hub", r, "uid-1")
				change(&r)
				if got := newEntitlement("hub", r, "uid-1"); got.id != base.id {
					t.Errorf("ids differ")
				}
				return
			}
			change(&r)
			if got := newEntitlement("hub", r, "uid-1"); got.id != base.id {
				t.Errorf("ids differ")
			}
		})
	}
}

func TestAuditIDIsOnlyEverAUUID(t *testing.T) {
	const id = "8c1f7f5e-8e3f-4c0b-9d3c-2f2c8a3b5d11"
	for given, want := range map[string]string{
		id:                     id,
		"":                     "",
		"x\ny":                 "",
		"8c1f7f5e' or '1'='1":  "",
		"urn:uuid:" + id:       id,
		"not-a-uuid-but-short": "",
	} {
		if got := validAuditID(given); got != want {
			t.Errorf("validAuditID(%q) = %q, want %q", given, got, want)
		}
	}
}

func TestOwns(t *testing.T) {
	e := newEntitlement("hub", Request{Namespace: "default", Spec: validRequest().Spec}, "uid-1")
	for name, test := range map[string]struct {
		labels map[string]string
		want   bool
	}{
		"its own":               {e.meta("", "x").Labels, true},
		"no labels":             {nil, false},
		"another hub's":         {map[string]string{LabelManagedBy: ManagedBy, LabelHubID: "other", LabelGrantUID: e.id}, false},
		"another entitlement's": {map[string]string{LabelManagedBy: ManagedBy, LabelHubID: "hub", LabelGrantUID: "other"}, false},
		"somebody else's":       {map[string]string{LabelManagedBy: "helm", LabelHubID: "hub", LabelGrantUID: e.id}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := e.owns(&metav1.ObjectMeta{Labels: test.labels}); got != test.want {
				t.Errorf("owns = %v, want %v", got, test.want)
			}
		})
	}
}
