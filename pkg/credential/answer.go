// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"io"
	"net/http"
)

const (
	// maxAnswer bounds what is read of an answer of the hub, in bytes: a token, and twice the authorities of its cluster at most.
	maxAnswer = 1 << 20
	// maxRefusal bounds what is read of what says that a request has failed, in bytes: all of it may end on a terminal.
	maxRefusal = 64 << 10
)

// boundedTransport reads the beginning of each answer: a hub that sends without an end costs no more. What is cut is no answer.
type boundedTransport struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	limit := int64(maxAnswer)
	if resp.StatusCode >= http.StatusBadRequest {
		limit = maxRefusal
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, limit), resp.Body}
	return resp, nil
}

// WrappedRoundTripper implements utilnet.RoundTripperWrapper, by which client-go finds what is below.
func (t boundedTransport) WrappedRoundTripper() http.RoundTripper { return t.RoundTripper }
