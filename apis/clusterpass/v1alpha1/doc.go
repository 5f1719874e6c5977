// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// +groupName=clusterpass.dev

// Package v1alpha1 registers the API group clusterpass.dev. Its
// AuthTokenRequest is the Go type of multicluster.x-k8s.io: it is there for hubs
// on which another manager owns that group.
package v1alpha1
