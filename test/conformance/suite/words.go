// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

const (
	// maxMessage bounds what a report says of one spec, in characters.
	maxMessage = 1000
	// maxWord bounds a name or value of the hub in a message, and maxNamed how many are named.
	maxWord, maxNamed = 100, 5
)

// shorten returns text in one line without control characters, of at most limit characters.
func shorten(text string, limit int) string {
	var kept strings.Builder
	count := 0
	for _, char := range text {
		if count == limit {
			return kept.String() + "..."
		}
		count++
		if !unicode.IsPrint(char) {
			char = ' '
		}
		kept.WriteRune(char)
	}
	return kept.String()
}

// quote returns a name or value of the hub for a message.
func quote(value string) string { return strconv.Quote(shorten(value, maxWord)) }

// these names the first of many things.
func these(things []string) string {
	named := make([]string, 0, maxNamed)
	for _, thing := range things[:min(len(things), maxNamed)] {
		named = append(named, shorten(thing, 2*maxWord))
	}
	words := strings.Join(named, "; ")
	if more := len(things) - maxNamed; more > 0 {
		words += fmt.Sprintf("; and %d more", more)
	}
	return words
}
