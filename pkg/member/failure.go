// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// failure is the error of a call that a member gave no usable answer to.
//
// It hides its cause, both from the chain of errors and from its message. client-go looks in both
// for broken connections, and retries a GET up to ten times, a second apart, where it finds one.
// Client.Error reports the cause.
type failure struct {
	cause metav1.CauseType
	err   error
	// retryAfter is when to retry; users get it rounded up to seconds. Zero means unknown.
	retryAfter time.Duration
	// blame is what the failure says about the member.
	blame outcome
	// tooLarge says that an answer exceeded the limit in bytes of its kind.
	tooLarge bool
}

// Error returns the cause's type, and not its text.
func (f *failure) Error() string {
	return "no usable answer from the member cluster: " + string(f.cause)
}

// Is lets callers recognise the end of their own context.
func (f *failure) Is(target error) bool {
	return target == context.Canceled && f.cause == causeCancelled || target == context.DeadlineExceeded && f.cause == CauseTimeout
}

// newFailure returns the failure for err, the error of a round trip with ctx.
func newFailure(ctx context.Context, err error) *failure {
	if known, ok := errors.AsType[*failure](err); ok {
		return known
	}
	if ctx.Err() != nil {
		return endOfContext(ctx)
	}
	return &failure{cause: causeOf(err), err: err, blame: failed}
}

// endOfContext blames the member for a deadline that has a cause: clusterpass sets such deadlines
// with context.WithTimeoutCause. Deadlines without a cause and cancellations come from the
// requester. If they counted, any requester could open the breaker of a member.
func endOfContext(ctx context.Context) *failure {
	err := context.Cause(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return &failure{cause: causeCancelled, err: err, blame: inconclusive}
	}
	blame := failed
	if errors.Is(err, context.DeadlineExceeded) {
		blame = inconclusive
	}
	return &failure{cause: CauseTimeout, err: err, blame: blame}
}

// heldUp returns the failure of a call that other calls to members hold up, as err says, or the end
// of its context. Neither says anything about the member.
func heldUp(ctx context.Context, err error) *failure {
	if ctx.Err() != nil {
		ended := endOfContext(ctx)
		ended.blame = inconclusive
		return ended
	}
	return &failure{cause: CauseBusy, err: err, retryAfter: time.Second, blame: inconclusive}
}

func causeOf(err error) metav1.CauseType {
	var netErr net.Error
	switch {
	// client-go's words; it keeps no type.
	case strings.HasPrefix(err.Error(), "getting credentials: "):
		return CausePlugin
	case isTLS(err):
		return CauseTLS
	case errors.As(err, &netErr) && netErr.Timeout():
		return CauseTimeout
	}
	return CauseUnreachable
}

// isTLS returns whether the TLS handshake failed.
func isTLS(err error) bool {
	if operation, ok := errors.AsType[*net.OpError](err); ok && (operation.Op == "remote error" || operation.Op == "local error") {
		// crypto/tls reports alerts this way, and has no exported type for them.
		return true
	}
	return isA[*tls.CertificateVerificationError](err) || isA[tls.RecordHeaderError](err) ||
		isA[x509.UnknownAuthorityError](err) || isA[x509.HostnameError](err) || isA[x509.CertificateInvalidError](err) ||
		strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}

// isA returns whether an error in the chain of err is an E.
func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
