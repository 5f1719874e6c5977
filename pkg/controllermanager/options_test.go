// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package controllermanager

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNewOptions(t *testing.T) {
	assert.Empty(t, NewOptions().Import, "nothing is imported unless it is asked for")
}
