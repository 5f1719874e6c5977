// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

const (
	// CredentialSetFinalizer keeps a ClusterCredentialSet that is being deleted until the controller manager has deleted its
	// Secrets and its grants.
	CredentialSetFinalizer = "clusterpass.dev/credentials" //nolint:gosec // a name
	// AnnotationRotate has all credentials of a ClusterCredentialSet renewed, once for each new value.
	AnnotationRotate = "clusterpass.dev/rotate"
	// LabelCredentialSetUID is, on a Secret, an AuthTokenGrant or an object of Kueue, the UID of the ClusterCredentialSet that keeps it.
	LabelCredentialSetUID = "clusterpass.dev/credential-set-uid" //nolint:gosec // a name
)

// ControllerManagerUser is the username that the hub knows clusterpass-controller-manager by, as it is deployed.
const ControllerManagerUser = "system:serviceaccount:clusterpass-system:clusterpass-controller-manager"

// Bounds of a ClusterCredentialSet.
const (
	// MaxSelectedNames bounds spec.clusters.names.
	MaxSelectedNames = 1000
	// MaxDecisionWriters bounds spec.clusters.decisionWriters, and MaxDecisionWriter each of them, in bytes.
	MaxDecisionWriters = 20
	MaxDecisionWriter  = 1024
	// MaxArgoCDNamespaces bounds spec.secret.argoCD.namespaces, and MaxArgoCDName spec.secret.argoCD.name.
	MaxArgoCDNamespaces = 500
	MaxArgoCDName       = 253
	// MaxListedCredentials bounds status.credentials. Those that are not ready come first.
	MaxListedCredentials = 100
	// DefaultRefreshAtPercent is the part of a credential's life after which it is renewed, in percent.
	DefaultRefreshAtPercent int32 = 80
	// MinRefreshAtPercent and MaxRefreshAtPercent bound it.
	MinRefreshAtPercent int32 = 10
	// MaxRefreshAtPercent leaves time for the credential to arrive where it is used.
	MaxRefreshAtPercent int32 = 90
)

// SecretFormat is how a Secret holds a credential.
type SecretFormat string

const (
	// SecretFormatKubeconfig is a complete kubeconfig, with CA and token inline, as Kueue and Flux read it.
	SecretFormatKubeconfig SecretFormat = "kubeconfig"
	// SecretFormatArgoCD is the declarative cluster Secret of Argo CD.
	SecretFormatArgoCD SecretFormat = "argocd"
	// SecretFormatToken has the token, the CA and the server in keys of their own.
	SecretFormatToken SecretFormat = "token"
)

// +genclient
// +genclient:method=RenewAuthor,verb=create,subresource=author,input=clusterpass.dev/apis/clusterpass/v1alpha1.ClusterCredentialSet,result=clusterpass.dev/apis/clusterpass/v1alpha1.ClusterCredentialSet
// +genclient:method=CreateToken,verb=create,subresource=token,input=clusterpass.dev/apis/multicluster/v1alpha1.AuthTokenRequest,result=clusterpass.dev/apis/multicluster/v1alpha1.AuthTokenRequest
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ClusterCredentialSet keeps one credential for each selected cluster, in a Secret of the hub, and renews it before it
// expires. What it may have is what its author may have: who last changed its spec.
type ClusterCredentialSet struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says which clusters, which rights, and which Secrets.
	Spec ClusterCredentialSetSpec `json:"spec"`
	// Status is what has come of it.
	// +optional
	Status ClusterCredentialSetStatus `json:"status,omitempty"`
}

// ClusterCredentialSetSpec says which clusters, which rights, and which Secrets. It has one author, who has written all of it: server-side apply
// does not merge it.
// +structType=atomic
type ClusterCredentialSetSpec struct {
	// Clusters selects ClusterProfiles.
	Clusters ClusterSelection `json:"clusters"`
	// Template is what is asked for on each cluster.
	Template CredentialTemplate `json:"template"`
	// Secret is where each credential is kept.
	// +optional
	Secret CredentialSecret `json:"secret,omitempty"`
	// Rotation says when a credential is renewed.
	// +optional
	Rotation CredentialRotation `json:"rotation,omitempty"`
	// Consumer is configured to use the clusters.
	// +optional
	Consumer CredentialConsumer `json:"consumer,omitempty,omitzero"`
	// Author is who last changed the rest of the spec, with the groups that the user was in then. The server sets it. Credentials
	// are authorised as if this user had asked for them, each time.
	// +optional
	Author *Author `json:"author,omitempty"`
}

