// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package placementdecision stores PlacementDecisions (KEP-5313).
//
// It takes and refuses what upstream's CRD takes and refuses. Objects are values of upstream's Go types
// here and JSON in a CRD, which makes these differences:
//
//   - decisions[].clusterProfileRef.name, which the CRD requires, is refused when empty, too.
//   - Optional fields that are empty are not stored.
//   - A value of another type than the schema's is a bad request (400) and not an invalid object (422).
//   - The annotation clusterpass.dev/decision-writer is the server's: the username of who has written what is decided.
//   - There is no warning about a finalizer without a domain.
//   - A list or map of the metadata has at most 1,000 entries. What is stored may stay as long as it is.
//   - A strategic merge patch is taken; a CRD offers none. It replaces the decisions as a whole.
package placementdecision
