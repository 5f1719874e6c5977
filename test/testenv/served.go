// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"k8s.io/client-go/rest"
)

// served is a program of ours: a hub knows it, and it serves at a port of 127.0.0.1.
type served struct {
	single
	hub *Cluster
	// dir keeps its certificates and its kubeconfig for the hub.
	dir  string
	port int
	ca   *authority
}

// prepare makes what a component needs on disk, to serve also under hosts and to use the hub. The
// hub sees the component's ServiceAccount in it, which deployed ones run under: the RBAC of that
// applies to it, and nothing else gives it rights.
func (s *served) prepare(component string, hosts ...string) error {
	for _, dir := range []string{s.pki(), filepath.Dir(s.log)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	var err error
	if s.ca, err = loadOrCreateAuthority(s.pki(), "ca", component+"-ca"); err != nil {
		return err
	}
	if err := s.ca.loadOrIssue(s.pki(), "serving", leaf{hosts: append(hosts, "localhost", loopback)}); err != nil {
		return err
	}
	user := "system:serviceaccount:" + SystemNamespace + ":" + component
	if err := s.hub.pki.ca.loadOrIssue(s.pki(), "hub-client", leaf{user: user}); err != nil {
		return err
	}
	if err := s.hub.writeKubeconfig(s.hubKubeconfig(), component, filepath.Join(s.pki(), "hub-client")); err != nil {
		return fmt.Errorf("kubeconfig of %s: %w", component, err)
	}
	return nil
}

// program returns it with the flags that all have, and more. It serves once readyPath answers 200.
func (s *served) program(path, readyPath string, args ...string) Program {
	serving := filepath.Join(s.pki(), "serving")
	config := &rest.Config{Host: httpsURL(s.port), TLSClientConfig: rest.TLSClientConfig{CAData: s.ca.bundle()}}
	return Program{
		Name:  s.name,
		Path:  path,
		Ports: []int{s.port},
		Log:   s.log,
		Args: append([]string{
			"--kubeconfig=" + s.hubKubeconfig(),
			"--bind-address=" + loopback,
			"--secure-port=" + strconv.Itoa(s.port),
			"--tls-cert-file=" + serving + ".crt",
			"--tls-private-key-file=" + serving + ".key",
		}, args...),
		Ready: httpReady(config, readyPath),
	}
}

// DirectConfig returns a client config for a user of the hub that reaches the program itself: the
// API of a Server without the hub's aggregator, its health checks and its metrics.
func (s *served) DirectConfig(user string, groups ...string) (*rest.Config, error) {
	config, err := s.hub.UserConfig(user, groups...)
	if err != nil {
		return nil, err
	}
	config.Host = httpsURL(s.port)
	config.CAData = s.ca.bundle()
	return config, nil
}

func (s *served) hubKubeconfig() string { return filepath.Join(s.dir, "hub.yaml") }

func (s *served) pki() string { return filepath.Join(s.dir, "pki") }
