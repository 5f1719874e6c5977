// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
)

const (
	// serviceCIDR is the range of Service addresses, serviceIP the one that the Service kubernetes
	// gets of it. Nothing here forwards them: they are loopback addresses, so that kube-apiserver is
	// refused at once where a network would answer.
	serviceCIDR = "127.96.0.0/24"
	serviceIP   = "127.96.0.1"
	// frontProxyUser is whom kube-apiserver is to an aggregated server.
	frontProxyUser = "front-proxy-client"
	mastersGroup   = "system:masters"
)

// clusterPKI is all certificates of a cluster. Nothing in it is shared with another cluster, so
// that a credential of one can mean nothing to the other.
type clusterPKI struct {
	dir string
	ca  *authority
}

func loadOrCreateClusterPKI(dir, cluster string) (*clusterPKI, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	authorities := map[string]*authority{}
	for _, name := range []string{"ca", "front-proxy-ca", "etcd-ca"} {
		var err error
		if authorities[name], err = loadOrCreateAuthority(dir, name, cluster+"-"+name); err != nil {
			return nil, err
		}
	}
	local := []string{loopback, "localhost"}
	leaves := []struct {
		authority, name string
		leaf            leaf
	}{
		{"ca", "apiserver", leaf{hosts: append([]string{serviceIP, "kubernetes.default.svc"}, local...)}},
		{"ca", "controller-manager-serving", leaf{hosts: local}},
		{"ca", "controller-manager", leaf{user: "system:kube-controller-manager", groups: []string{mastersGroup}}},
		{"ca", "admin", leaf{user: "admin", groups: []string{mastersGroup}}},
		{"front-proxy-ca", "front-proxy", leaf{user: frontProxyUser}},
		// etcd is a client, too, to its own peer port.
		{"etcd-ca", "etcd", leaf{user: "etcd", hosts: local}},
		{"etcd-ca", "etcd-client", leaf{user: apiServerName}},
	}
	for _, l := range leaves {
		if err := authorities[l.authority].loadOrIssue(dir, l.name, l.leaf); err != nil {
			return nil, err
		}
	}
	if _, err := loadOrCreateKey(filepath.Join(dir, "service-account.key"), newRSAKey); err != nil {
		return nil, err
	}
	return &clusterPKI{dir: dir, ca: authorities["ca"]}, nil
}

func (p *clusterPKI) cert(name string) string { return filepath.Join(p.dir, name+".crt") }

func (p *clusterPKI) key(name string) string { return filepath.Join(p.dir, name+".key") }

// client returns a client config for a server whose certificate the authority named ca has issued;
// with a certificate of ours if name is not empty.
func (p *clusterPKI) client(server, ca, name string) *rest.Config {
	config := &rest.Config{Host: server, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAFile: p.cert(ca)}}
	if name != "" {
		config.CertFile, config.KeyFile = p.cert(name), p.key(name)
	}
	return config
}
