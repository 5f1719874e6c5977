// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package controllermanager

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewOptions(t *testing.T) {
	assert.Empty(t, NewOptions().Import, "nothing is imported unless it is asked for")
}

func TestOptions_Validate(t *testing.T) {
	o := NewOptions()
	require.NoError(t, o.Validate())
	o.SecureServing.BindPort = 0
	require.ErrorContains(t, o.Validate(), "--secure-port", "it serves its health checks")
}
