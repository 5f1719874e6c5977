// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFreePorts(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	memory := filepath.Join(os.TempDir(), fmt.Sprintf("clusterpass-ports-%d", os.Getuid()))
	remember := func(t *testing.T, content string) {
		t.Helper()
		require.NoError(t, os.WriteFile(memory, []byte(content), 0o600))
	}

	t.Run("those who ask at once get different ones", func(t *testing.T) {
		var asking sync.WaitGroup
		answers := make([][]int, 8)
		errs := make([]error, len(answers))
		for i := range answers {
			asking.Go(func() { answers[i], errs[i] = FreePorts(10) })
		}
		asking.Wait()
		seen := map[int]bool{}
		for i, ports := range answers {
			require.NoError(t, errs[i])
			for _, port := range ports {
				assert.False(t, seen[port], "%d was given twice", port)
				assert.True(t, firstPort <= port && port <= lastPort, port)
				seen[port] = true
			}
		}
		assert.Len(t, seen, 80)
	})
	t.Run("one that is listened on is passed over", func(t *testing.T) {
		ports, err := FreePorts(1)
		require.NoError(t, err)
		listener, err := net.Listen("tcp", hostPort(ports[0]))
		require.NoError(t, err)
		defer listener.Close()
		remember(t, strconv.Itoa(ports[0]-1))
		next, err := FreePorts(1)
		require.NoError(t, err)
		assert.Greater(t, next[0], ports[0])
	})
	for name, content := range map[string]string{
		"after the last comes the first":  strconv.Itoa(lastPort),
		"what is no number is as nothing": "spoilt by something",
	} {
		t.Run(name, func(t *testing.T) {
			remember(t, content)
			ports, err := FreePorts(1)
			require.NoError(t, err)
			// Others may listen on the very first ones.
			assert.InDelta(t, firstPort, ports[0], 1000)
		})
	}
}
