// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of a Status for what a member's admission denies although the member's RBAC allows it.
const (
	// ReasonQuotaExceeded: a ResourceQuota of the member leaves no room.
	ReasonQuotaExceeded metav1.StatusReason = "MemberQuotaExceeded"
	// ReasonPolicyDenied: an admission policy or an admission webhook of the member denies the
	// request.
	ReasonPolicyDenied metav1.StatusReason = "MemberPolicyDenied"
	// ReasonNamespaceTerminating: the namespace on the member is being deleted.
	ReasonNamespaceTerminating metav1.StatusReason = "MemberNamespaceTerminating"
)

// denial is how a refusal by a member's admission is reported to the requester.
type denial struct {
	reason     metav1.StatusReason
	cause      metav1.CauseType
	words      string
	cure       string
	retryAfter int32
}

// denialCode is the HTTP status code of all denials. 403 would look like a refusal of the
// requester, and 422 requires a field. Clients retry 5xx with Retry-After by themselves.
const denialCode = http.StatusConflict

var (
	overQuota = &denial{
		ReasonQuotaExceeded, CauseQuota,
		"a ResourceQuota of the member leaves no room: ",
		"; raise the quota there, or delete what is not needed, and try again", 30,
	}
	byPolicy = &denial{
		ReasonPolicyDenied, CausePolicy,
		"an admission policy of the member denies it: ",
		"; ask for what the policy allows, or exempt clusterpass from it there", 0,
	}
	terminating = &denial{
		ReasonNamespaceTerminating, CauseTerminating,
		"the namespace on the member is being deleted: ",
		"; try again when it is gone, or choose another namespace", 15,
	}
)

// The words of k8s.io/apiserver. Errors of quotas and policies have no type of their own.
var (
	quotaWords  = regexp.MustCompile(`\b(?:exceeded|failed|status unknown for) quota: |\binsufficient quota to match these scopes: `)
	policyWords = regexp.MustCompile(`\b(?:Validating|Mutating)AdmissionPolicy '[^']*'(?: with binding '[^']*')? denied request\b|` +
		`\badmission webhook "[^"]*" denied the request\b`)
)

// denialOf returns which denial a member's answer is, or nil if admission did not deny the request.
// A policy chooses its code, which may be 401, too.
func denialOf(status metav1.Status) *denial {
	isTerminating := func(c metav1.StatusCause) bool { return c.Type == corev1.NamespaceTerminatingCause }
	switch {
	case policyWords.MatchString(status.Message):
		return byPolicy
	case status.Code != http.StatusForbidden:
		return nil
	case status.Details != nil && slices.ContainsFunc(status.Details.Causes, isTerminating):
		return terminating
	case quotaWords.MatchString(status.Message):
		return overQuota
	}
	return nil
}

// IsDenied returns whether err, the error of a call to a member, says that the member's admission
// denied the request, and whether the member may allow the same request later.
func IsDenied(err error) (denied, retryable bool) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false, false
	}
	d := denialOf(status.Status())
	return d != nil, d != nil && d.retryAfter > 0
}

// denialError returns the error that reports a denial to the requester.
func (c *Client) denialError(d *denial, words, doing string) *apierrors.StatusError {
	err := newStatusError(c.name, denialCode, d.cause, fmt.Sprintf("could not %s: %s%s%s", doing, d.words, clip(words), d.cure), d.retryAfter)
	err.ErrStatus.Reason = d.reason
	return err
}
