// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
)

// FindTokens looks for tokens in files, plain and in base64. It returns a line for each file that
// holds one.
func FindTokens(tokens, files []string) ([]string, error) {
	// The signature tells a token from all others; the rest may well stand in a log, as the claims do.
	needles := needles{}
	for _, token := range tokens {
		signature := token[strings.LastIndex(token, ".")+1:]
		needles.add(signature, "plain")
		// Whatever its offset in what is encoded, a part of the signature stands in base64 like this.
		for offset := range 3 {
			encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + signature))
			needles.add(encoded[4:len(encoded)-4], "base64")
		}
	}
	var found []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if how, ok := needles.in(content); ok {
			found = append(found, fmt.Sprintf("%s holds a token, %s", file, how))
		}
	}
	return found, nil
}

// needles are looked for together, by their first characters: logs are large, and tokens are many.
type needles map[[needlePrefix]byte][]needle

type needle struct{ text, how string }

// needlePrefix is far less than a signature has, and enough for few to share.
const needlePrefix = 16

func (n needles) add(text, how string) {
	prefix := [needlePrefix]byte([]byte(text))
	n[prefix] = append(n[prefix], needle{text, how})
}

// in says how content holds one of them, if it does. Only runs of the characters of base64 can.
func (n needles) in(content []byte) (how string, ok bool) {
	for run := range bytes.FieldsFuncSeq(content, func(r rune) bool { return !isBase64(r) }) {
		for i := 0; i+needlePrefix <= len(run); i++ {
			for _, needle := range n[[needlePrefix]byte(run[i:])] {
				if bytes.HasPrefix(run[i:], []byte(needle.text)) {
					return needle.how, true
				}
			}
		}
	}
	return "", false
}

// isBase64 says whether r is of either alphabet of base64.
func isBase64(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("+/-_=", r)
}
