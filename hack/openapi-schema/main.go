// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Command openapi-schema prints the OpenAPI definitions of our types, as the generator of apply
// configurations reads them: without them, its Extract functions do not know which field is whose.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"clusterpass.dev/pkg/generated/openapi/inventory"
)

func main() {
	definitions := spec.Definitions{}
	// The generator takes slashes in names for those of a path.
	reference := func(name string) spec.Ref {
		return spec.MustCreateRef("#/definitions/" + inventory.FriendlyName(name))
	}
	for name, definition := range inventory.GetOpenAPIDefinitions(reference) {
		// A type that has one for version 2 has it as an extension.
		if v2, ok := definition.Schema.Extensions[common.ExtensionV2Schema].(spec.Schema); ok {
			definition.Schema = v2
		}
		definitions[inventory.FriendlyName(name)] = definition.Schema
	}
	info := &spec.Info{InfoProps: spec.InfoProps{Title: "clusterpass", Version: "unversioned"}}
	document := spec.Swagger{SwaggerProps: spec.SwaggerProps{Swagger: "2.0", Info: info, Paths: &spec.Paths{}, Definitions: definitions}}
	if err := json.NewEncoder(os.Stdout).Encode(document); err != nil {
		fmt.Fprintln(os.Stderr, "openapi-schema:", err)
		os.Exit(1)
	}
}
