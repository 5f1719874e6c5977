// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package names makes names of objects out of the names of others, within what Kubernetes takes for
// a name. It looks nothing up: whether a name is taken is for the caller to find out.
package names

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// hashLength is how many characters of a hash there are, of 5 bits each.
const hashLength = 10

// Hash returns lower-case letters and digits that tell what they are made of from anything else.
func Hash(of []byte) string {
	sum := sha256.Sum256(of)
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:hashLength]
}

// Fit returns name where it is short enough for an object. A longer one ends in a hash of all of
// it.
func Fit(name string) string {
	if len(name) <= validation.DNS1123SubdomainMaxLength {
		return name
	}
	return WithHash(name, name)
}

// WithHash returns as much of name as leaves room for a hash of parts, and that. Different parts
// make different hashes, also where they are the same when joined: no name of Kubernetes has a
// slash.
func WithHash(name string, parts ...string) string {
	return Clip(name, validation.DNS1123SubdomainMaxLength-hashLength-1) + "-" + Hash([]byte(strings.Join(parts, "/")))
}

// Clip returns the beginning of name, at most length characters of it, so that a dash and more may
// follow.
func Clip(name string, length int) string {
	return strings.TrimRight(name[:min(len(name), length)], "-.")
}
