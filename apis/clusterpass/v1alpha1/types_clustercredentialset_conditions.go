// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// CredentialSetReady is the condition of a ClusterCredentialSet that is True if each selected
// cluster has its credential.
const CredentialSetReady = "Ready"

// Reasons of the condition Ready of a ClusterCredentialSet.
const (
	// CredentialSetReasonReady is used with Ready True.
	CredentialSetReasonReady = "Ready"
	// CredentialSetReasonNoClusters is used with Ready False: no cluster is selected.
	CredentialSetReasonNoClusters = "NoClusters"
	// CredentialSetReasonNotReady is used with Ready False: some credentials are missing. The
	// message has the first reason.
	CredentialSetReasonNotReady = "CredentialsMissing"
	// CredentialSetReasonNotRenewed is used with Ready True: all credentials are valid, but some
	// cannot be renewed. The message has the first reason.
	CredentialSetReasonNotRenewed = "NotRenewed"
	// CredentialSetReasonNoSecrets is used with Ready False: the controller manager may not keep
	// Secrets in the namespace of spec.secret.
	CredentialSetReasonNoSecrets = "SecretsForbidden"
	// CredentialSetReasonTooManyClusters is used if the sets of a namespace would together select
	// more clusters than clusterpass-controller-manager allows. Ready is True if all clusters that
	// stay selected have a valid credential.
	CredentialSetReasonTooManyClusters = "TooManyClusters"
	// CredentialSetReasonAuthorForbidden is used with Ready False if the author may not get, or
	// list, the ClusterProfiles that the set is about. The status says no more about them. It is
	// used with Ready True if some of them have an earlier credential, which is still renewed.
	CredentialSetReasonAuthorForbidden = "AuthorForbidden"
	// CredentialSetReasonDecisionsNotServed is used if the set selects by PlacementDecisions, and the
	// hub has none. The set keeps the credentials that it has. Ready is True if all of them are valid.
	CredentialSetReasonDecisionsNotServed = "PlacementDecisionsNotServed"
	// CredentialSetReasonNoneKept is used with Ready True: the set keeps no credentials, because
	// the consumer requests its own by a credential plugin.
	CredentialSetReasonNoneKept = "NoneKept"
)

// CredentialSetAnyDecisionWriter is the condition of a ClusterCredentialSet that exists, and is
// True, while PlacementDecisions count regardless of who wrote them: spec.clusters.decisionWriters
// is empty, as in sets of earlier releases.
const CredentialSetAnyDecisionWriter = "AnyDecisionWriter"

// CredentialSetReasonNoWriters is the reason of the condition AnyDecisionWriter.
const CredentialSetReasonNoWriters = "NoDecisionWriters"

// CredentialSetAuthorUnrestricted is the condition of a ClusterCredentialSet that exists, and is
// True, while its author is in system:masters: RBAC cannot limit what the set gets.
const CredentialSetAuthorUnrestricted = "AuthorUnrestricted"

// CredentialSetReasonMasters is the reason of the condition AuthorUnrestricted.
const CredentialSetReasonMasters = "SystemMasters"

// CredentialSetAuthorExpiring is the condition of a ClusterCredentialSet that exists, and is True,
// from 14 days before its author expires. Credentials are renewed in the author's name for the time
// in --max-set-author-age of clusterpass-apiserver and clusterpass-controller-manager.
const CredentialSetAuthorExpiring = "AuthorExpiring"

// Reasons of the condition AuthorExpiring of a ClusterCredentialSet.
const (
	// CredentialSetReasonExpiresSoon is used before the author expires.
	CredentialSetReasonExpiresSoon = "ExpiresSoon"
	// CredentialSetReasonExpired is used after the author has expired: no credential is renewed.
	CredentialSetReasonExpired = "Expired"
)

// CredentialSetConflict is the condition of a ClusterCredentialSet that exists, and is True, while
// the Secret for one of its clusters and another Secret give Argo CD the same server or the same
// name. Argo CD uses one of the two.
const CredentialSetConflict = "Conflict"

// Reasons of the condition Conflict of a ClusterCredentialSet.
const (
	// CredentialSetReasonSameServer is used if two Secrets have the same server.
	CredentialSetReasonSameServer = "SameServer"
	// CredentialSetReasonSameName is used if two clusters have the same name.
	CredentialSetReasonSameName = "SameName"
)

// MaxMultiKueueClusters is the maximum number of clusters in a MultiKueueConfig.
const MaxMultiKueueClusters = 20

// MultiKueueReady is the condition of a ClusterCredentialSet that is True if Kueue is connected to
// each cluster that the set has registered with it.
const MultiKueueReady = "MultiKueueReady"

// Reasons of the condition MultiKueueReady of a ClusterCredentialSet.
const (
	// MultiKueueReasonActive is used with MultiKueueReady True.
	MultiKueueReasonActive = "Active"
	// MultiKueueReasonTooManyClusters is used with MultiKueueReady True: there are more clusters
	// than a MultiKueueConfig may have. Kueue knows the first ones.
	MultiKueueReasonTooManyClusters = "TooManyClusters"
	// MultiKueueReasonNotActive is used with MultiKueueReady False: Kueue is not connected to some
	// clusters. The message has what Kueue says about the first of them.
	MultiKueueReasonNotActive = "NotActive"
	// MultiKueueReasonNoClusters is used with MultiKueueReady False: there is no cluster to
	// register. There is no MultiKueueConfig either, because it cannot be empty.
	MultiKueueReasonNoClusters = "NoClusters"
	// MultiKueueReasonNameTaken is used with MultiKueueReady False: an object that the set needs
	// does not belong to it, and is left alone.
	MultiKueueReasonNameTaken = "NameTaken"
	// MultiKueueReasonForbidden is used with MultiKueueReady False: the set's author, or the
	// controller manager, may not write objects of Kueue.
	MultiKueueReasonForbidden = "Forbidden"
	// MultiKueueReasonNotInstalled is used with MultiKueueReady False: the hub does not serve the
	// API of Kueue.
	MultiKueueReasonNotInstalled = "KueueNotInstalled"
)
