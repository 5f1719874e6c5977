// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/rest"

	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/testenv"
)

// auditEvent returns the first event in an audit log that matches, or nil.
func auditEvent(path string, match func(*auditv1.Event) bool) (found *auditv1.Event, err error) {
	files, err := testenv.AuditLogs(path)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		err := testenv.EachAuditEvent(file, func(event *auditv1.Event) {
			if found == nil && event.Stage == auditv1.StageResponseComplete && match(event) {
				found = event
			}
		})
		if err != nil || found != nil {
			return found, err
		}
	}
	return nil, nil //nolint:nilnil // none is an answer here
}

func awaitAuditEvent(t *testing.T, file string, match func(*auditv1.Event) bool) (found *auditv1.Event) {
	t.Helper()
	testenv.Eventually(t, func(context.Context) (err error) {
		found, err = auditEvent(file, match)
		if err == nil && found == nil {
			err = fmt.Errorf("no such event in %s", file)
		}
		return err
	})
	return found
}

// What a token did on a member leads to who asked for it on the hub, and the other way round.
func TestAudit_CredentialID(t *testing.T) {
	user := grantTo(t, "audited", mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind:view", "in:default"))
	auditID := uuid.NewString()
	asked := rest.CopyConfig(user)
	asked.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set(auditv1.HeaderAuditID, auditID)
			return rt.RoundTrip(r)
		})
	})
	answer := mintFor(t, asked, request("bravelion", "audited", "view"))
	g := getGrant(t, answer.Status.GrantName)
	used := time.Now()
	testenv.List(t, testenv.Kube(t, fromKubeconfig(t, answer)).CoreV1().ConfigMaps("default"), metav1.ListOptions{})

	onMember := awaitAuditEvent(t, shared.Bravelion.AuditLog(), func(e *auditv1.Event) bool {
		return e.User.Username == "system:serviceaccount:default:audited" && e.ObjectRef != nil && e.ObjectRef.Resource == "configmaps" &&
			e.RequestReceivedTimestamp.After(used)
	})
	credential := onMember.User.Extra["authentication.kubernetes.io/credential-id"]
	require.Len(t, credential, 1)
	onHub := awaitAuditEvent(t, serverAuditLog(), func(e *auditv1.Event) bool {
		return e.Annotations["clusterpass.dev/credential-id"] == credential[0]
	})
	want := map[string]string{
		"clusterpass.dev/grant":               "default/" + g.Name,
		"clusterpass.dev/grant-uid":           string(g.UID),
		"clusterpass.dev/cluster-profile":     "default/bravelion",
		"clusterpass.dev/cluster-profile-uid": string(g.Spec.ClusterProfile.UID),
		"clusterpass.dev/service-account":     "default/audited",
		"clusterpass.dev/roles":               `["view"]`,
		"clusterpass.dev/expiration":          answer.Status.ExpirationTimestamp.UTC().Format(time.RFC3339),
	}
	for key, value := range want {
		assert.Equal(t, value, onHub.Annotations[key], key)
	}
	assert.Equal(t, "audited", onHub.User.Username)
	assert.EqualValues(t, auditID, onHub.AuditID)
	assert.Equal(t, auditv1.LevelMetadata, onHub.Level)
	assert.Nil(t, onHub.ResponseObject)
	account := testenv.Get(t, shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("default"), "audited")
	assert.Equal(t, auditID, account.Annotations[grant.AnnotationAuditID])
	assert.Equal(t, "default/"+g.Name, account.Annotations[grant.AnnotationGrant])
}

func TestAudit_Revocation(t *testing.T) {
	name := mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "audited-end", "view")).Status.GrantName
	require.NoError(t, grants(t).Delete(t.Context(), name, metav1.DeleteOptions{}))
	t.Cleanup(func() { forget(t, name) })
	event := awaitAuditEvent(t, serverAuditLog(), func(e *auditv1.Event) bool {
		return e.Verb == "delete" && e.ObjectRef != nil && e.ObjectRef.Name == name
	})
	assert.Equal(t, "authtokengrants", event.ObjectRef.Resource)
	assert.Contains(t, event.User.Groups, "system:masters")
}
