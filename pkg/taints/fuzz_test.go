// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package taints

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func FuzzParse(f *testing.F) {
	f.Add(`[{"key":"gpu","value":"old","effect":"NoSelect","timeAdded":"2030-01-01T12:00:00Z"}]`)
	f.Add(`[{}] []`)
	f.Fuzz(func(t *testing.T, annotation string) {
		taints, err := Parse(annotation)
		if err == nil {
			assert.LessOrEqual(t, len(taints), MaxTaints)
		}
	})
}
