// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import "context"

type insistKey struct{}

// Insist returns a context whose calls are made although the member has not answered lately: for who waits for it
// to be back, and no more often than that takes. An answer to one of them lets everybody's calls through again.
func Insist(ctx context.Context) context.Context {
	return context.WithValue(ctx, insistKey{}, true)
}

func insists(ctx context.Context) bool {
	insisting, _ := ctx.Value(insistKey{}).(bool)
	return insisting
}
