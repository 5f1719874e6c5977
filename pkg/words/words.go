// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package words makes text from member clusters and clients safe for conditions, events, logs and
// terminals. Such text must not look like another line of output, and must not control a terminal.
// It also shortens lists.
package words

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// cut marks shortened text.
const cut = "..."

// MaxMessage bounds a message, in bytes. The note of an event may have at most 1 KiB.
const MaxMessage = 900

// Some joins the first texts by separator, as many as most, and counts the others.
func Some(texts []string, separator string, most int) string {
	some := strings.Join(texts[:min(len(texts), most)], separator)
	if more := len(texts) - most; more > 0 {
		some += fmt.Sprintf(" and %d more", more)
	}
	return some
}

// Message returns text for the message of a condition or the note of an event: cleaned, with at
// most MaxMessage bytes.
func Message(text string) string { return Clean(text, MaxMessage) }

// Clean returns text as one line of printable characters, in valid UTF-8, with no more than most
// bytes. White space, including line breaks, becomes spaces. Characters that control a terminal or
// the direction of text become the replacement character. If text is longer, Clean returns its
// beginning, followed by dots.
func Clean(text string, most int) string {
	if len(text) <= most && isClean(text) {
		return text
	}
	// Process only the first most bytes: text may be very long.
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

// writer writes text to w, without characters that control a terminal.
type writer struct {
	w io.Writer
	// begun is the beginning of a character that is still incomplete.
	begun []byte
}

// NewWriter returns a writer of text to w, which may be a terminal. It keeps newlines and tabs, and
// replaces other characters as Clean does. It is not safe for concurrent use.
func NewWriter(w io.Writer) io.Writer { return &writer{w: w} }

// Write implements io.Writer. It keeps an incomplete character at the end of text for the next
// call.
func (w *writer) Write(text []byte) (int, error) {
	all := append(w.begun, text...) // what was begun is used up
	cleaned := make([]byte, 0, len(all))
	for len(all) > 0 && utf8.FullRune(all) {
		r, size := utf8.DecodeRune(all)
		if r != '\n' && r != '\t' {
			r = printable(r)
		}
		cleaned, all = utf8.AppendRune(cleaned, r), all[size:]
	}
	w.begun = append([]byte(nil), all...)
	if _, err := w.w.Write(cleaned); err != nil {
		return 0, err
	}
	return len(text), nil
}
