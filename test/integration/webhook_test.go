// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/testenv"
)

// whenCreated has do run once, when clusterpass is about to create an RBAC object of that resource
// on cluster, which waits for it, and lets all others pass: a member's admission webhook, so that
// what happens meanwhile happens at that very moment.
func whenCreated(t *testing.T, cluster *testenv.Cluster, resource string, do func() error) {
	t.Helper()
	var active, done atomic.Bool
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if review.Request.Name == webhookName {
			active.Store(true)
		} else if done.CompareAndSwap(false, true) {
			assert.NoError(t, do())
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		review.Request = nil
		assert.NoError(t, json.NewEncoder(w).Encode(review))
	}))
	t.Cleanup(server.Close)

	hooks := cluster.Kube(t).AdmissionregistrationV1().ValidatingWebhookConfigurations()
	testenv.Create(t, hooks, webhook(server, resource))
	t.Cleanup(func() {
		// Not t.Context(): it has ended by now.
		assert.NoError(t, hooks.Delete(context.Background(), webhookName, metav1.DeleteOptions{}))
	})
	probe := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: webhookName, Labels: map[string]string{grant.LabelManagedBy: grant.ManagedBy}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
	}
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := cluster.Kube(t).RbacV1().ClusterRoleBindings().Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && !active.Load() {
			err = errors.New("the webhook is not called yet")
		}
		return err
	})
}

const webhookName = "meanwhile.test.clusterpass.dev"

func webhook(server *httptest.Server, resource string) *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: webhookName},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: webhookName,
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL:      ptr.To(server.URL),
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{APIGroups: []string{rbacv1.GroupName}, APIVersions: []string{"v1"},
					Resources: []string{resource}},
			}},
			ObjectSelector:          &metav1.LabelSelector{MatchLabels: map[string]string{grant.LabelManagedBy: grant.ManagedBy}},
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          ptr.To[int32](10),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}
