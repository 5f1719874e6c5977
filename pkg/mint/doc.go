// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package mint turns an AuthTokenRequest into a token of a member cluster: it
// authorises the requester on the hub, records what is granted, has pkg/grant ensure
// it on the member, and has the member issue the token. It knows nothing of HTTP.
//
// To follow one request, read the files in this order:
//
//	mint.go       Mint: the order of everything below, and the limits of the lifetime
//	authorize.go  what a request takes, and the reviews on the hub
//	target.go     the ClusterProfile, the client for its cluster, and the stored read before a refusal
//	task.go       a warm request, which is one call to the member, and a cold one
//	storegrant.go the grant before: found, created or changed
//	record.go     the grant after: what is noted on it, and what is taken back where the member or the hub says no
//	issue.go      the call for the token, and the check of what the member has answered
//	usable.go     the wait until the member's authoriser allows what the token is for
//	answer.go     the status for the requester, and the annotations for the audit log
//
// Beside them are validation.go (of requests), refusals.go (how often one user is refused) and metrics.go.
package mint
