// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package authtokengrant stores AuthTokenGrants and serves them with their status.
//
// The minting pipeline creates and changes grants, in process, through Internal. Over REST nobody
// can create one, not even by server-side apply. Of an existing grant, only the metadata can be
// changed:
//
//   - A change of the spec is refused with 422, and not ignored: users must not believe that it had
//     an effect.
//   - Only the subresource status changes the status. The controller that revokes grants uses it.
//   - Only the server sets labels and annotations under clusterpass.dev/, except for the annotation
//     that abandons a member.
//
// Internal stores spec and status unchanged, and validates both. The ClusterProfile and the
// ServiceAccount of a grant never change. The generation counts the changes of the spec. It does
// not count a change of only the requester, which needs no change on the member cluster. As with
// any object, it also counts the deletion of a grant that has a finalizer.
package authtokengrant
