// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"fmt"
	"path/filepath"
	"slices"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
)

const (
	// maxCalls bounds what is counted in calls to a member.
	maxCalls = 1000
	// maxOpenSeconds is the longest time that a member may be left alone.
	maxOpenSeconds = 3600
)

// execAPIVersions are the versions of the exchange with exec plugins that client-go speaks.
var execAPIVersions = []string{"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"}

// Validate returns what is wrong with config, which has been defaulted.
func Validate(config *configv1alpha1.AccessConfiguration) field.ErrorList {
	path := field.NewPath("providers")
	var errs field.ErrorList
	if len(config.Providers) == 0 {
		errs = append(errs, field.Required(path, "no member can be reached without a provider"))
	}
	names := sets.New[string]()
	for i := range config.Providers {
		provider := &config.Providers[i]
		errs = append(errs, validateProvider(provider, path.Index(i))...)
		if names.Has(provider.Name) {
			errs = append(errs, field.Duplicate(path.Index(i).Child("name"), provider.Name))
		}
		names.Insert(provider.Name)
	}
	return append(errs, validateLimits(&config.Limits, field.NewPath("limits"))...)
}

func validateProvider(provider *configv1alpha1.AccessProvider, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if provider.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "the name that ClusterProfiles know it by"))
	}
	switch {
	case provider.KubeconfigSecret != nil && provider.Exec != nil:
		errs = append(errs, field.Forbidden(path.Child("exec"), "a provider is either kubeconfigSecret or exec"))
	case provider.KubeconfigSecret != nil:
		errs = append(errs, validateKubeconfigSecret(provider.KubeconfigSecret, path.Child("kubeconfigSecret"))...)
	case provider.Exec != nil:
		errs = append(errs, validateExec(provider.Exec, path.Child("exec"))...)
	default:
		errs = append(errs, field.Required(path, "one of kubeconfigSecret and exec"))
	}
	return errs
}

func validateKubeconfigSecret(provider *configv1alpha1.KubeconfigSecretProvider, path *field.Path) field.ErrorList {
	path = path.Child("namespaces")
	var errs field.ErrorList
	if len(provider.Namespaces) == 0 {
		errs = append(errs, field.Required(path, "the namespaces that Secrets are read from"))
	}
	for i, namespace := range provider.Namespaces {
		for _, message := range apivalidation.ValidateNamespaceName(namespace, false) {
			errs = append(errs, field.Invalid(path.Index(i), namespace, message))
		}
		if slices.Contains(provider.Namespaces[:i], namespace) {
			errs = append(errs, field.Duplicate(path.Index(i), namespace))
		}
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
	for i, server := range provider.Servers {
		if _, err := endpoint.ParseServerPattern(server); err != nil {
			errs = append(errs, field.Invalid(path.Child("servers").Index(i), server, err.Error()))
		}
	}
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
