// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package words

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClean(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		most int
		want string
	}{
		"what is clean stays":              {"ready: äöü 日本 ✓", 100, "ready: äöü 日本 ✓"},
		"nothing":                          {"", 10, ""},
		"lines become one":                 {"a\nFAIL b\r\n\tc\u2028d\u0085e", 100, "a FAIL b   c d e"},
		"a terminal is not steered":        {"\x1b[31mred\x07\x00\x7f\u009b2J", 100, "�[31mred����2J"},
		"nor is the direction of text":     {"a\u202eb\u2066c\ufeff", 100, "a�b�c�"},
		"what is no UTF-8 is replaced":     {"a\xffb\xc3", 100, "a�b�"},
		"what is longer ends in dots":      {"0123456789", 8, "01234..."},
		"and is not cut within characters": {"ääääääää", 10, "äää..."},
		"what grows is bounded, too":       {"\x01\x01\x01\x01", 4, "..."},
		"a bound of less than the dots":    {"abcdef", 2, ".."},
	} {
		t.Run(name, func(t *testing.T) {
			got := Clean(test.text, test.most)
			assert.Equal(t, test.want, got)
			assert.LessOrEqual(t, len(got), test.most)
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[0m\n\u202e\xff", 5)
	f.Add(strings.Repeat("ä", 100), 7)
	f.Fuzz(func(t *testing.T, text string, most int) {
		most = max(most, 0)
		got := Clean(text, most)
		assert.LessOrEqual(t, len(got), most)
		assert.True(t, utf8.ValidString(got))
		assert.NotContains(t, got, "\n")
		assert.Equal(t, got, Clean(got, most), "once more")
	})
}

func TestSome(t *testing.T) {
	for name, test := range map[string]struct {
		texts []string
		want  string
	}{
		"nothing":          {nil, ""},
		"all that fit":     {[]string{"a", "b"}, "a; b"},
		"more are counted": {[]string{"a", "b", "c", "d"}, "a; b and 2 more"},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, Some(test.texts, "; ", 2)) })
	}
}

func TestNewWriter(t *testing.T) {
	for name, test := range map[string]struct {
		parts []string
		want  string
	}{
		"text stays":                     {[]string{"NAME\tAGE\n", "bravelion\t5m ✓\n"}, "NAME\tAGE\nbravelion\t5m ✓\n"},
		"a terminal is not steered":      {[]string{"\x1b[2Ja\rb\x07\u202e"}, "�[2Ja b��"},
		"nor in parts":                   {[]string{"\xc2", "\x9b", "2J"}, "�2J"},
		"characters may come in parts":   {[]string{"\xe2\x9c", "\x93\n"}, "✓\n"},
		"what is no UTF-8 is replaced":   {[]string{"\xffa"}, "�a"},
		"what breaks off is not printed": {[]string{"a\xe2"}, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			w := NewWriter(&out)
			for _, part := range test.parts {
				n, err := w.Write([]byte(part))
				require.NoError(t, err)
				assert.Len(t, part, n)
			}
			assert.Equal(t, test.want, out.String())
		})
	}
}
