// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"fmt"
	"net"
	"strconv"
)

// loopback is the only address anything here listens on.
const loopback = "127.0.0.1"

// PortFree returns nil if the port can be listened on at 127.0.0.1, else why it cannot.
func PortFree(port int) error {
	listener, err := net.Listen("tcp", hostPort(port))
	if err != nil {
		return err
	}
	return listener.Close()
}

// FreePorts returns n ports that nothing listened on a moment ago.
func FreePorts(n int) ([]int, error) {
	// All are held until the last is found, else the same one could come twice.
	var held []net.Listener
	defer func() {
		for _, listener := range held {
			listener.Close()
		}
	}()
	ports := make([]int, 0, n)
	for range n {
		listener, err := net.Listen("tcp", hostPort(0))
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		held = append(held, listener)
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func hostPort(port int) string {
	return net.JoinHostPort(loopback, strconv.Itoa(port))
}

func httpsURL(port int) string {
	return "https://" + hostPort(port)
}
