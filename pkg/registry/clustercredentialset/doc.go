// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package clustercredentialset stores ClusterCredentialSets, and serves them with their status and with tokens.
//
// The author of a set is who last changed its spec. The server notes the user on create, and on each update that changes
// anything else of the spec, as it does for the requester of a CertificateSigningRequest; what a client sends is dropped. Groups are
// those that the user was in then.
//
// The subresource token answers with a token for one ClusterProfile. It reads the spec and its author from storage,
// and has the minting pipeline decide as if the author had asked. Who may create it acts with the rights of all authors:
// it is for the controller manager.
package clustercredentialset
