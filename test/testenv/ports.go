// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	// loopback is the only address anything here listens on.
	loopback = "127.0.0.1"
	// FreePorts gives ports from firstPort to lastPort: below those that Linux and macOS give to
	// outgoing connections, which could take one while its program is being restarted.
	firstPort, lastPort = 22000, 32000
)

// PortFree returns nil if the port can be listened on at 127.0.0.1, else why it cannot.
func PortFree(port int) error {
	listener, err := net.Listen("tcp", hostPort(port))
	if err != nil {
		return err
	}
	return listener.Close()
}

// FreePorts returns n ports that nothing listened on a moment ago. Test binaries that run at once
// get different ones: a file of the user keeps the last port that was given.
func FreePorts(n int) ([]int, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("clusterpass-ports-%d", os.Getuid()))
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("looking for a free port: %w", err)
	}
	defer file.Close()
	// The lock ends with the file.
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("looking for a free port: %w", err)
	}
	var content [16]byte
	length, _ := file.Read(content[:])
	last, _ := strconv.Atoi(strings.TrimSpace(string(content[:length]))) // a new file, or not a number: from the first port
	ports := make([]int, 0, n)
	for range lastPort - firstPort + 1 {
		if last++; last < firstPort || last > lastPort {
			last = firstPort
		}
		if PortFree(last) != nil {
			continue
		}
		if ports = append(ports, last); len(ports) == n {
			_, err := file.WriteAt([]byte(strconv.Itoa(last)+"\n"), 0)
			return ports, errors.Join(err, file.Truncate(int64(len("12345\n"))))
		}
	}
	return nil, errors.New("looking for a free port: there is none")
}

func hostPort(port int) string {
	return net.JoinHostPort(loopback, strconv.Itoa(port))
}

func httpsURL(port int) string {
	return "https://" + hostPort(port)
}
