// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

// need is a right that one of the programs has to have on the hub: one rule of artifacts/deploy/rbac, in words.
type need struct {
	// namespace is where the right has to hold; empty: in all.
	namespace string
	group     string
	// resources, with their subresources, of the group.
	resources []string
	// name is the one object that the right is for; empty: any.
	name  string
	verbs []string
	// mode is that of --inventory which takes the right; empty: both.
	mode Inventory
	// without says what comes of it if the right is missing.
	without string
}

const (
	namespaceOfKubeSystem = "kube-system"
	resourceSecrets       = "secrets"
	resourceNamespaces    = "namespaces"
	groupCore             = ""
	groupAdmission        = "admissionregistration.k8s.io"
	groupFlowControl      = "flowcontrol.apiserver.k8s.io"
	groupMulticluster     = "multicluster.x-k8s.io"
	groupClusterpass      = "clusterpass.dev"
	groupCoordination     = "coordination.k8s.io"

	verbGet    = "get"
	verbList   = "list"
	verbWatch  = "watch"
	verbCreate = "create"
	verbUpdate = "update"
	verbPatch  = "patch"
	verbDelete = "delete"
)

var (
	listAndWatch    = []string{verbList, verbWatch}
	getListAndWatch = []string{verbGet, verbList, verbWatch}
)

// serverNeeds are what artifacts/deploy/rbac gives clusterpass-apiserver. A test compares the two.
var serverNeeds = []need{
	{
		group: groupCore, resources: []string{resourceNamespaces}, verbs: getListAndWatch,
		without: `every write is answered with "not yet ready to handle request", and the hub's id is not known`,
	},
	{
		group: groupAdmission, verbs: listAndWatch,
		resources: []string{
			"mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations",
			"validatingadmissionpolicies", "validatingadmissionpolicybindings", "validatingwebhookconfigurations",
		},
		without: `every write is answered with "not yet ready to handle request"`,
	},
	{
		group: groupFlowControl, resources: []string{"flowschemas", "prioritylevelconfigurations"}, verbs: listAndWatch,
		without: "the server is not ready",
	},
	{
		group: groupFlowControl, resources: []string{"flowschemas/status"}, verbs: []string{verbPatch},
		without: "each new FlowSchema leaves errors in its log",
	},
	{
		group: "apiextensions.k8s.io", resources: []string{"customresourcedefinitions"}, verbs: listAndWatch, mode: InventoryServed,
		without: "it can't know whether one clashes, and is not ready",
	},
	{
		group: groupMulticluster, resources: []string{"clusterprofiles"}, verbs: getListAndWatch, mode: InventoryExternal,
		without: "it finds no ClusterProfile, and is not ready",
	},
	{
		namespace: SystemNamespace, group: groupCore, resources: []string{resourceSecrets}, verbs: getListAndWatch,
		without: "it reads no member's kubeconfig, and is not ready",
	},
	tokenReviews,
	accessReviews,
	requestHeaderConfig,
}

// managerNeeds are what artifacts/deploy/rbac gives clusterpass-controller-manager. A test compares the two.
var managerNeeds = []need{
	{
		group: groupCore, resources: []string{resourceNamespaces}, name: namespaceOfKubeSystem, verbs: []string{verbGet},
		without: "it does not know the hub's id, and does not start",
	},
	{
		group: groupClusterpass, resources: []string{"authtokengrants"}, verbs: []string{verbGet, verbList, verbWatch, verbUpdate, verbDelete},
		without: "grants are not revoked, nor removed when they have expired",
	},
	{
		group: groupClusterpass, resources: []string{"authtokengrants/status"}, verbs: []string{verbUpdate},
		without: "grants are not revoked: it can't record how far it is",
	},
	{
		group: groupMulticluster, resources: []string{"clusterprofiles"}, verbs: getListAndWatch,
		without: "it reaches no member",
	},
	{
		group: groupMulticluster, resources: []string{"clusterprofiles/status"}, verbs: []string{verbPatch},
		without: "ClusterProfiles do not say how their members are",
	},
	{
		group: groupClusterpass, resources: []string{"clustercredentialsets"}, verbs: []string{verbGet, verbList, verbWatch, verbUpdate},
		without: "ClusterCredentialSets have no credentials",
	},
	{
		group: groupClusterpass, resources: []string{"clustercredentialsets/status"}, verbs: []string{verbUpdate},
		without: "ClusterCredentialSets do not say what became of their credentials",
	},
	{
		group: groupClusterpass, resources: []string{"clustercredentialsets/token"}, verbs: []string{verbCreate},
		without: "ClusterCredentialSets have no credentials",
	},
	{
		group: groupClusterpass, resources: []string{"placements"}, verbs: listAndWatch,
		without: "Placements choose no cluster",
	},
	{
		group: groupClusterpass, resources: []string{"placements/status"}, verbs: []string{verbUpdate},
		without: "Placements do not say what they have chosen",
	},
	{
		group: groupMulticluster, resources: []string{"placementdecisions"}, verbs: []string{verbGet, verbList, verbWatch, verbCreate, verbUpdate, verbDelete},
		without: "Placements have no PlacementDecisions, and ClusterCredentialSets that select by decisions no credentials",
	},
	{
		group: groupCore, resources: []string{resourceNamespaces}, verbs: listAndWatch,
		without: "it does not know which cluster sets there are, and Placements choose no cluster",
	},
	{
		group: groupClusterpass, resources: []string{"clusterscores"}, verbs: []string{verbGet, verbList, verbWatch, verbCreate},
		without: "there are no ClusterScores",
	},
	{
		group: groupClusterpass, resources: []string{"clusterscores/status"}, verbs: []string{verbUpdate},
		without: "ClusterScores do not say what is free",
	},
	{
		group: "events.k8s.io", resources: []string{"events"}, verbs: []string{verbCreate, verbPatch},
		without: "there are no events on grants and ClusterProfiles",
	},
	{
		namespace: SystemNamespace, group: groupCore, resources: []string{resourceSecrets}, verbs: getListAndWatch,
		without: "it reads no member's kubeconfig, and is not ready",
	},
	{
		namespace: SystemNamespace, group: groupCore, resources: []string{resourceSecrets}, verbs: []string{verbUpdate},
		without: "its credentials for members end, and are not renewed",
	},
	{
		namespace: SystemNamespace, group: groupCoordination, resources: []string{"leases"}, verbs: []string{verbCreate},
		without: "on a new hub it never begins to work",
	},
	{
		namespace: SystemNamespace, group: groupCoordination, resources: []string{"leases"}, name: managerName, verbs: []string{verbGet, verbUpdate},
		without: "it never begins to work",
	},
	tokenReviews,
	accessReviews,
	requestHeaderConfig,
}

// Both programs hold these by roles that every cluster has, and need them to know who calls.
var (
	// tokenReviews and accessReviews are the ClusterRole system:auth-delegator.
	tokenReviews = need{
		group: "authentication.k8s.io", resources: []string{"tokenreviews"}, verbs: []string{verbCreate},
		without: "direct callers, such as Prometheus, are refused",
	}
	accessReviews = need{
		group: "authorization.k8s.io", resources: []string{"subjectaccessreviews"}, verbs: []string{verbCreate},
		without: "every request is refused",
	}
	// requestHeaderConfig is the Role extension-apiserver-authentication-reader.
	requestHeaderConfig = need{
		namespace: namespaceOfKubeSystem, group: groupCore, resources: []string{"configmaps"}, name: "extension-apiserver-authentication",
		verbs: getListAndWatch, without: "it can't tell the hub's aggregator from others, and users not from each other",
	}
)
