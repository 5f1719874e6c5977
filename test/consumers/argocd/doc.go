// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package argocd tests the Secrets of the format argocd with Argo CD's own code, in a module
// of its own: Argo CD wants an older Kubernetes than clusterpass.
package argocd
