// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestClient_ErrorDenied(t *testing.T) {
	client := &Client{name: types.NamespacedName{Namespace: "default", Name: "bravelion"}}
	for name, test := range map[string]struct {
		status     metav1.Status
		reason     metav1.StatusReason
		cause      metav1.CauseType
		words      string
		retryAfter int32
	}{
		"an exceeded quota": {
			status: metav1.Status{Code: 403, Reason: metav1.StatusReasonForbidden,
				Message: `serviceaccounts "work" is forbidden: exceeded quota: few, ` +
					`requested: count/serviceaccounts=1, used: count/serviceaccounts=1, limited: count/serviceaccounts=1`},
			reason: ReasonQuotaExceeded, cause: CauseQuota, words: "exceeded quota: few", retryAfter: 30,
		},
		"a quota that is not counted yet": {
			status: metav1.Status{Code: 403, Reason: metav1.StatusReasonForbidden,
				Message: `secrets "x" is forbidden: status unknown for quota: few, resources: count/secrets`},
			reason: ReasonQuotaExceeded, cause: CauseQuota, words: "status unknown for quota", retryAfter: 30,
		},
		"a namespace that is being deleted": {
			status: metav1.Status{
				Code: 403, Reason: metav1.StatusReasonForbidden,
				Message: `serviceaccounts "work" is forbidden: unable to create new content in namespace team because it is being terminated`,
				Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}},
			},
			reason: ReasonNamespaceTerminating, cause: CauseTerminating, words: "namespace team because it is being terminated", retryAfter: 15,
		},
		"an admission policy": {
			status: metav1.Status{Code: 422, Reason: metav1.StatusReasonInvalid,
				Message: `clusterrolebindings.rbac.authorization.k8s.io "x" is forbidden: ` +
					`ValidatingAdmissionPolicy 'no-admins' with binding 'all' denied request: no admins`},
			reason: ReasonPolicyDenied, cause: CausePolicy, words: "denied request: no admins",
		},
		"an admission policy that answers 401": {
			status: metav1.Status{Code: 401, Reason: metav1.StatusReasonUnauthorized,
				Message: `secrets "x" is forbidden: ValidatingAdmissionPolicy 'p' denied request: log in`},
			reason: ReasonPolicyDenied, cause: CausePolicy, words: "denied request: log in",
		},
		"an admission webhook": {
			status: metav1.Status{Code: 400, Message: `admission webhook "validate.kyverno.svc" denied the request: label team is missing`},
			reason: ReasonPolicyDenied, cause: CausePolicy, words: "label team is missing",
		},
		"an admission webhook that says no more": {
			status: metav1.Status{Code: 500, Message: `admission webhook "x.example.com" denied the request without explanation`},
			reason: ReasonPolicyDenied, cause: CausePolicy, words: "without explanation",
		},
	} {
		t.Run(name, func(t *testing.T) {
			raw := &apierrors.StatusError{ErrStatus: test.status}
			status := statusBecause(t, client.Error(raw, "prepare ServiceAccount default/work"), test.cause)
			assert.Equal(t, int32(http.StatusConflict), status.Code)
			assert.Equal(t, test.reason, status.Reason)
			require.Len(t, status.Details.Causes, 1)
			assert.Equal(t, test.retryAfter, status.Details.RetryAfterSeconds)
			assert.Contains(t, status.Message, "cluster default/bravelion: could not prepare ServiceAccount default/work: ")
			assert.Contains(t, status.Message, test.words)
			assert.NotContains(t, status.Message, "does not allow clusterpass")
			denied, retryable := IsDenied(raw)
			assert.True(t, denied)
			assert.Equal(t, test.retryAfter > 0, retryable)
		})
	}

	t.Run("RBAC is none", func(t *testing.T) {
		raw := &apierrors.StatusError{ErrStatus: metav1.Status{
			Code: 403, Message: `secrets is forbidden: User "system:serviceaccount:clusterpass-system:clusterpass" cannot create resource "secrets"`,
		}}
		assert.Equal(t, CauseForbidden, statusErr(t, client.Error(raw, "x")).Details.Causes[0].Type)
		denied, _ := IsDenied(raw)
		assert.False(t, denied)
		denied, _ = IsDenied(errors.New("exceeded quota: it only says so"))
		assert.False(t, denied)
	})

	t.Run("the cure is there however long the words are", func(t *testing.T) {
		raw := &apierrors.StatusError{ErrStatus: metav1.Status{Code: 403, Message: "exceeded quota: " + strings.Repeat("x", 1<<20)}}
		message := client.Error(raw, "x").Error()
		assert.Less(t, len(message), 2*maxWords)
		assert.Contains(t, message, "raise the quota there")
	})
}

// No reason is passed on that a member makes up.
// The reason of a Status is a label of metrics. A member chooses it among those that are known.
func TestClient_ErrorReasons(t *testing.T) {
	client := &Client{}
	for reason, want := range map[metav1.StatusReason]metav1.StatusReason{
		metav1.StatusReasonAlreadyExists: metav1.StatusReasonAlreadyExists,
		"made-up-0815":                   metav1.StatusReasonUnknown,
		ReasonQuotaExceeded:              metav1.StatusReasonUnknown,
	} {
		err := client.Error(&apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusConflict, Reason: reason}}, "x")
		assert.Equal(t, want, statusErr(t, err).Reason)
	}
}

// No token is passed on from a member's words.
func TestClient_AnswerErrorWithToken(t *testing.T) {
	token := "eyJhbGciOiJSUzI1NiJ9." + strings.Repeat("eyJpc3Mi", 200) + ".c2lnbmF0dXJl"
	for _, code := range []int32{http.StatusBadGateway, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound} {
		err := (&Client{}).answerError(metav1.Status{Code: code, Message: "the proxy was sent Authorization: Bearer " + token + " and more"},
			"list pods")
		assert.NotContains(t, err.Error(), "eyJ")
		assert.ErrorContains(t, err, "Bearer (a token) and more")
	}
}
