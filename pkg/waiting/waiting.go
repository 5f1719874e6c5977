// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package waiting polls an API server for a condition, through times in which the server does not
// answer: it is restarted, or the network is gone for a moment. It makes no calls of its own.
package waiting

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/user"
)

// anonymous is how a 403 names a user whom the server does not know.
const anonymous = `User "` + user.Anonymous + `"`

// Until calls condition every interval until it returns true, or an error that does not pass by
// itself. When the timeout is over it returns an error for which wait.Interrupted is true. That
// says why the server did not answer last, where it did not.
func Until(ctx context.Context, interval, timeout time.Duration, condition wait.ConditionWithContextFunc) error {
	var last error
	answered := false
	err := wait.PollUntilContextTimeout(ctx, interval, timeout, true, func(ctx context.Context) (bool, error) {
		done, err := condition(ctx)
		switch {
		case err == nil:
			answered, last = true, nil
		case ctx.Err() != nil:
			// What was cut off says nothing.
			return false, nil //nolint:nilerr // The poll ends by itself.
		case passes(err, answered):
			// A server that was away may not know us yet when it is back, either.
			answered, last = answered || !apierrors.IsTooManyRequests(err), err
			return false, nil
		}
		return done, err
	})
	if err != nil && wait.Interrupted(err) && last != nil {
		return fmt.Errorf("%w; the last call failed: %w", err, last)
	}
	return err
}

// passes returns whether a call may go well later without anybody's doing. A server that answered
// before, and now says that it does not know who we are or what we may do, has just been started.
// So has one that takes us for anonymous: it does not know the hub's aggregator yet.
func passes(err error, answered bool) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		switch code := status.Status().Code; {
		case code == http.StatusTooManyRequests, code >= http.StatusInternalServerError:
			return true
		case code == http.StatusUnauthorized, code == http.StatusForbidden:
			return answered || strings.Contains(err.Error(), anonymous)
		}
		return false
	}
	if strings.Contains(err.Error(), "getting credentials: ") {
		// client-go's words for an exec plugin that failed; it might ask the user each time.
		return false
	}
	return utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsTimeout(err) ||
		utilnet.IsHTTP2ConnectionLost(err) || errors.Is(err, context.DeadlineExceeded)
}
