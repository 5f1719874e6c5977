// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package placementdecision stores PlacementDecisions (KEP-5313).
//
// It accepts and refuses the same as upstream's CRD. Objects are values of upstream's Go types
// here, and JSON in a CRD. This causes some differences:
//
//   - decisions[].clusterProfileRef.name must not be empty; the CRD only requires that it is
//     present.
//   - Optional fields that are empty are not stored.
//   - A value of another type than the schema's is a bad request (400) and not an invalid object
//     (422).
//   - Only the server sets the annotation clusterpass.dev/decision-writer: the username of the
//     writer of the decision.
//   - There is no warning about a finalizer without a domain.
//   - A list or map of the metadata has at most 1,000 entries. Longer ones that are already stored
//     may stay.
//   - A strategic merge patch is accepted, which CRDs do not support. It replaces all decisions.
package placementdecision
