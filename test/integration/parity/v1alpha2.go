// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/multicluster/v1alpha2"
)

// ServeV1alpha2 has one of upstream's CRDs serve v1alpha2 as well, as the main branch of upstream
// does: with the schema of v1alpha1, less what v1alpha2 lacks, and its validation. v1alpha1 stays
// the stored version.
func ServeV1alpha2(c *apiextensionsv1.CustomResourceDefinition) {
	later := *c.Spec.Versions[0].DeepCopy()
	later.Name, later.Storage = v1alpha2.SchemeGroupVersion.Version, false
	schema := later.Schema.OpenAPIV3Schema
	if c.Spec.Names.Plural == ClusterProfiles {
		restrictProfile(schema)
	} else {
		restrictDecisions(schema)
	}
	c.Spec.Versions = append(c.Spec.Versions, later)
}

func restrictProfile(schema *apiextensionsv1.JSONSchemaProps) {
	at(schema, func(name *apiextensionsv1.JSONSchemaProps) {
		limit(name, 1, 63, "!format.labelValue().validate(self).hasValue()", "must be a valid Kubernetes label value")
	}, "spec", "clusterManager", "name")
	at(schema, func(status *apiextensionsv1.JSONSchemaProps) {
		delete(status.Properties, "credentialProviders")
		providers := status.Properties["accessProviders"]
		providers.MaxItems = ptr.To[int64](v1alpha2.MaxAccessProviders)
		restrictProvider(providers.Items.Schema)
		status.Properties["accessProviders"] = providers
	}, "status")
}

func restrictProvider(provider *apiextensionsv1.JSONSchemaProps) {
	provider.Required = []string{"cluster", "name"}
	at(provider, func(name *apiextensionsv1.JSONSchemaProps) { limit(name, 1, v1alpha2.MaxNameLength, "", "") }, "name")
	at(provider, func(cluster *apiextensionsv1.JSONSchemaProps) { delete(cluster.Properties, "certificate-authority") }, "cluster")
	at(provider, func(server *apiextensionsv1.JSONSchemaProps) {
		limit(server, 0, v1alpha2.MaxURLLength, "isURL(self) && url(self).getHost() != ''", "must be an absolute URL with a host")
	}, "cluster", "server")
	at(provider, func(name *apiextensionsv1.JSONSchemaProps) { limit(name, 0, v1alpha2.MaxNameLength, "", "") }, "cluster", "tls-server-name")
	at(provider, func(proxy *apiextensionsv1.JSONSchemaProps) {
		limit(proxy, 0, v1alpha2.MaxURLLength,
			"self == '' || (isURL(self) && url(self).getScheme() in ['http', 'https', 'socks5'] && url(self).getHost() != '')",
			"must be a URL with the scheme http, https or socks5 and a host")
	}, "cluster", "proxy-url")
	at(provider, func(extensions *apiextensionsv1.JSONSchemaProps) {
		extensions.XListType, extensions.XListMapKeys = ptr.To("map"), []string{"name"}
		at(extensions.Items.Schema, func(name *apiextensionsv1.JSONSchemaProps) { limit(name, 1, v1alpha2.MaxNameLength, "", "") }, "name")
	}, "cluster", "extensions")
}

func restrictDecisions(schema *apiextensionsv1.JSONSchemaProps) {
	decision := schema.Properties["decisions"].Items.Schema
	at(decision, func(name *apiextensionsv1.JSONSchemaProps) {
		limit(name, 0, 253, "!format.dns1123Subdomain().validate(self).hasValue()", "must be a DNS subdomain")
	}, "clusterProfileRef", "name")
	at(decision, func(namespace *apiextensionsv1.JSONSchemaProps) {
		limit(namespace, 0, 63, "self == '' || !format.dns1123Label().validate(self).hasValue()", "must be a DNS label")
	}, "clusterProfileRef", "namespace")
}

// at changes the schema of the field at path.
func at(schema *apiextensionsv1.JSONSchemaProps, change func(*apiextensionsv1.JSONSchemaProps), path ...string) {
	if len(path) == 0 {
		change(schema)
		return
	}
	field := schema.Properties[path[0]]
	at(&field, change, path[1:]...)
	schema.Properties[path[0]] = field
}

// limit bounds the length of a string and, unless rule is empty, adds a rule for it.
func limit(field *apiextensionsv1.JSONSchemaProps, shortest, longest int64, rule, message string) {
	field.MaxLength = &longest
	if shortest > 0 {
		field.MinLength = &shortest
	}
	if rule != "" {
		field.XValidations = apiextensionsv1.ValidationRules{{Rule: rule, Message: message}}
	}
}
