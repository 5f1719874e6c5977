// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Command clusterpass-controller-manager runs the controllers of clusterpass.
package main

import (
	"os"

	"k8s.io/component-base/cli"

	"clusterpass.dev/pkg/controllermanager"
)

func main() {
	os.Exit(cli.Run(controllermanager.NewCommand()))
}
