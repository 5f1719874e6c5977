// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import "context"

type insistKey struct{}

// Insist returns a context whose calls pass an open breaker. It is for callers that wait for a
// member to come back; they limit how often they call. An answer to one of these calls closes the
// breaker for everybody.
func Insist(ctx context.Context) context.Context {
	return context.WithValue(ctx, insistKey{}, true)
}

func insists(ctx context.Context) bool {
	insisting, _ := ctx.Value(insistKey{}).(bool)
	return insisting
}
