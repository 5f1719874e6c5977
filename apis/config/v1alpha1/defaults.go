// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "cmp"

const (
	// DefaultProviderName is upstream's name for the provider that reads a kubeconfig from a Secret.
	DefaultProviderName = "kubeconfig-secretreader"
	// DefaultKubeconfigNamespace is the namespace of clusterpass on the hub.
	DefaultKubeconfigNamespace = "clusterpass-system"
	// DefaultKarmadaNamespace is the namespace that `karmadactl join` puts Secrets into.
	DefaultKarmadaNamespace = "karmada-cluster"
	// DefaultExecAPIVersion is the version of the exchange with exec plugins, which KEP-5339's own
	// speak.
	DefaultExecAPIVersion = "client.authentication.k8s.io/v1"
	// DefaultMaxInFlight is the number of calls under way to one member.
	DefaultMaxInFlight int32 = 32
	// DefaultBreakerFailures is the number of failures in a row after which a member is left alone.
	DefaultBreakerFailures int32 = 5
	// DefaultBreakerOpenSeconds is how long a member is left alone at first.
	DefaultBreakerOpenSeconds int32 = 5
	// DefaultBreakerMaxOpenSeconds is how long a member is left alone at most.
	DefaultBreakerMaxOpenSeconds int32 = 60
)

// SetDefaults_AccessConfiguration gives a configuration without providers the one built in.
func SetDefaults_AccessConfiguration(obj *AccessConfiguration) {
	if len(obj.Providers) == 0 {
		obj.Providers = []AccessProvider{{Name: DefaultProviderName, KubeconfigSecret: &KubeconfigSecretProvider{}}}
	}
}

// SetDefaults_KubeconfigSecretProvider fills in the namespace of clusterpass.
func SetDefaults_KubeconfigSecretProvider(obj *KubeconfigSecretProvider) {
	if len(obj.Namespaces) == 0 {
		obj.Namespaces = []string{DefaultKubeconfigNamespace}
	}
}

// SetDefaults_KarmadaSecretProvider fills in Karmada's own namespace of Secrets.
func SetDefaults_KarmadaSecretProvider(obj *KarmadaSecretProvider) {
	if len(obj.Namespaces) == 0 {
		obj.Namespaces = []string{DefaultKarmadaNamespace}
	}
}

// SetDefaults_ExecProvider fills in the version of the exchange with the plugin.
func SetDefaults_ExecProvider(obj *ExecProvider) {
	obj.APIVersion = cmp.Or(obj.APIVersion, DefaultExecAPIVersion)
}

// SetDefaults_Limits fills in the bound on calls under way.
func SetDefaults_Limits(obj *Limits) {
	obj.MaxInFlight = cmp.Or(obj.MaxInFlight, DefaultMaxInFlight)
}

// SetDefaults_Breaker fills in when, and for how long, a member is left alone. A
// first delay above the default of the longest raises the longest.
func SetDefaults_Breaker(obj *Breaker) {
	obj.Failures = cmp.Or(obj.Failures, DefaultBreakerFailures)
	obj.OpenSeconds = cmp.Or(obj.OpenSeconds, DefaultBreakerOpenSeconds)
	obj.MaxOpenSeconds = cmp.Or(obj.MaxOpenSeconds, max(DefaultBreakerMaxOpenSeconds, obj.OpenSeconds))
}
