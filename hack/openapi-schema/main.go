// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Command openapi-schema prints the OpenAPI definitions of our types, as the generator of apply
// configurations reads them: without them, its Extract functions do not know which field is whose.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"clusterpass.dev/pkg/generated/openapi/inventory"
)

// friendly returns the name of a definition without slashes, which the generator takes for those of
// a path.
func friendly(name string) string {
	if strings.Contains(name, "/") {
		return util.ToRESTFriendlyName(name)
	}
	return name
}

func main() {
	definitions := spec.Definitions{}
	reference := func(name string) spec.Ref {
		return spec.MustCreateRef("#/definitions/" + friendly(name))
	}
	for name, definition := range inventory.GetOpenAPIDefinitions(reference) {
		// A type that has one for version 2 has it as an extension.
		if v2, ok := definition.Schema.Extensions[common.ExtensionV2Schema].(spec.Schema); ok {
			definition.Schema = v2
		}
		definitions[friendly(name)] = definition.Schema
	}
	info := &spec.Info{InfoProps: spec.InfoProps{Title: "clusterpass", Version: "unversioned"}}
	document := spec.Swagger{SwaggerProps: spec.SwaggerProps{Swagger: "2.0", Info: info, Paths: &spec.Paths{}, Definitions: definitions}}
	if err := json.NewEncoder(os.Stdout).Encode(document); err != nil {
		fmt.Fprintln(os.Stderr, "openapi-schema:", err)
		os.Exit(1)
	}
}
