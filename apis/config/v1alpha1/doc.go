// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// +k8s:deepcopy-gen=package
// +k8s:defaulter-gen=TypeMeta
// +groupName=config.clusterpass.dev

// Package v1alpha1 holds the configuration files of clusterpass's components. They are versioned as
// an API, although no server serves them.
package v1alpha1
