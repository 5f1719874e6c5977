// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
)

// maxRetryAfter bounds the Retry-After of a member, in seconds. kubectl waits that long, up to ten
// times, without telling the user.
const maxRetryAfter = 10

// gatedTransport sends requests that the gate lets through, and returns answers that are within
// bounds. Answers that net/http or client-go would act on by themselves become errors.
type gatedTransport struct {
	gate  *gate
	inner http.RoundTripper
	held  heldBytes
	// credential says whose credential the calls use, for the metrics.
	credential string
}

var _ utilnet.RoundTripperWrapper = (*gatedTransport)(nil)

// WrappedRoundTripper returns the transport that sends.
func (t *gatedTransport) WrappedRoundTripper() http.RoundTripper {
	return t.inner
}

// RoundTrip implements http.RoundTripper. The body of the answer has been read when it returns.
func (t *gatedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.roundTrip(req)
	calls.WithLabelValues(t.credential, callResult(resp, err)).Inc()
	return resp, err
}

func (t *gatedTransport) roundTrip(req *http.Request) (*http.Response, error) {
	call, err := t.gate.enter(req.Context())
	if err != nil {
		// http.RoundTripper requires it of a request that is not sent.
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	resp, err := t.inner.RoundTrip(req)
	if err == nil {
		err = t.receive(req, resp)
	}
	if err != nil {
		broken := newFailure(req.Context(), err)
		call.end(broken.blame, broken.err)
		return nil, broken
	}
	call.end(answered, nil)
	if err := refuseAnswer(req, resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// refuseAnswer returns an error instead of an answer that must not be passed on:
//   - a redirect: net/http would follow it, to any host, with our credential and the
//     body of the request;
//   - an answer with Retry-After: client-go would wait and retry, up to ten times.
func refuseAnswer(req *http.Request, resp *http.Response) error {
	if resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.StatusCode != http.StatusNotModified {
		return &failure{cause: CauseRedirect,
			err: fmt.Errorf("it answers with a redirect%s, which is not followed with a credential", redirectTarget(resp))}
	}
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < 500 {
		return nil
	}
	retryAfter, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31)
	if err != nil {
		return nil //nolint:nilerr // Like client-go, it ignores dates.
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return statusOf(req, resp.StatusCode, body, min(int32(retryAfter), maxRetryAfter))
}

// redirectTarget names the host of a redirect. Path and query may have secrets, and are left out.
func redirectTarget(resp *http.Response) string {
	target, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || target.Host == "" {
		return ""
	}
	return " to host " + target.Host
}

// statusOf returns the error that client-go would return for the answer after its last retry.
// retryAfter is in seconds.
func statusOf(req *http.Request, code int, body []byte, retryAfter int32) error {
	if object, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil); err == nil {
		if status, ok := object.(*metav1.Status); ok && status.Status != metav1.StatusSuccess {
			status.Code = int32(code) //nolint:gosec // HTTP status codes have three digits
			if status.Details == nil {
				status.Details = &metav1.StatusDetails{}
			}
			status.Details.RetryAfterSeconds = retryAfter
			return &apierrors.StatusError{ErrStatus: *status}
		}
	}
	verb := strings.ToLower(req.Method)
	return apierrors.NewGenericServerResponse(code, verb, schema.GroupResource{}, "", string(body), int(retryAfter), true)
}

// pluginTransport fixes two shortcomings of client-go's transport with a credential plugin: that
// runs the plugin without watching the context, and after a 401 it runs the plugin again but does
// not retry the request. The gate inside limits how many plugins can hang, because their calls hold
// its slots.
type pluginTransport struct {
	inner http.RoundTripper
}

var _ utilnet.RoundTripperWrapper = (*pluginTransport)(nil)

// WrappedRoundTripper returns the transport that sends.
func (t *pluginTransport) WrappedRoundTripper() http.RoundTripper {
	return t.inner
}

// RoundTrip implements http.RoundTripper. It returns when the context of the request ends.
func (t *pluginTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	type answer struct {
		resp *http.Response
		err  error
	}
	ctx := req.Context()
	answers := make(chan answer, 1)
	go func() {
		resp, err := t.roundTrip(req) //nolint:bodyclose // the receiver closes it
		answers <- answer{resp, err}
	}()
	select {
	case a := <-answers:
		return a.resp, a.err
	case <-ctx.Done():
		go func() {
			if a := <-answers; a.resp != nil {
				a.resp.Body.Close()
			}
		}()
		return nil, endOfContext(ctx)
	}
}

// roundTrip retries once after a 401. Plugins that report no expiry, like upstream's, are asked for
// a new credential only then. The requests are copies, because the plugin's credential may be added
// to their headers after our caller has returned.
func (t *pluginTransport) roundTrip(req *http.Request) (*http.Response, error) {
	again := req.Clone(req.Context())
	resp, err := t.inner.RoundTrip(req.Clone(req.Context()))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	if req.Body != nil {
		if req.GetBody == nil {
			return resp, nil
		}
		if again.Body, err = req.GetBody(); err != nil {
			return resp, nil //nolint:nilerr // the 401 stands
		}
	}
	resp.Body.Close()
	return t.inner.RoundTrip(again)
}

type insistKey struct{}

// Insist returns a context whose calls pass an open breaker. It is for callers that wait for a
// member to come back; they limit how often they call. An answer to one of these calls closes the
// breaker for everybody.
func Insist(ctx context.Context) context.Context {
	return context.WithValue(ctx, insistKey{}, true)
}

// maxQuietLevel is the last level at which client-go logs no bodies.
const maxQuietLevel = 7

// Quiet returns ctx with a logger that drops everything above level 7. From level 8 on, client-go
// logs the bodies of requests and answers. Every call with a token or a key in a body therefore
// needs this context.
func Quiet(ctx context.Context) context.Context {
	logger := klog.FromContext(ctx)
	sink := logger.GetSink()
	if sink == nil {
		return ctx
	}
	return klog.NewContext(ctx, logger.WithSink(quietSink{LogSink: sink}))
}

// quietSink drops what is above maxQuietLevel and passes the rest to another sink.
type quietSink struct {
	klog.LogSink
}

// Enabled returns whether level is logged.
func (s quietSink) Enabled(level int) bool {
	return level <= maxQuietLevel && s.LogSink.Enabled(level)
}

// WithValues returns the sink with more keys and values.
func (s quietSink) WithValues(keysAndValues ...any) klog.LogSink {
	return quietSink{LogSink: s.LogSink.WithValues(keysAndValues...)}
}

// WithName returns the sink with a name added.
func (s quietSink) WithName(name string) klog.LogSink {
	return quietSink{LogSink: s.LogSink.WithName(name)}
}

// WithCallDepth returns the sink for a caller that is depth frames further up.
func (s quietSink) WithCallDepth(depth int) klog.LogSink {
	if sink, ok := s.LogSink.(interface{ WithCallDepth(depth int) klog.LogSink }); ok {
		return quietSink{LogSink: sink.WithCallDepth(depth)}
	}
	return s
}
