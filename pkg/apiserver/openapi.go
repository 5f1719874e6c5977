// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/version"

	"clusterpass.dev/pkg/generated/openapi/inventory"
)

// describe makes config publish OpenAPI documents, v2 and v3, of the served APIs.
func describe(config *genericapiserver.Config) {
	namer := apiopenapi.NewDefinitionNamer(externalScheme)
	name := inventory.WithFriendlyNames(namer.GetDefinitionName)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(inventory.GetOpenAPIDefinitions, namer)
	config.OpenAPIConfig.GetDefinitionName = name
	config.OpenAPIConfig.Info.Title = "clusterpass"
	config.OpenAPIConfig.Info.Version = version.Get().GitVersion
	config.OpenAPIConfig.PostProcessSpec = describeRefusedPatch
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(inventory.GetOpenAPIDefinitions, namer)
	config.OpenAPIV3Config.GetDefinitionName = name
	config.OpenAPIV3Config.Info = config.OpenAPIConfig.Info
	config.OpenAPIV3Config.PostProcessSpec = describeRefusedPatchV3
}
