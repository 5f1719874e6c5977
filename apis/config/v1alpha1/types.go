// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// AccessConfiguration says how clusterpass reaches member clusters: which of the
// access providers in a ClusterProfile's status (KEP-5339) it uses, and what it
// allows them to be used for.
type AccessConfiguration struct {
	metav1.TypeMeta `json:",inline"`

	// providers are the access providers, by preference: the first one that a
	// ClusterProfile has an entry for is used, and no other is tried if it fails.
	// Without any it is one, "kubeconfig-secretreader", that reads Secrets in
	// namespace clusterpass-system.
	// +optional
	Providers []AccessProvider `json:"providers,omitempty"`

	// limits keep one member from taking up what the others need.
	// +optional
	Limits Limits `json:"limits,omitempty"`
}

// AccessProvider is one access provider. Exactly one of kubeconfigSecret and exec is set.
type AccessProvider struct {
	// name is the name of the entries in status.accessProviders of a ClusterProfile
	// (or, where that has none, in the deprecated status.credentialProviders) that
	// this is the provider for.
	Name string `json:"name"`

	// kubeconfigSecret reads a kubeconfig from a Secret of the hub. No process is started.
	// +optional
	KubeconfigSecret *KubeconfigSecretProvider `json:"kubeconfigSecret,omitempty"`

	// exec runs a credential plugin (KEP-541) inside the server's container, with
	// the server's identity.
	// +optional
	Exec *ExecProvider `json:"exec,omitempty"`
}

// KubeconfigSecretProvider reads the Secret that the entry's extension
// client.authentication.k8s.io/exec names, {name, key, namespace, context}, as
// upstream's plugin kubeconfig-secretreader does. The Secret must have the label
// clusterpass.dev/member-kubeconfig=true and the annotation
// clusterpass.dev/cluster-profile=NAMESPACE/NAME that names the ClusterProfile back.
type KubeconfigSecretProvider struct {
	// namespaces are the namespaces that Secrets are read from, and no others. The
	// first is that of an extension that names none. Default: clusterpass-system.
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`
}

// ExecProvider is a credential plugin and the servers that its credentials may be
// shown to. Whoever edits a ClusterProfile's status picks the server, so that
// without these bounds they could have the credential sent to themselves.
// Arguments and environment variables in a ClusterProfile are ignored, and so is
// its extension client.authentication.k8s.io/exec, unless passExtension is set.
type ExecProvider struct {
	// apiVersion is client.authentication.k8s.io/v1, the default, or v1beta1.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// command is the absolute path of the plugin.
	Command string `json:"command"`

	// args are the arguments of the plugin.
	// +optional
	Args []string `json:"args,omitempty"`

	// env is added to the environment of the plugin, which is the server's.
	// +optional
	Env []ExecEnvVar `json:"env,omitempty"`

	// provideClusterInfo tells the plugin, in KUBERNETES_EXEC_INFO, which cluster
	// the credential is for. Upstream's plugins need it.
	// +optional
	ProvideClusterInfo bool `json:"provideClusterInfo,omitempty"`

	// passExtension has the plugin be given, as the cluster's config, what the
	// extension client.authentication.k8s.io/exec of the ClusterProfile's entry says,
	// up to 16 KiB. Whoever edits the status of a ClusterProfile writes it. So set it
	// only for a plugin that does not choose by it whose credential it hands out:
	// upstream's secretreader and kubeconfig-secretreader do.
	// +optional
	PassExtension bool `json:"passExtension,omitempty"`

	// servers are patterns, https://HOST[:PORT][/PATH], one of which the server in
	// the ClusterProfile must match. In HOST a "*" stands for exactly one whole
	// label, but not for the last; without PORT it is 443 and "*" is any; in PATH a
	// "*" stands for exactly one whole segment. The scheme is always https. A server
	// with user name, query, fragment, percent sign, backslash, or with an empty,
	// "." or ".." segment in its path matches nothing.
	Servers []string `json:"servers"`

	// bindings say which ClusterProfiles may lead to which of the servers. A
	// ClusterProfile that is in none of them is refused. They are required where
	// there is more than one server, or proxyURLs, or a "*" in servers: without
	// them, whoever edits the status of one ClusterProfile could have it lead to the
	// cluster of another. Only a ClusterProfile that is in one may name a
	// tls-server-name, by which a proxy in front of several clusters chooses.
	// +optional
	Bindings []ExecBinding `json:"bindings,omitempty"`

	// certificateAuthorityData is a PEM bundle of the CAs that members may be
	// verified with. A ClusterProfile that names CAs narrows it down to them, and is
	// refused if one of them is not in the bundle.
	CertificateAuthorityData []byte `json:"certificateAuthorityData"`

	// proxyURLs are the proxies that a ClusterProfile may name. Default: none.
	// +optional
	ProxyURLs []string `json:"proxyURLs,omitempty"`
}

// ExecBinding binds servers to ClusterProfiles. Whoever edits the status of one of
// these ClusterProfiles can choose among these servers.
type ExecBinding struct {
	// servers are patterns as those of the provider, within which they have to be.
	// Default: all servers of the provider.
	// +optional
	Servers []string `json:"servers,omitempty"`

	// namespaces are namespaces of the hub: every ClusterProfile in there may lead to
	// the servers.
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`

	// profiles are single ClusterProfiles that may lead to the servers.
	// +optional
	Profiles []ProfileReference `json:"profiles,omitempty"`
}

// ProfileReference names a ClusterProfile.
type ProfileReference struct {
	// namespace of the ClusterProfile.
	Namespace string `json:"namespace"`
	// name of the ClusterProfile.
	Name string `json:"name"`
}

// ExecEnvVar is one environment variable of a credential plugin.
type ExecEnvVar struct {
	// name of the environment variable.
	Name string `json:"name"`
	// value of the environment variable.
	Value string `json:"value"`
}

// Limits bound what one member can take up in a server.
type Limits struct {
	// maxInFlight is how many calls to one member may be under way; further ones
	// wait for a second and are then refused. 1 to 1000, default 32.
	// +optional
	MaxInFlight int32 `json:"maxInFlight,omitempty"`

	// breaker leaves a member alone for a while that does not answer.
	// +optional
	Breaker Breaker `json:"breaker,omitempty"`
}

// Breaker leaves a member alone that did not answer several calls in a row: further
// calls fail at once, until one is let through to see whether it answers again.
type Breaker struct {
	// failures is how many calls in a row must have failed. 1 to 1000, default 5.
	// +optional
	Failures int32 `json:"failures,omitempty"`

	// openSeconds is how long the member is left alone at first; every call that is
	// let through and fails doubles it. 1 to 3600, default 5.
	// +optional
	OpenSeconds int32 `json:"openSeconds,omitempty"`

	// maxOpenSeconds is how long the member is left alone at most. openSeconds to
	// 3600, default 60.
	// +optional
	MaxOpenSeconds int32 `json:"maxOpenSeconds,omitempty"`
}
