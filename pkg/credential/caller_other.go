// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !(darwin || linux)

package credential

// processStart is not known here.
func processStart(int) (string, bool) { return "", false }
