// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"maps"

	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/version"
	"k8s.io/kube-openapi/pkg/common"

	"clusterpass.dev/pkg/generated/openapi"
	"clusterpass.dev/pkg/generated/openapi/inventory"
)

// describe makes config publish OpenAPI documents, v2 and v3, of the served APIs.
func describe(config *genericapiserver.Config) {
	namer := apiopenapi.NewDefinitionNamer(externalScheme)
	name := inventory.WithFriendlyNames(namer.GetDefinitionName)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	config.OpenAPIConfig.GetDefinitionName = name
	config.OpenAPIConfig.Info.Title = "clusterpass"
	config.OpenAPIConfig.Info.Version = version.Get().GitVersion
	config.OpenAPIConfig.PostProcessSpec = describeRefusedPatch
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	config.OpenAPIV3Config.GetDefinitionName = name
	config.OpenAPIV3Config.Info.Title = "clusterpass"
	config.OpenAPIV3Config.Info.Version = version.Get().GitVersion
	config.OpenAPIV3Config.PostProcessSpec = describeRefusedPatchV3
}

// definitions returns the OpenAPI definitions of our types and of upstream's.
func definitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	all := openapi.GetOpenAPIDefinitions(ref)
	maps.Copy(all, inventory.GetOpenAPIDefinitions(ref))
	return all
}
