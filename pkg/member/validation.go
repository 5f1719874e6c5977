// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"fmt"
	"path/filepath"
	"slices"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
)

const (
	// maxCalls bounds the settings that count calls to a member.
	maxCalls = 1000
	// maxOpenSeconds bounds how long a breaker may stay open.
	maxOpenSeconds = 3600
)

// execAPIVersions are the versions of the exchange with exec plugins that client-go speaks.
var execAPIVersions = []string{"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"}

// Validate returns the errors in config, which must have its defaults.
func Validate(config *configv1alpha1.AccessConfiguration) field.ErrorList {
	path := field.NewPath("providers")
	var errs field.ErrorList
	if len(config.Providers) == 0 {
		errs = append(errs, field.Required(path, "no member can be reached without a provider"))
	}
	for i := range config.Providers {
		provider := &config.Providers[i]
		errs = append(errs, validateProvider(provider, path.Index(i))...)
		for _, other := range config.Providers[:i] {
			switch {
			case other.Name == provider.Name:
				errs = append(errs, field.Duplicate(path.Index(i).Child("name"), provider.Name))
			case other.KarmadaSecret != nil && provider.KarmadaSecret != nil:
				errs = append(errs, field.Forbidden(path.Index(i).Child("karmadaSecret"), "another provider has it"))
			case other.ClusterAPISecret != nil && provider.ClusterAPISecret != nil:
				errs = append(errs, field.Forbidden(path.Index(i).Child("clusterAPISecret"), "another provider has it"))
			}
			errs = append(errs, validateApart(provider, &other, path.Index(i))...)
		}
	}
	return append(errs, validateLimits(&config.Limits, field.NewPath("limits"))...)
}

func validateProvider(provider *configv1alpha1.AccessProvider, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if provider.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "the name that ClusterProfiles know it by"))
	}
	var kinds []string
	if of := provider.KubeconfigSecret; of != nil {
		kinds = append(kinds, "kubeconfigSecret")
		errs = append(errs, requireNamespaces(of.Namespaces, path.Child("kubeconfigSecret", "namespaces"))...)
	}
	if of := provider.Exec; of != nil {
		kinds = append(kinds, "exec")
		errs = append(errs, validateExec(of, path.Child("exec"))...)
	}
	if of := provider.KarmadaSecret; of != nil {
		kinds = append(kinds, "karmadaSecret")
		errs = append(errs, requireNamespaces(of.Namespaces, path.Child("karmadaSecret", "namespaces"))...)
		errs = append(errs, validateNamespace(of.ProfileNamespace, path.Child("karmadaSecret", "profileNamespace"))...)
	}
	if of := provider.ClusterAPISecret; of != nil {
		kinds = append(kinds, "clusterAPISecret")
		errs = append(errs, requireNamespaces(of.Namespaces, path.Child("clusterAPISecret", "namespaces"))...)
	}
	if len(kinds) == 0 {
		errs = append(errs, field.Required(path, "one of kubeconfigSecret, exec, karmadaSecret and clusterAPISecret"))
	}
	for i := 1; i < len(kinds); i++ {
		errs = append(errs, field.Forbidden(path.Child(kinds[i]), "a provider is of one kind, and has "+kinds[0]))
	}
	return errs
}

func validateExec(provider *configv1alpha1.ExecProvider, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if !slices.Contains(execAPIVersions, provider.APIVersion) {
		errs = append(errs, field.NotSupported(path.Child("apiVersion"), provider.APIVersion, execAPIVersions))
	}
	if !filepath.IsAbs(provider.Command) {
		errs = append(errs, field.Invalid(path.Child("command"), provider.Command, "must be an absolute path"))
	}
	for i, env := range provider.Env {
		if env.Name == "" {
			errs = append(errs, field.Required(path.Child("env").Index(i).Child("name"), ""))
		}
	}
	if len(provider.Servers) == 0 {
		errs = append(errs, field.Required(path.Child("servers"), "the servers that the plugin's credentials may be shown to"))
	}
	servers, serverErrs := validateServers(provider.Servers, nil, path.Child("servers"))
	errs = append(errs, serverErrs...)
	errs = append(errs, validateBindings(provider, servers, path.Child("bindings"))...)
	caPath := path.Child("certificateAuthorityData")
	if len(provider.CertificateAuthorityData) == 0 {
		errs = append(errs, field.Required(caPath, "the CAs that members may be verified with"))
	} else if _, err := endpoint.ParseBundle(provider.CertificateAuthorityData); err != nil {
		errs = append(errs, field.Invalid(caPath, "<bytes>", "must be PEM certificates: it "+err.Error()))
	}
	for i, proxy := range provider.ProxyURLs {
		if _, err := endpoint.ParseProxy(proxy); err != nil {
			// The value is left out: it could hold a password.
			errs = append(errs, field.Invalid(path.Child("proxyURLs").Index(i), "<url>", err.Error()))
		}
	}
	return errs
}

