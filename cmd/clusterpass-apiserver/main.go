// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Command clusterpass-apiserver is the aggregated API server of clusterpass.
package main

import (
	"os"

	"k8s.io/component-base/cli"

	"clusterpass.dev/pkg/apiserver"
)

func main() {
	os.Exit(cli.Run(apiserver.NewCommand()))
}
