// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package endpoint checks how a cluster is reached: the URL of its API server, its proxy and its
// bundle of CAs. It connects to nothing, and knows no credentials.
package endpoint
