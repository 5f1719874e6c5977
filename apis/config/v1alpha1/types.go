// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// AccessConfiguration says how clusterpass reaches member clusters: which access providers in the
// status of ClusterProfiles (KEP-5339) it uses, and what they may be used for.
type AccessConfiguration struct {
	metav1.TypeMeta `json:",inline"`

	// providers are the access providers, in order of preference. The first one for which a
	// ClusterProfile has an entry is used; if it fails, no other is tried. Default: one provider,
	// "kubeconfig-secretreader", which reads Secrets in the namespace clusterpass-system.
	// +optional
	Providers []AccessProvider `json:"providers,omitempty"`

	// limits keep one member from taking up what other members need.
	// +optional
	Limits Limits `json:"limits,omitempty"`
}

// AccessProvider is one access provider. Exactly one of kubeconfigSecret, exec, karmadaSecret and
// clusterAPISecret must be set.
type AccessProvider struct {
	// name is the name of this provider's entries in status.accessProviders of ClusterProfiles. If
	// a ClusterProfile has no such entry, the one in the deprecated status.credentialProviders is
	// used.
	Name string `json:"name"`

	// kubeconfigSecret reads a kubeconfig from a Secret of the hub. No process is started.
	// +optional
	KubeconfigSecret *KubeconfigSecretProvider `json:"kubeconfigSecret,omitempty"`

	// exec runs a credential plugin (KEP-541) inside the server's container, with
	// the server's identity.
	// +optional
	Exec *ExecProvider `json:"exec,omitempty"`

	// karmadaSecret reaches the clusters of Karmada, whose control plane the hub is, by Karmada's own
	// Secrets. There may be one such provider.
	// +optional
	KarmadaSecret *KarmadaSecretProvider `json:"karmadaSecret,omitempty"`

	// clusterAPISecret reaches the clusters of Cluster API, whose management cluster the hub is, by
	// Cluster API's own Secrets. There may be one such provider.
	// +optional
	ClusterAPISecret *ClusterAPISecretProvider `json:"clusterAPISecret,omitempty"`
}

// KubeconfigSecretProvider reads a Secret, as upstream's plugin kubeconfig-secretreader does. The
// extension client.authentication.k8s.io/exec of the ClusterProfile's entry, {name, key, namespace,
// context}, names the Secret. The Secret must have the label
// clusterpass.dev/member-kubeconfig=true, and the annotation
// clusterpass.dev/cluster-profile=NAMESPACE/NAME with the namespace and name of the ClusterProfile,
// or several, separated by commas. A ClusterProfile without an entry of any configured provider
// needs no extension: the one Secret that names it is used.
type KubeconfigSecretProvider struct {
	// namespaces are the only namespaces that Secrets are read from. The first one is used if an
	// extension names no namespace. Whoever may write Secrets there decides which servers
	// ClusterProfiles without an entry lead to. Default: clusterpass-system.
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`
}

// KarmadaSecretProvider leads a ClusterProfile of profileNamespace to the Cluster of
// cluster.karmada.io that has its name. Address and proxy come from that Cluster, and token and CA
// from the Secret in its spec.secretRef, which must have the name of the Cluster, as the Secrets of
// `karmadactl join` do. What the ClusterProfile says is not used.
type KarmadaSecretProvider struct {
	// namespaces are the only namespaces that Secrets are read from. None may be one of
	// clusterAPISecret. Default: karmada-cluster.
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`

	// profileNamespace is the namespace of the ClusterProfiles of Karmada's clusters. In other
	// namespaces, a ClusterProfile leads to none of them.
	ProfileNamespace string `json:"profileNamespace"`
}

// ClusterAPISecretProvider leads a ClusterProfile to the Cluster of cluster.x-k8s.io that has its
// namespace and name, by the Secret NAME-kubeconfig there, with the type cluster.x-k8s.io/secret
// and the label cluster.x-k8s.io/cluster-name=NAME. What the ClusterProfile says is not used.
type ClusterAPISecretProvider struct {
	// namespaces are the only namespaces that Secrets are read from. ClusterProfiles of other
	// namespaces lead to none of these clusters.
	Namespaces []string `json:"namespaces"`
}

