// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package member provides clients for member clusters, one for each ClusterProfile. It finds their
// credentials and checks what these may be used for, limits the load on each member, and turns
// failures of members into errors for requesters. It does not know what the clients are used for.
package member
