// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package paged

// The bounds, for the tests, whose member uses packages that use this one.
const (
	Size     = size
	MaxPages = maxPages
	MaxItems = maxItems
	MaxItem  = maxItem
	MaxToken = maxToken
)

// Items calls add for each item of an answer.
var Items = items