// ExecProvider is a credential plugin and the servers that may receive its credentials. A user who
// can edit the status of a ClusterProfile chooses the server. Without these bounds, that user could
// have the credential sent to a server of their own. Arguments and environment variables in a
// ClusterProfile are ignored. Its extension client.authentication.k8s.io/exec is ignored, too,
// unless passExtension is set.
type ExecProvider struct {
	// apiVersion is client.authentication.k8s.io/v1 (the default) or
	// client.authentication.k8s.io/v1beta1.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// command is the absolute path of the plugin.
	Command string `json:"command"`

	// args are the arguments of the plugin.
	// +optional
	Args []string `json:"args,omitempty"`

	// env are environment variables for the plugin, in addition to those of the server.
	// +optional
	Env []ExecEnvVar `json:"env,omitempty"`

	// provideClusterInfo tells the plugin, in KUBERNETES_EXEC_INFO, which cluster
	// the credential is for. Upstream's plugins need it.
	// +optional
	ProvideClusterInfo bool `json:"provideClusterInfo,omitempty"`

	// passExtension passes to the plugin, as the cluster's config, the content of the extension
	// client.authentication.k8s.io/exec of the ClusterProfile's entry, up to 16 KiB. A user who can
	// edit the status of a ClusterProfile controls this content. So do not set it for a plugin that
	// chooses by this content whose credential it returns, as upstream's secretreader and
	// kubeconfig-secretreader do.
	// +optional
	PassExtension bool `json:"passExtension,omitempty"`

	// servers are patterns of the form https://HOST[:PORT][/PATH]. The server in the ClusterProfile
	// must match one of them. In HOST, "*" stands for exactly one whole label, but it cannot be the
	// last label. PORT is 443 by default, and "*" means any port. In PATH, "*" stands for exactly
	// one whole segment. The scheme is always https. A server matches no pattern if it has a user
	// name, a query, a fragment, a percent sign, a backslash, or an empty, "." or ".." segment in
	// its path.
	Servers []string `json:"servers"`

	// bindings say which ClusterProfiles may lead to which of the servers. If there are bindings, a
	// ClusterProfile that is in none of them is refused. They are required if there are several
	// servers, a "*" in servers, or proxyURLs. Without them, a user who edits the status of one
	// ClusterProfile could make it lead to the cluster of another. Only a ClusterProfile that is in
	// a binding may have a tls-server-name, by which a proxy in front of several clusters chooses
	// one of them.
	// +optional
	Bindings []ExecBinding `json:"bindings,omitempty"`

	// certificateAuthorityData is a PEM bundle of the CAs with which members may be verified. If a
	// ClusterProfile names CAs, its member is verified with only those. The ClusterProfile is
	// refused if one of its CAs is not in the bundle.
	CertificateAuthorityData []byte `json:"certificateAuthorityData"`

	// proxyURLs are the proxies that a ClusterProfile may name. Default: none.
	// +optional
	ProxyURLs []string `json:"proxyURLs,omitempty"`
}

// ExecBinding binds servers to ClusterProfiles. A user who can edit the status of one of these
// ClusterProfiles can choose among these servers.
type ExecBinding struct {
	// servers are patterns like those of the provider, and must be within them. Default: all
	// servers of the provider.
	// +optional
	Servers []string `json:"servers,omitempty"`

	// namespaces are namespaces of the hub. Every ClusterProfile in them may lead to the servers.
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`

	// profiles are single ClusterProfiles that may lead to the servers.
	// +optional
	Profiles []ProfileReference `json:"profiles,omitempty"`
}

// ProfileReference identifies a ClusterProfile.
type ProfileReference struct {
	// namespace is the namespace of the ClusterProfile.
	Namespace string `json:"namespace"`
	// name is the name of the ClusterProfile.
	Name string `json:"name"`
}

// ExecEnvVar is one environment variable of a credential plugin.
type ExecEnvVar struct {
	// name is the name of the environment variable.
	Name string `json:"name"`
	// value is the value of the environment variable.
	Value string `json:"value"`
}

// Limits bound how much of a server's capacity one member can take up.
type Limits struct {
	// maxInFlight is the maximum number of concurrent calls to one member. Further calls wait for
	// up to a second, and are then refused. 1 to 1000, default 32.
	// +optional
	MaxInFlight int32 `json:"maxInFlight,omitempty"`

	// breaker stops calls to a member that does not answer, for a while.
	// +optional
	Breaker Breaker `json:"breaker,omitempty"`
}

// Breaker stops calls to a member that did not answer several calls in a row. Further calls fail at
// once, until one is let through to check whether the member answers again.
type Breaker struct {
	// failures is the number of calls in a row that must fail before calls are stopped. 1 to 1000,
	// default 5.
	// +optional
	Failures int32 `json:"failures,omitempty"`

	// openSeconds is how long calls are stopped at first, in seconds. Every call that is let
	// through and fails doubles the time. 1 to 3600, default 5.
	// +optional
	OpenSeconds int32 `json:"openSeconds,omitempty"`

	// maxOpenSeconds is the maximum time for which calls are stopped, in seconds. openSeconds to
	// 3600, default 60.
	// +optional
	MaxOpenSeconds int32 `json:"maxOpenSeconds,omitempty"`
}