// Author is who last changed the spec of an object.
type Author struct {
	Requester `json:",inline"`
	// Extra is what else the hub's authenticator knew of the user, and its authoriser may look at.
	// +optional
	Extra map[string][]string `json:"extra,omitempty"`
	// Since is when the user was noted. Authors that were noted by an earlier release have none.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// ClusterSelection selects ClusterProfiles of one namespace: by labels, by names, or by PlacementDecisions. With the last, labels or
// names may be given, too: they bound what decisions select.
type ClusterSelection struct {
	// Namespace of the ClusterProfiles; by default that of the set.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// LabelSelector selects by labels. An empty one selects all of the namespace. With decisionKey, decisions select none but these.
	// +optional
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`
	// Names selects by name, at most 1000. Names of which there is no ClusterProfile are left out. With decisionKey, decisions select
	// none but these.
	// +optional
	// +listType=set
	Names []string `json:"names,omitempty"`
	// DecisionKey selects what the PlacementDecisions of the set's namespace name whose label
	// multicluster.x-k8s.io/decision-key has this value (KEP-5313), and which one of decisionWriters has written. The credential for
	// a cluster that they do not name any more is kept for a minute.
	// +optional
	DecisionKey string `json:"decisionKey,omitempty"`
	// DecisionWriters are the users whose PlacementDecisions count, by their usernames on the hub, at most 20. By default it
	// is clusterpass-controller-manager, whose decisions follow Placements. A set of an earlier release may have none: then all
	// decisions count, whoever may write them, until its spec changes.
	// +optional
	// +listType=set
	DecisionWriters []string `json:"decisionWriters,omitempty"`
}

// CredentialTemplate is what is asked for on each cluster: an AuthTokenRequest's spec without a target.
type CredentialTemplate struct {
	// ServiceAccountNamespace is the namespace of the ServiceAccount on each member cluster; default by default.
	// +optional
	ServiceAccountNamespace string `json:"serviceAccountNamespace,omitempty"`
	// ServiceAccountName is the name of the ServiceAccount on each member cluster; {{.cluster.name}} in it is the
	// ClusterProfile's name, {{.cluster.namespace}} its namespace, {{.set.name}} the set's name. One that is too long ends in a
	// hash. By default it is made of the set's name and a hash of set and ClusterProfile, so
	// that ClusterProfiles which lead to one member do not collide.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// ClusterRoles are as in an AuthTokenRequest.
	// +optional
	// +listType=map
	// +listMapKey=name
	ClusterRoles []multiclusterv1alpha1.ClusterRole `json:"clusterRoles,omitempty"`
	// Roles are as in an AuthTokenRequest.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	Roles []multiclusterv1alpha1.Role `json:"roles,omitempty"`
	// Audiences are as in an AuthTokenRequest.
	// +optional
	// +listType=set
	Audiences []string `json:"audiences,omitempty"`
}

// CredentialSecret is where a credential is kept.
type CredentialSecret struct {
	// Namespace of the Secrets; by default that of the set. Author and controller manager have to be allowed to write Secrets
	// there.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name of each Secret; {{.cluster.name}} in it is the ClusterProfile's name, and has to be in it, {{.cluster.namespace}}
	// its namespace, {{.set.name}} the set's name. {{.set.name}}-{{.cluster.name}} by default. A name that is too long for a Secret
	// ends in a hash; status.credentials has it. A Secret of that name that is not the set's is left alone.
	// +optional
	Name string `json:"name,omitempty"`
	// Format is how the Secret holds the credential: kubeconfig (the default), argocd or token.
	// +optional
	Format SecretFormat `json:"format,omitempty"`
	// Labels of each Secret, besides those of the format and of clusterpass. Labels that others set stay. One that is taken out
	// here is taken from the Secrets.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations of each Secret, likewise.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// ArgoCD is what else the Secret tells Argo CD of the cluster, with format argocd. Keys that are not given here may
	// be set in the Secret by others, and stay.
	// +optional
	ArgoCD *ArgoCDCluster `json:"argoCD,omitempty"`
}

// ArgoCDCluster is what a declarative cluster of Argo CD may have besides server and credentials.
type ArgoCDCluster struct {
	// Name is what Argo CD calls the cluster; {{.cluster.name}} in it is the ClusterProfile's name, {{.cluster.namespace}} its
	// namespace, {{.cluster.displayName}} its display name, {{.set.name}} the set's name. {{.cluster.name}} by default, which
	// ClusterProfiles of several namespaces may share.
	// +optional
	Name string `json:"name,omitempty"`
	// Namespaces are those that Argo CD manages on the cluster, at most 500. All by default.
	// +optional
	// +listType=set
	Namespaces []string `json:"namespaces,omitempty"`
	// ClusterResources lets Argo CD manage resources that are in no namespace, too, where namespaces are given. It does not by default.
	// +optional
	ClusterResources *bool `json:"clusterResources,omitempty"`
	// Project is the AppProject that the cluster is for alone.
	// +optional
	Project string `json:"project,omitempty"`
	// Shard is the number of the application controller that is responsible for the cluster, from 0. Argo CD chooses by default.
	// +optional
	Shard *int32 `json:"shard,omitempty"`
}

// CredentialRotation says when a credential is renewed. The old one stays valid until it expires.
type CredentialRotation struct {
	// ExpirationSeconds is the lifetime asked for, in seconds: 3600 by default, at least 600.
	// +optional
	ExpirationSeconds *int64 `json:"expirationSeconds,omitempty"`
	// RefreshAtPercent is the part of its lifetime after which a credential is renewed: 80 by default, from 10 to 90.
	// Some are renewed earlier, by up to a tenth of that, so that not all are at once.
	// +optional
	RefreshAtPercent *int32 `json:"refreshAtPercent,omitempty"`
}

// CredentialConsumer is who is configured to use the clusters of a ClusterCredentialSet.
type CredentialConsumer struct {
	// MultiKueue has Kueue send workloads to the clusters.
	// +optional
	MultiKueue *MultiKueueConsumer `json:"multiKueue,omitempty"`
}

// MultiKueueConsumer has Kueue (kueue.x-k8s.io/v1beta2) on the hub send workloads to the clusters: by a MultiKueueCluster for each, of
// the ClusterProfile's name, a MultiKueueConfig with their names, and an AdmissionCheck for ClusterQueues to name. Objects
// of these names that are not the set's are left alone. Author and controller manager have to be allowed to write them.
type MultiKueueConsumer struct {
	// ConfigName is the name of the MultiKueueConfig and of the AdmissionCheck; by default that of the set. It has no
	// dots, and 63 characters at most: Kueue takes no other.
	// +optional
	ConfigName string `json:"configName,omitempty"`
	// Order is that of the clusters in the MultiKueueConfig, which has the first 20: Selection (the default) or Name.
	// +optional
	Order MultiKueueOrder `json:"order,omitempty"`
	// ClusterSource is how Kueue reaches them: KubeConfig (the default) or ClusterProfile. It can't be changed.
	// +optional
	ClusterSource MultiKueueClusterSource `json:"clusterSource,omitempty"`
}

// MultiKueueOrder is an order of clusters.
type MultiKueueOrder string

const (
	// MultiKueueOrderSelection is that of spec.clusters: of its names, or of the decisions by their index. Clusters that are
	// selected by labels have none: they are in the order of their names.
	MultiKueueOrderSelection MultiKueueOrder = "Selection"
	// MultiKueueOrderName is that of their names.
	MultiKueueOrderName MultiKueueOrder = "Name"
)

// MultiKueueClusterSource is how Kueue reaches a cluster.
type MultiKueueClusterSource string

const (
	// MultiKueueClusterSourceKubeConfig is by the Secret that the set keeps, whose namespace has to be Kueue's.
	MultiKueueClusterSourceKubeConfig MultiKueueClusterSource = "KubeConfig"
	// MultiKueueClusterSourceClusterProfile is by the ClusterProfile, whose namespace has to be Kueue's, and a credential plugin
	// that Kueue is configured with (its feature gate MultiKueueClusterProfile). The set keeps no credentials then.
	MultiKueueClusterSourceClusterProfile MultiKueueClusterSource = "ClusterProfile"
)

// ClusterCredentialSetStatus is what has come of a ClusterCredentialSet.
type ClusterCredentialSetStatus struct {
	// ObservedGeneration is the generation of the spec that the rest is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Selected counts the clusters that are selected.
	// +optional
	Selected int32 `json:"selected,omitempty"`
	// Ready counts those that have a valid credential of this generation.
	// +optional
	Ready int32 `json:"ready,omitempty"`
	// NextRotation is when the first of the credentials that are ready is renewed.
	// +optional
	NextRotation *metav1.Time `json:"nextRotation,omitempty"`
	// Credentials are the credentials of selected clusters, at most 100: those that are not ready first, then by name.
	// +optional
	// +listType=map
	// +listMapKey=clusterProfile
	Credentials []CredentialStatus `json:"credentials,omitempty"`
	// Conditions of the set.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// CredentialStatus is what has come of the credential for one cluster.
type CredentialStatus struct {
	// ClusterProfile is the cluster's name.
	ClusterProfile string `json:"clusterProfile"`
	// UID of the ClusterProfile.
	// +optional
	UID types.UID `json:"uid,omitempty"`
	// SecretName is the name of the Secret.
	// +optional
	SecretName string `json:"secretName,omitempty"`
	// GrantName is the name of the AuthTokenGrant in the set's namespace.
	// +optional
	GrantName string `json:"grantName,omitempty"`
	// Ready says whether the Secret has a valid credential of this generation.
	Ready bool `json:"ready"`
	// Reason is a word for why it has none: that of the Status that the request for it got.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message says so to people.
	// +optional
	Message string `json:"message,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ClusterCredentialSetList is a list of ClusterCredentialSets.
type ClusterCredentialSetList struct {
	metav1.TypeMeta `json:",inline"`
	// Standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items are the ClusterCredentialSets.
	Items []ClusterCredentialSet `json:"items"`
}
