// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package clustercredentialset stores ClusterCredentialSets, and serves them with their status and
// with tokens.
//
// The author of a set is the user who last changed its spec. The server records the user on create,
// and on each update that changes anything else in the spec, as it does for the requester of a
// CertificateSigningRequest. It drops an author that a client sends. It records the groups that the
// user has at that time.
//
// The subresource token returns a token for one ClusterProfile. It reads the spec and its author
// from storage. The minting pipeline authorises the request as if the author had sent it. A user
// who may create this subresource acts with the rights of all authors: it is for the controller
// manager.
package clustercredentialset
