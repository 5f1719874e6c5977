// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// CredentialSetReady is the condition of a ClusterCredentialSet that is true when each selected cluster has its credential.
const CredentialSetReady = "Ready"

// Reasons of the condition Ready of a ClusterCredentialSet.
const (
	// CredentialSetReasonReady stands with True.
	CredentialSetReasonReady = "Ready"
	// CredentialSetReasonNoClusters stands with False: nothing is selected.
	CredentialSetReasonNoClusters = "NoClusters"
	// CredentialSetReasonNotReady stands with False: some credentials are missing. The message has the first reason.
	CredentialSetReasonNotReady = "CredentialsMissing"
	// CredentialSetReasonNotRenewed stands with True: all are valid, and some can't be renewed. The message has the first reason.
	CredentialSetReasonNotRenewed = "NotRenewed"
	// CredentialSetReasonNoSecrets stands with False: the controller manager may not keep Secrets in that namespace.
	CredentialSetReasonNoSecrets = "SecretsForbidden"
	// CredentialSetReasonTooManyClusters stands with False where the sets of a namespace would select more clusters together than
	// clusterpass-controller-manager allows.
	CredentialSetReasonTooManyClusters = "TooManyClusters"
	// CredentialSetReasonAuthorForbidden stands with False where the author may not get, or list, the ClusterProfiles that the set is about:
	// no more is said of them. It stands with True where some have a credential from before, which is renewed.
	CredentialSetReasonAuthorForbidden = "AuthorForbidden"
	// CredentialSetReasonNoneKept stands with True: the consumer has a credential plugin, and asks by itself.
	CredentialSetReasonNoneKept = "NoneKept"
)

// CredentialSetAnyDecisionWriter is the condition of a ClusterCredentialSet that is there, and true, while PlacementDecisions count
// whoever has written them: spec.clusters.decisionWriters is empty, as in sets of earlier releases.
const CredentialSetAnyDecisionWriter = "AnyDecisionWriter"

// CredentialSetReasonNoWriters stands with the condition AnyDecisionWriter.
const CredentialSetReasonNoWriters = "NoDecisionWriters"

// CredentialSetAuthorUnrestricted is the condition of a ClusterCredentialSet that is there, and true, while its author is in
// system:masters: no RBAC takes anything from the set.
const CredentialSetAuthorUnrestricted = "AuthorUnrestricted"

// CredentialSetReasonMasters stands with the condition AuthorUnrestricted.
const CredentialSetReasonMasters = "SystemMasters"

// CredentialSetAuthorExpiring is the condition of a ClusterCredentialSet that is there, and true, from 14 days before the end of the
// time for which credentials are renewed in its author's name: --max-set-author-age of clusterpass-apiserver and
// clusterpass-controller-manager.
const CredentialSetAuthorExpiring = "AuthorExpiring"

// Reasons of the condition AuthorExpiring of a ClusterCredentialSet.
const (
	// CredentialSetReasonExpiresSoon stands before that end.
	CredentialSetReasonExpiresSoon = "ExpiresSoon"
	// CredentialSetReasonExpired stands after it: no credential is renewed.
	CredentialSetReasonExpired = "Expired"
)

// CredentialSetConflict is the condition of a ClusterCredentialSet that is there, and true, while the Secret for one of its clusters and
// another Secret tell Argo CD of one server, or of one name. Argo CD uses either of the two.
const CredentialSetConflict = "Conflict"

// Reasons of the condition Conflict of a ClusterCredentialSet.
const (
	// CredentialSetReasonSameServer stands where two Secrets are for one server.
	CredentialSetReasonSameServer = "SameServer"
	// CredentialSetReasonSameName stands where two clusters have one name.
	CredentialSetReasonSameName = "SameName"
)

// MaxMultiKueueClusters is how many clusters a MultiKueueConfig may have.
const MaxMultiKueueClusters = 20

// MultiKueueReady is the condition of a ClusterCredentialSet that is true when Kueue is connected to each of the clusters that the set
// has told it of.
const MultiKueueReady = "MultiKueueReady"

// Reasons of the condition MultiKueueReady of a ClusterCredentialSet.
const (
	// MultiKueueReasonActive stands with True.
	MultiKueueReasonActive = "Active"
	// MultiKueueReasonTooManyClusters stands with True: there are more than a MultiKueueConfig may have, and Kueue knows the first.
	MultiKueueReasonTooManyClusters = "TooManyClusters"
	// MultiKueueReasonNotActive stands with False: Kueue is not connected to some clusters. The message has what it says of the first.
	MultiKueueReasonNotActive = "NotActive"
	// MultiKueueReasonNoClusters stands with False: there is no cluster to tell of, and no MultiKueueConfig, which can't be empty.
	MultiKueueReasonNoClusters = "NoClusters"
	// MultiKueueReasonNameTaken stands with False: an object that the set needs is another's, and is left alone.
	MultiKueueReasonNameTaken = "NameTaken"
	// MultiKueueReasonForbidden stands with False: the set's author, or the controller manager, may not write objects of Kueue.
	MultiKueueReasonForbidden = "Forbidden"
	// MultiKueueReasonNotInstalled stands with False: the hub does not serve the API of Kueue.
	MultiKueueReasonNotInstalled = "KueueNotInstalled"
)
