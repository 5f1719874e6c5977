// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package member hands out clients for member clusters, one for each
// ClusterProfile: it knows where their credentials are, what they may be used for,
// how much one member may take up, and what to tell a requester when a member does
// not do as asked. It does not know what the clients are used for.
package member
