// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

const (
	// CredentialSetFinalizer keeps a ClusterCredentialSet that is being deleted until the
	// controller manager has deleted its Secrets and its grants.
	CredentialSetFinalizer = "clusterpass.dev/credentials" //nolint:gosec // a name
	// AnnotationRotate is an annotation of a ClusterCredentialSet. Each new value renews all of its
	// credentials once.
	AnnotationRotate = "clusterpass.dev/rotate"
	// LabelCredentialSetUID is a label of a Secret, an AuthTokenGrant or an object of Kueue. Its
	// value is the UID of the ClusterCredentialSet that keeps the object.
	LabelCredentialSetUID = "clusterpass.dev/credential-set-uid" //nolint:gosec // a name
)

// ControllerManagerUser is the username on the hub that clusterpass-controller-manager has with the
// manifests in artifacts/deploy.
const ControllerManagerUser = "system:serviceaccount:clusterpass-system:clusterpass-controller-manager"

// Bounds of a ClusterCredentialSet.
const (
	// MaxSelectedNames bounds spec.clusters.names.
	MaxSelectedNames = 1000
	// MaxDecisionWriters bounds spec.clusters.decisionWriters, and MaxDecisionWriter each of them,
	// in bytes.
	MaxDecisionWriters = 20
	MaxDecisionWriter  = 1024
	// MaxArgoCDNamespaces bounds spec.secret.argoCD.namespaces, and MaxArgoCDName
	// spec.secret.argoCD.name.
	MaxArgoCDNamespaces = 500
	MaxArgoCDName       = 253
	// MaxListedCredentials bounds status.credentials. Those that are not ready come first.
	MaxListedCredentials = 100
	// DefaultRefreshAtPercent is the percentage of a credential's lifetime after which it is
	// renewed, if spec.rotation.refreshAtPercent is not set.
	DefaultRefreshAtPercent int32 = 80
	// MinRefreshAtPercent is the minimum of spec.rotation.refreshAtPercent.
	MinRefreshAtPercent int32 = 10
	// MaxRefreshAtPercent is the maximum of spec.rotation.refreshAtPercent. It leaves time for the
	// credential to reach its consumers.
	MaxRefreshAtPercent int32 = 90
)

// SecretFormat is the format in which a Secret holds a credential.
type SecretFormat string

const (
	// SecretFormatKubeconfig is a complete kubeconfig, with CA and token inline, as Kueue and Flux
	// read it.
	SecretFormatKubeconfig SecretFormat = "kubeconfig"
	// SecretFormatArgoCD is the declarative cluster Secret of Argo CD.
	SecretFormatArgoCD SecretFormat = "argocd"
	// SecretFormatToken has the token, the CA and the server in separate keys.
	SecretFormatToken SecretFormat = "token"
)

// +genclient
// +genclient:method=RenewAuthor,verb=create,subresource=author,input=clusterpass.dev/apis/clusterpass/v1alpha1.ClusterCredentialSet,result=clusterpass.dev/apis/clusterpass/v1alpha1.ClusterCredentialSet
// +genclient:method=CreateToken,verb=create,subresource=token,input=clusterpass.dev/apis/multicluster/v1alpha1.AuthTokenRequest,result=clusterpass.dev/apis/multicluster/v1alpha1.AuthTokenRequest
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ClusterCredentialSet keeps one credential for each selected cluster in a Secret on the hub, and
// renews it before it expires. A set can have only what its author may have. The author is the user
// who last changed the spec.
type ClusterCredentialSet struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says which clusters, which rights, and which Secrets.
	Spec ClusterCredentialSetSpec `json:"spec"`
	// Status is the observed state.
	// +optional
	Status ClusterCredentialSetStatus `json:"status,omitempty"`
}

// ClusterCredentialSetSpec says which clusters, which rights, and which Secrets. The spec has a
// single author, who wrote all of it: server-side apply replaces it as a whole, and does not merge
// it.
// +structType=atomic
type ClusterCredentialSetSpec struct {
	// Clusters selects ClusterProfiles.
	Clusters ClusterSelection `json:"clusters"`
	// Template is what is requested on each cluster.
	Template CredentialTemplate `json:"template"`
	// Secret says in which Secrets the credentials are kept.
	// +optional
	Secret CredentialSecret `json:"secret,omitempty"`
	// Rotation says when credentials are renewed.
	// +optional
	Rotation CredentialRotation `json:"rotation,omitempty"`
	// Consumer is the program that is configured to use the clusters.
	// +optional
	Consumer CredentialConsumer `json:"consumer,omitempty,omitzero"`
	// Author is the user who last changed the rest of the spec, with the groups that the user was
	// in at that time. The server sets it. Each time a credential is requested, it is authorised as
	// if this user had requested it.
	// +optional
	Author *Author `json:"author,omitempty"`
}

