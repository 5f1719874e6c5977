// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/sets"
)

// listening is the state of a TCP socket that waits for connections, as in proc(5) and the kernel's
// tcp_states.h.
const listening = "0A"

// listeners returns the addresses, in the kernel's notation, at which this process listens for TCP
// connections: the listening sockets of its network namespace that are among its open files.
func listeners(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	sockets := sets.New[string]()
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil { // it may be closed by now
			sockets.Insert(strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]"))
		}
	}
	var addresses []string
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		content, err := os.Open(table)
		if os.IsNotExist(err) {
			continue // a kernel without IPv6
		}
		require.NoError(t, err)
		lines := bufio.NewScanner(content)
		for lines.Scan() {
			// sl, local address, remote address, state, queues, timer, retransmissions, uid, timeout, inode
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && fields[3] == listening && sockets.Has(fields[9]) {
				addresses = append(addresses, fields[1])
			}
		}
		require.NoError(t, lines.Err())
		require.NoError(t, content.Close())
	}
	return addresses
}

func TestStart_OpensNoPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.Len(t, listeners(t), 1, "a listener of the test's own is not found")
	require.NoError(t, listener.Close())

	server := start(t, newDir(t))
	defer server.Close()
	assert.Empty(t, listeners(t))
}
