// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package authtokengrant stores AuthTokenGrants and serves them with their status.
//
// A grant is made and changed by the minting pipeline, in process, through Internal. Over REST nobody creates one, not
// even by server-side apply, and of one that exists only the metadata can be changed:
//
//   - A change of the spec is refused with 422, so that nobody believes to have changed what was granted.
//   - The status is set through its subresource, by the controller that revokes grants, and kept otherwise.
//   - Labels and annotations under clusterpass.dev/ are the server's, but for the one that abandons a member.
//
// Internal takes spec and status as they are given, and validates both. The ClusterProfile and the ServiceAccount of a
// grant never change. The generation counts the changes of the spec, except those of its requester alone: the member
// cluster has nothing to do for them. As with any object, the deletion of a grant that has a finalizer counts, too.
package authtokengrant
