// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package words

import (
	"io"
	"unicode/utf8"
)

// writer writes text to w, without characters that control a terminal.
type writer struct {
	w io.Writer
	// begun is the beginning of a character that is still incomplete.
	begun []byte
}

// NewWriter returns a writer of text to w, which may be a terminal. It keeps newlines and tabs, and
// replaces other characters as Clean does. It is not safe for concurrent use.
func NewWriter(w io.Writer) io.Writer { return &writer{w: w} }

// Write implements io.Writer. It keeps an incomplete character at the end of text for the next call.
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
