// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package clusterprofile stores ClusterProfiles (KEP-4322) and serves them with their status.
//
// It takes and refuses what upstream's CRD takes and refuses, and adds one rule: the label x-k8s.io/cluster-manager,
// where it is set, equals spec.clusterManager.name, as upstream's documentation of the label demands. It also adds
// the field selector spec.clusterManager.name.
//
// Objects are values of upstream's Go types here and JSON in a CRD, which makes these differences:
//
//   - An absent field and one that is empty are the same. Where the CRD requires a name, it is refused when empty, too:
//     spec.clusterManager.name, name of accessProviders and credentialProviders, name of their cluster's extensions,
//     which the CRD takes when it is present and empty.
//   - A condition without message is taken as one with an empty message, which the CRD refuses.
//   - A cluster of an access provider that is empty altogether is taken as an absent one; the CRD refuses {} for its
//     missing server and takes {server: ""}. An empty server beside other fields is refused; the CRD takes it.
//   - What is stored and returned has no optional fields that are empty or false, but a status with conditions: [] and
//     version: {} where there is none, cluster as {server: ""} and lastObservedTime as null.
//   - Times are those of RFC 3339 as Go reads it, stored in UTC without fractions of a second; the first instant
//     of year 1 is no time.
//   - A value of another type than the schema's is a bad request (400) and not an invalid object (422), also within a
//     status that the request cannot set and that the CRD therefore doesn't look at.
//   - Base64 data may contain line breaks, and may be empty.
//   - There is no warning about a finalizer without a domain.
//   - A list or map has at most 1,000 entries, and all of an object together at most 20,000; the CRD has no such bounds. What
//     is stored may stay as long as it is.
//   - A strategic merge patch is taken; a CRD offers none. Its lists are replaced as a whole.
package clusterprofile
