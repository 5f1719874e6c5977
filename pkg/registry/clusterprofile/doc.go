// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package clusterprofile stores ClusterProfiles (KEP-4322) and serves them with their status.
//
// It accepts and refuses the same as upstream's CRD, with one more rule: the label
// x-k8s.io/cluster-manager, if set, must equal spec.clusterManager.name, as upstream documents the
// label. It also adds the field selector spec.clusterManager.name.
//
// Objects are values of upstream's Go types here, and JSON in a CRD. This causes some differences:
//
//   - An absent field is the same as an empty one. Required names must not be empty, while the CRD
//     accepts present but empty ones: spec.clusterManager.name, the name of accessProviders and
//     credentialProviders, and the name of their cluster's extensions.
//   - A condition without a message is accepted, as one with an empty message. The CRD refuses it.
//   - An empty cluster of an access provider is the same as an absent one. The CRD refuses {},
//     which has no server, and accepts {server: ""}. An empty server next to other fields is
//     refused; the CRD accepts it.
//   - Stored and returned objects have no optional fields that are empty or false. An empty status
//     is returned with conditions: [] and version: {}, an empty cluster as {server: ""}, and no
//     lastObservedTime as null.
//   - Times are RFC 3339 as Go parses it. They are stored in UTC without fractions of a second. The
//     first instant of year 1 means no time.
//   - A value of another type than the schema's is a bad request (400) and not an invalid object
//     (422). This also holds for a status in a request that cannot set it, which the CRD therefore
//     ignores.
//   - Base64 data may contain line breaks, and may be empty.
//   - There is no warning about a finalizer without a domain.
//   - A list or map has at most 1,000 entries, and all lists and maps of an object together have at
//     most 20,000. The CRD has no such limits. Longer lists that are already stored may stay.
//   - A strategic merge patch is accepted, which CRDs do not support. It replaces whole lists.
package clusterprofile