// Author is the user who last changed the spec of an object.
type Author struct {
	Requester `json:",inline"`
	// Extra is extra information about the user from the hub's authenticator. The hub's authoriser
	// may use it.
	// +optional
	Extra map[string][]string `json:"extra,omitempty"`
	// Since is when the user was recorded. It is not set if an earlier release recorded the author.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// ClusterSelection selects ClusterProfiles of one namespace: by labels, by names, or by
// PlacementDecisions. Labels or names can be combined with PlacementDecisions: they then restrict
// what the decisions select.
type ClusterSelection struct {
	// Namespace is the namespace of the ClusterProfiles. Defaults to the namespace of the set.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// LabelSelector selects by labels. An empty selector selects all ClusterProfiles of the
	// namespace. With decisionKey, decisions select only clusters that match it.
	// +optional
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`
	// Names selects by name. At most 1000. A name without a ClusterProfile is left out. With
	// decisionKey, decisions select only clusters with these names.
	// +optional
	// +listType=set
	Names []string `json:"names,omitempty"`
	// DecisionKey selects the clusters in PlacementDecisions of the set's namespace (KEP-5313):
	// those with this value in their label multicluster.x-k8s.io/decision-key that were written by
	// one of decisionWriters. If they no longer name a cluster, its credential is kept for another
	// minute.
	// +optional
	DecisionKey string `json:"decisionKey,omitempty"`
	// DecisionWriters are the usernames on the hub of the users whose PlacementDecisions count. At
	// most 20. Defaults to the username of clusterpass-controller-manager, whose decisions follow
	// Placements. A set of an earlier release may have none: all decisions then count, regardless
	// of who wrote them, until the spec of the set changes.
	// +optional
	// +listType=set
	DecisionWriters []string `json:"decisionWriters,omitempty"`
}

// CredentialTemplate is what is requested on each cluster: the spec of an AuthTokenRequest without
// a target.
type CredentialTemplate struct {
	// ServiceAccountNamespace is the namespace of the ServiceAccount on each member cluster.
	// Defaults to default.
	// +optional
	ServiceAccountNamespace string `json:"serviceAccountNamespace,omitempty"`
	// ServiceAccountName is a template for the name of the ServiceAccount on each member cluster.
	// {{.cluster.name}} stands for the name of the ClusterProfile, {{.cluster.namespace}} for its
	// namespace, and {{.set.name}} for the name of the set. A name that is too long ends in a hash.
	// By default, the name consists of the name of the set and a hash of the set and the
	// ClusterProfile, so ClusterProfiles that lead to the same member do not collide.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// ClusterRoles are the ClusterRoles to bind, as in an AuthTokenRequest.
	// +optional
	// +listType=map
	// +listMapKey=name
	ClusterRoles []multiclusterv1alpha1.ClusterRole `json:"clusterRoles,omitempty"`
	// Roles are the Roles to bind, as in an AuthTokenRequest.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	Roles []multiclusterv1alpha1.Role `json:"roles,omitempty"`
	// Audiences are the audiences of the tokens, as in an AuthTokenRequest.
	// +optional
	// +listType=set
	Audiences []string `json:"audiences,omitempty"`
}

// CredentialSecret says in which Secrets credentials are kept.
type CredentialSecret struct {
	// Namespace is the namespace of the Secrets. Defaults to the namespace of the set. The author
	// and the controller manager must be allowed to write Secrets there.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name is a template for the name of each Secret. {{.cluster.name}} stands for the name of the
	// ClusterProfile, and is required; {{.cluster.namespace}} stands for its namespace, and
	// {{.set.name}} for the name of the set. Defaults to {{.set.name}}-{{.cluster.name}}. A name
	// that is too long for a Secret ends in a hash; status.credentials shows it. An existing Secret
	// of that name that does not belong to the set is left alone.
	// +optional
	Name string `json:"name,omitempty"`
	// Format is the format of the credential in the Secret: kubeconfig (the default), argocd or
	// token.
	// +optional
	Format SecretFormat `json:"format,omitempty"`
	// Labels are labels for each Secret, in addition to those of the format and of clusterpass.
	// Labels that others set are kept. If a label is removed here, it is removed from the Secrets.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are annotations for each Secret. They are treated like labels.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// ArgoCD is what else the Secret says about the cluster to Argo CD, with format argocd. Others
	// may set the keys of the Secret that are not given here; these keys are kept.
	// +optional
	ArgoCD *ArgoCDCluster `json:"argoCD,omitempty"`
}

// ArgoCDCluster is what a declarative cluster of Argo CD may have in addition to its server and
// credentials.
type ArgoCDCluster struct {
	// Name is a template for the name of the cluster in Argo CD. {{.cluster.name}} stands for the
	// name of the ClusterProfile, {{.cluster.namespace}} for its namespace,
	// {{.cluster.displayName}} for its display name, and {{.set.name}} for the name of the set.
	// Defaults to {{.cluster.name}}, which ClusterProfiles of several namespaces may share.
	// +optional
	Name string `json:"name,omitempty"`
	// Namespaces are the namespaces of the cluster that Argo CD manages. At most 500. Defaults to
	// all namespaces.
	// +optional
	// +listType=set
	Namespaces []string `json:"namespaces,omitempty"`
	// ClusterResources says whether Argo CD also manages cluster-scoped resources if namespaces are
	// given. Defaults to false.
	// +optional
	ClusterResources *bool `json:"clusterResources,omitempty"`
	// Project is the only AppProject that may use the cluster.
	// +optional
	Project string `json:"project,omitempty"`
	// Shard is the number of the application controller that is responsible for the cluster, from
	// 0. By default, Argo CD chooses it.
	// +optional
	Shard *int32 `json:"shard,omitempty"`
}

// CredentialRotation says when credentials are renewed. The old credential stays valid until it
// expires.
type CredentialRotation struct {
	// ExpirationSeconds is the requested lifetime, in seconds. Defaults to 3600; at least 600.
	// +optional
	ExpirationSeconds *int64 `json:"expirationSeconds,omitempty"`
	// RefreshAtPercent is the percentage of its lifetime after which a credential is renewed, from
	// 10 to 90. Defaults to 80. Some credentials are renewed earlier, by up to a tenth of that
	// time, so not all are renewed at once.
	// +optional
	RefreshAtPercent *int32 `json:"refreshAtPercent,omitempty"`
}

// CredentialConsumer is the program that is configured to use the clusters of a
// ClusterCredentialSet.
type CredentialConsumer struct {
	// MultiKueue configures Kueue to send workloads to the clusters.
	// +optional
	MultiKueue *MultiKueueConsumer `json:"multiKueue,omitempty"`
}

// MultiKueueConsumer configures Kueue (kueue.x-k8s.io/v1beta2) on the hub to send workloads to the
// clusters. It keeps a MultiKueueCluster for each cluster, with the name of the ClusterProfile; a
// MultiKueueConfig with their names; and an AdmissionCheck that ClusterQueues can name. Existing
// objects of these names that do not belong to the set are left alone. The author and the
// controller manager must be allowed to write these objects.
type MultiKueueConsumer struct {
	// ConfigName is the name of the MultiKueueConfig and of the AdmissionCheck. Defaults to the
	// name of the set. It must have no dots and at most 63 characters, because Kueue accepts no
	// other name.
	// +optional
	ConfigName string `json:"configName,omitempty"`
	// Order is the order of the clusters in the MultiKueueConfig: Selection (the default) or Name.
	// The MultiKueueConfig has the first 20 clusters.
	// +optional
	Order MultiKueueOrder `json:"order,omitempty"`
	// ClusterSource says how Kueue reaches the clusters: KubeConfig (the default) or
	// ClusterProfile. It is immutable.
	// +optional
	ClusterSource MultiKueueClusterSource `json:"clusterSource,omitempty"`
}

// MultiKueueOrder is the order of clusters.
type MultiKueueOrder string

const (
	// MultiKueueOrderSelection is the order of spec.clusters: of its names, or of the decisions by
	// their index. Clusters that are selected by labels have no such order, and are sorted by name.
	MultiKueueOrderSelection MultiKueueOrder = "Selection"
	// MultiKueueOrderName sorts clusters by name.
	MultiKueueOrderName MultiKueueOrder = "Name"
)

// MultiKueueClusterSource says how Kueue reaches a cluster.
type MultiKueueClusterSource string

const (
	// MultiKueueClusterSourceKubeConfig means that Kueue uses the Secret that the set keeps. The
	// Secret must be in Kueue's namespace.
	MultiKueueClusterSourceKubeConfig MultiKueueClusterSource = "KubeConfig"
	// MultiKueueClusterSourceClusterProfile means that Kueue uses the ClusterProfile, and a
	// credential plugin that Kueue is configured with (its feature gate MultiKueueClusterProfile).
	// The ClusterProfile must be in Kueue's namespace. The set then keeps no credentials.
	MultiKueueClusterSourceClusterProfile MultiKueueClusterSource = "ClusterProfile"
)

// ClusterCredentialSetStatus is the observed state of a ClusterCredentialSet.
type ClusterCredentialSetStatus struct {
	// ObservedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Selected is the number of selected clusters.
	// +optional
	Selected int32 `json:"selected,omitempty"`
	// Ready is the number of selected clusters that have a valid credential of this generation.
	// +optional
	Ready int32 `json:"ready,omitempty"`
	// NextRotation is when the next of the ready credentials is renewed.
	// +optional
	NextRotation *metav1.Time `json:"nextRotation,omitempty"`
	// Credentials are the credentials of selected clusters. At most 100. Credentials that are not
	// ready come first; apart from that, they are sorted by name.
	// +optional
	// +listType=map
	// +listMapKey=clusterProfile
	Credentials []CredentialStatus `json:"credentials,omitempty"`
	// Conditions are the conditions of the set.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// CredentialStatus is the observed state of the credential for one cluster.
type CredentialStatus struct {
	// ClusterProfile is the name of the cluster's ClusterProfile.
	ClusterProfile string `json:"clusterProfile"`
	// UID is the UID of the ClusterProfile.
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
	// Reason is one word for why the credential could not be issued or renewed: the reason of the
	// Status that the request for it was answered with.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message explains the reason.
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

	// Items is the list of ClusterCredentialSets.
	Items []ClusterCredentialSet `json:"items"`
}
