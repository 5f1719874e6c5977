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

// FindTokens looks for tokens in files, plain and in base64. It returns a line for each file that holds one.
func FindTokens(tokens, files []string) ([]string, error) {
	// The signature tells a token from all others; the rest may well stand in a log, as the claims do.
	needles := map[string]string{}
	for _, token := range tokens {
		signature := token[strings.LastIndex(token, ".")+1:]
		needles[signature] = "plain"
		// Whatever its offset in what is encoded, a part of the signature stands in base64 like this.
		for offset := range 3 {
			encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + signature))
			needles[encoded[4:len(encoded)-4]] = "base64"
		}
	}
	var found []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for needle, how := range needles {
			if bytes.Contains(content, []byte(needle)) {
				found = append(found, fmt.Sprintf("%s holds a token, %s", file, how))
				break
			}
		}
	}
	return found, nil
}
