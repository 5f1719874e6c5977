// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/words"
)

// The types of the first cause in the details of a Status about a member: see Client.Error, and
// also CauseIdentity and CauseLeaving.
const (
	// CauseNoAccess: there is no usable access provider, or its data is refused.
	CauseNoAccess metav1.CauseType = "MemberAccess"
	// CauseUnreachable: there is no connection, or it broke.
	CauseUnreachable metav1.CauseType = "MemberUnreachable"
	// CauseTimeout: the member did not answer in time.
	CauseTimeout metav1.CauseType = "MemberTimeout"
	// CauseTLS: one side does not accept the other's certificate.
	CauseTLS metav1.CauseType = "MemberTLS"
	// CausePlugin: the credential plugin gave no credential.
	CausePlugin metav1.CauseType = "MemberCredentialPlugin"
	// CauseUnauthorized: the member does not accept the credential of clusterpass.
	CauseUnauthorized metav1.CauseType = "MemberUnauthorized"
	// CauseForbidden: the member does not give clusterpass the rights that the request needs.
	CauseForbidden metav1.CauseType = "MemberForbidden"
	// CauseQuota: a ResourceQuota of the member leaves no room for what the request needs.
	CauseQuota metav1.CauseType = "MemberQuota"
	// CausePolicy: an admission policy or an admission webhook of the member denies what the request
	// needs.
	CausePolicy metav1.CauseType = "MemberPolicy"
	// CauseTerminating: the namespace on the member is being deleted.
	CauseTerminating metav1.CauseType = "MemberNamespaceTerminating"
	// CauseRedirect: the member answers with a redirect.
	CauseRedirect metav1.CauseType = "MemberRedirect"
	// CauseThrottled: the member asks clients to retry later.
	CauseThrottled metav1.CauseType = "MemberThrottled"
	// CauseBusy: too many calls to the member are in flight.
	CauseBusy metav1.CauseType = "MemberBusy"
	// CauseBreakerOpen: the breaker is open, because the member did not answer.
	CauseBreakerOpen metav1.CauseType = "MemberBreakerOpen"
	// CauseAnswer: the member's answer is another error, or is invalid.
	CauseAnswer metav1.CauseType = "MemberAnswer"

	// causeCancelled: the caller cancelled the call. No requester gets it.
	causeCancelled metav1.CauseType = "Cancelled"
)

// maxWords bounds a member's text in a message, in bytes.
const maxWords = 1024

// Error returns the metav1.Status error that requesters get for err, the error of a call to the
// member, and nil for nil. doing says what the call was for, and continues "could not". The message
// names the cluster and keeps the text of the cause, without the name of clusterpass's user on the
// member.
//
//	what happened                                         code  reason              cause                   Retry-After
//	no connection, DNS, broken connection                 504   Timeout             MemberUnreachable
//	no answer in time                                     504   Timeout             MemberTimeout
//	certificate not trusted, expired, for another name    503   ServiceUnavailable  MemberTLS
//	credential plugin failed                              503   ServiceUnavailable  MemberCredentialPlugin
//	member's 401: our credential is not accepted          503   ServiceUnavailable  MemberUnauthorized
//	member's 403: we are not allowed to                   503   ServiceUnavailable  MemberForbidden
//	member's ResourceQuota leaves no room                 409   MemberQuotaExceeded MemberQuota             30 s
//	member's policy or webhook denies it, by any code     409   MemberPolicyDenied  MemberPolicy
//	namespace on the member is being deleted              409   the cause           MemberNamespaceTerminating  15 s
//	redirect                                              503   ServiceUnavailable  MemberRedirect
//	member's 429                                          429   TooManyRequests     MemberThrottled         member's, or 1 s
//	member's 503                                          503   ServiceUnavailable  MemberThrottled         member's, or none
//	too many calls to the member in flight                429   TooManyRequests     MemberBusy              1 s
//	breaker open: the member did not answer               503   ServiceUnavailable  MemberBreakerOpen       until the next probe
//	member's 504                                          504   Timeout             MemberTimeout           member's, or none
//	member's other 4xx (404, 409, 422, ...)               that  the member's, or    MemberAnswer
//	                                                            none if unknown
//	member's other 5xx; an invalid answer                 503   ServiceUnavailable  MemberAnswer            member's, or none
//
// The member's 401 and 403 are about clusterpass and must not look like the requester's own. If the
// caller's context was cancelled, Error returns err unchanged.
func (c *Client) Error(err error, doing string) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if failed, ok := errors.AsType[*failure](err); ok {
		return c.failureError(failed, doing)
	}
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status):
		return c.answerError(status.Status(), doing)
	case errors.Is(err, context.DeadlineExceeded):
		return c.statusError(http.StatusGatewayTimeout, CauseTimeout, doing, err.Error(), 0)
	}
	return c.statusError(http.StatusServiceUnavailable, CauseAnswer, doing, err.Error(), 0)
}