// validateServers returns the valid patterns, never nil, and the errors of the others. Where within
// is not nil, a pattern must not allow more servers than one of these.
func validateServers(servers []string, within []endpoint.ServerPattern, path *field.Path) ([]endpoint.ServerPattern, field.ErrorList) {
	patterns := []endpoint.ServerPattern{}
	var errs field.ErrorList
	for i, server := range servers {
		pattern, err := endpoint.ParseServerPattern(server)
		switch {
		case err != nil:
			errs = append(errs, field.Invalid(path.Index(i), server, err.Error()))
		case within != nil && !slices.ContainsFunc(within, func(s endpoint.ServerPattern) bool { return s.Covers(pattern) }):
			errs = append(errs, field.Invalid(path.Index(i), server, "must be within one of the servers of the provider"))
		default:
			patterns = append(patterns, pattern)
		}
	}
	return patterns, errs
}

// validateBindings returns the errors in the bindings of a provider for servers.
func validateBindings(provider *configv1alpha1.ExecProvider, servers []endpoint.ServerPattern, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(provider.Bindings) == 0 && leadsToSeveral(provider, servers) {
		errs = append(errs, field.Required(path, "the access may lead to several servers (more than one, a \"*\", or proxyURLs): "+
			"say by namespaces or profiles which ClusterProfiles may lead there. "+
			"Otherwise a user who edits the status of one could lead it to the cluster of another"))
	}
	for i := range provider.Bindings {
		errs = append(errs, validateBinding(&provider.Bindings[i], servers, path.Index(i))...)
	}
	return errs
}

func validateBinding(binding *configv1alpha1.ExecBinding, servers []endpoint.ServerPattern, path *field.Path) field.ErrorList {
	_, errs := validateServers(binding.Servers, servers, path.Child("servers"))
	if len(binding.Namespaces) == 0 && len(binding.Profiles) == 0 {
		errs = append(errs, field.Required(path, "namespaces or profiles: the ClusterProfiles that may lead to the servers"))
	}
	errs = append(errs, validateNamespaces(binding.Namespaces, path.Child("namespaces"))...)
	for i, profile := range binding.Profiles {
		path := path.Child("profiles").Index(i)
		errs = append(errs, validateNamespace(profile.Namespace, path.Child("namespace"))...)
		for _, message := range apivalidation.NameIsDNSSubdomain(profile.Name, false) {
			errs = append(errs, field.Invalid(path.Child("name"), profile.Name, message))
		}
		if slices.Contains(binding.Profiles[:i], profile) {
			errs = append(errs, field.Duplicate(path, profile.Namespace+"/"+profile.Name))
		}
	}
	return errs
}

// leadsToSeveral returns whether ClusterProfiles can choose among several clusters through
// provider. A proxy is such a choice: behind another proxy, an address may belong to another
// cluster.
func leadsToSeveral(provider *configv1alpha1.ExecProvider, servers []endpoint.ServerPattern) bool {
	return len(servers) > 1 || len(provider.ProxyURLs) > 0 ||
		slices.ContainsFunc(servers, func(s endpoint.ServerPattern) bool { return !s.IsExact() })
}

// validateApart returns an error for each namespace in which two platforms have Secrets: it could
// not be told which keys of a Secret to read.
func validateApart(provider, other *configv1alpha1.AccessProvider, path *field.Path) field.ErrorList {
	karmada, clusterAPI, child := provider.KarmadaSecret, other.ClusterAPISecret, "karmadaSecret"
	if karmada == nil {
		karmada, clusterAPI, child = other.KarmadaSecret, provider.ClusterAPISecret, "clusterAPISecret"
	}
	if karmada == nil || clusterAPI == nil {
		return nil
	}
	var errs field.ErrorList
	for _, namespace := range karmada.Namespaces {
		if slices.Contains(clusterAPI.Namespaces, namespace) {
			errs = append(errs, field.Invalid(path.Child(child, "namespaces"), namespace, "the Secrets of another platform are read from there"))
		}
	}
	return errs
}

// requireNamespaces is validateNamespaces for a list that must not be empty.
func requireNamespaces(namespaces []string, path *field.Path) field.ErrorList {
	if len(namespaces) == 0 {
		return field.ErrorList{field.Required(path, "the namespaces that Secrets are read from")}
	}
	return validateNamespaces(namespaces, path)
}

func validateNamespaces(namespaces []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, namespace := range namespaces {
		errs = append(errs, validateNamespace(namespace, path.Index(i))...)
		if slices.Contains(namespaces[:i], namespace) {
			errs = append(errs, field.Duplicate(path.Index(i), namespace))
		}
	}
	return errs
}

func validateNamespace(namespace string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, message := range apivalidation.ValidateNamespaceName(namespace, false) {
		errs = append(errs, field.Invalid(path, namespace, message))
	}
	return errs
}

func validateLimits(limits *configv1alpha1.Limits, path *field.Path) field.ErrorList {
	breaker := path.Child("breaker")
	return slices.Concat(
		validateRange(limits.MaxInFlight, 1, maxCalls, path.Child("maxInFlight")),
		validateRange(limits.Breaker.Failures, 1, maxCalls, breaker.Child("failures")),
		validateRange(limits.Breaker.OpenSeconds, 1, maxOpenSeconds, breaker.Child("openSeconds")),
		validateRange(limits.Breaker.MaxOpenSeconds, max(1, limits.Breaker.OpenSeconds), maxOpenSeconds, breaker.Child("maxOpenSeconds")),
	)
}

func validateRange(value, low, high int32, path *field.Path) field.ErrorList {
	if value >= low && value <= high {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, fmt.Sprintf("must be between %d and %d", low, high))}
}
