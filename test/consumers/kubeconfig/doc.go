// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubeconfig tests the Secrets of the format kubeconfig with Flux's own code, and
// with the checks of Kueue, which exports none of them. It has a module of its own, so that
// Flux is not among the dependencies of clusterpass.
package kubeconfig