func (c *Client) failureError(f *failure, doing string) error {
	code := http.StatusServiceUnavailable
	words := f.err.Error()
	switch f.cause {
	case CauseUnreachable:
		code, words = http.StatusGatewayTimeout, "it can't be reached: "+words
	case CauseTimeout:
		code, words = http.StatusGatewayTimeout, "no answer in time: "+words
	case CauseTLS:
		words = "no trusted connection: " + words
	case CausePlugin:
		words = fmt.Sprintf("the credential plugin of access provider %q failed: %s", c.entry.Name, words)
	case CauseBusy:
		code = http.StatusTooManyRequests
	}
	retryAfter := int32(min(math.Ceil(f.retryAfter.Seconds()), math.MaxInt32))
	return c.statusError(code, f.cause, doing, words, retryAfter)
}

func (c *Client) answerError(status metav1.Status, doing string) error {
	words := withoutUser(status.Message)
	if d := denialOf(status); d != nil {
		return c.denialError(d, words, doing)
	}
	var retryAfter int32
	if status.Details != nil {
		retryAfter = status.Details.RetryAfterSeconds
	}
	code, cause := int(status.Code), causeOfCode(int(status.Code))
	switch {
	case code == http.StatusUnauthorized:
		code, retryAfter = http.StatusServiceUnavailable, 0
		words = fmt.Sprintf("it does not accept clusterpass's own credential (%s): the credential of access provider %q has expired, "+
			"was revoked, or is for another cluster, and has to be renewed", words, c.entry.Name)
	case code == http.StatusForbidden:
		code, retryAfter = http.StatusServiceUnavailable, 0
		words = fmt.Sprintf("it does not allow clusterpass (not the requester) what this needs: %s. Ask for what it allows, "+
			"or have it allow more: kubectl clusterpass join with --allow-cluster-roles, --allow-namespaces or --allow-rules", withoutRules(words))
	case code == http.StatusTooManyRequests:
		retryAfter = max(retryAfter, 1)
	case code >= 400 && code < 500:
		err := c.statusError(code, cause, doing, words, 0)
		if answerReasons.Has(status.Reason) {
			err.ErrStatus.Reason = status.Reason
		}
		return err
	case cause == CauseAnswer:
		code = http.StatusServiceUnavailable
	}
	return c.statusError(code, cause, doing, words, retryAfter)
}

// causeOfCode returns the cause of an answer that is an error with that code.
func causeOfCode(code int) metav1.CauseType {
	switch code {
	case http.StatusUnauthorized:
		return CauseUnauthorized
	case http.StatusForbidden:
		return CauseForbidden
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return CauseThrottled
	case http.StatusGatewayTimeout:
		return CauseTimeout
	}
	return CauseAnswer
}

// statusError returns the error for a requester.
func (c *Client) statusError(code int, cause metav1.CauseType, doing, words string, retryAfter int32) *apierrors.StatusError {
	return newStatusError(c.name, code, cause, fmt.Sprintf("could not %s: %s", doing, clip(words)), retryAfter)
}

// clip cleans and shortens a member's text, and removes tokens.
func clip(text string) string {
	return words.Clean(jwtWords.ReplaceAllLiteralString(text, "(a token)"), maxWords)
}

// answerReasons are the reasons that clusterpass passes on from a member. They become the label of
// a metric, so a member must not choose others.
var answerReasons = sets.New(metav1.StatusReasonBadRequest, metav1.StatusReasonNotFound, metav1.StatusReasonMethodNotAllowed,
	metav1.StatusReasonNotAcceptable, metav1.StatusReasonAlreadyExists, metav1.StatusReasonConflict, metav1.StatusReasonGone,
	metav1.StatusReasonExpired, metav1.StatusReasonRequestEntityTooLarge, metav1.StatusReasonUnsupportedMediaType, metav1.StatusReasonInvalid)

func newStatusError(name types.NamespacedName, code int, cause metav1.CauseType, words string, retryAfter int32) *apierrors.StatusError {
	reasons := map[int]metav1.StatusReason{
		http.StatusTooManyRequests:    metav1.StatusReasonTooManyRequests,
		http.StatusServiceUnavailable: metav1.StatusReasonServiceUnavailable,
		http.StatusGatewayTimeout:     metav1.StatusReasonTimeout,
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    int32(code), //nolint:gosec // HTTP status codes have three digits
		Reason:  reasons[code],
		Message: fmt.Sprintf("cluster %s: %s", name, words),
		Details: &metav1.StatusDetails{
			Group:             inventoryv1alpha1.GroupVersion.Group,
			Kind:              "clusterprofiles",
			Name:              name.Name,
			Causes:            []metav1.StatusCause{{Type: cause, Message: words}},
			RetryAfterSeconds: retryAfter,
		},
	}}
}

// userWords match the user and groups in a refusal of Kubernetes.
var userWords = regexp.MustCompile(`(?i)\buser:? "(?:[^"\\]|\\.)*"(?: \(groups=\[[^\]]*\]\))?`)

// jwtWords match tokens of ServiceAccounts. A proxy in between may quote the request.
var jwtWords = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?`)

// withoutRules returns words without the rules that kube-apiserver lists when it refuses an
// escalation.
func withoutRules(words string) string {
	const lead = "attempting to grant RBAC permissions not currently held"
	if before, _, found := strings.Cut(words, lead); found {
		return before + lead
	}
	return words
}

// withoutUser returns words without the name of clusterpass's user on a member.
func withoutUser(words string) string {
	return userWords.ReplaceAllLiteralString(words, "clusterpass")
}

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
