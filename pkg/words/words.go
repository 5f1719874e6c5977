// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package words prepares what others have written for people to read: a member cluster, or a client. Such words end in
// conditions, events, logs and terminals, where they must neither pass for other lines nor steer anything.
package words

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cut marks that something was left out.
const cut = "..."

// MaxMessage bounds a message in bytes. The note of an event may have 1 KiB.
const MaxMessage = 900

// Message returns text for the message of a condition, or the note of an event: Clean, and of no more than MaxMessage bytes.
func Message(text string) string { return Clean(text, MaxMessage) }

// Clean returns text in one line of printable characters, which is valid UTF-8 and has no more than most bytes. White
// space, line breaks among it, becomes spaces, and what steers a terminal or the direction of text the replacement character.
// Where text is longer, its beginning is returned, with dots.
func Clean(text string, most int) string {
	if len(text) <= most && isClean(text) {
		return text
	}
	// Each byte becomes a character at most: no more than these can be returned.
	longer := len(text) > most
	text = strings.Map(printable, strings.ToValidUTF8(text[:min(len(text), most)], string(utf8.RuneError)))
	if longer || len(text) > most {
		text = strings.ToValidUTF8(text[:min(len(text), max(most-len(cut), 0))], "") + cut[:min(len(cut), most)]
	}
	return text
}

func isClean(text string) bool {
	for _, r := range text {
		if r == utf8.RuneError || printable(r) != r {
			return false
		}
	}
	return true
}

func printable(r rune) rune {
	switch {
	case unicode.IsPrint(r):
		return r
	case unicode.IsSpace(r):
		return ' '
	default:
		return utf8.RuneError
	}
}
