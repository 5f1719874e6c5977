// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package mint answers an AuthTokenRequest with a token of a member cluster. It authorises the
// requester on the hub, records the grant, ensures it on the member with pkg/grant, and requests
// the token from the member. It knows nothing about HTTP.
//
// To follow one request, read the files in this order:
//
//	mint.go       Mint: the order of everything below; the ClusterProfile, the client for its cluster,
//	              and the stored read before a refusal
//	authorize.go  the permissions that a request requires, and their reviews on the hub
//	task.go       run: a warm request (runWarm), which is one call to the member, and a cold one
//	              (runCold); what is removed after an error
//	hubgrant.go   the grant on the hub: found, created or changed before the member is called; what is
//	              recorded on it afterwards
//	token.go      the lifetime of the token, the call for it, the check of the member's answer, and the
//	              wait until the member's authoriser knows the new bindings; the answer to the
//	              requester, and the annotations for the audit log
//
// The other files are validation.go (of requests), refusals.go (how often a user is refused) and
// metrics.go.
package mint
