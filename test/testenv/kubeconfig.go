// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// writeKubeconfigs writes those of the admin and of the controller manager.
func (c *Cluster) writeKubeconfigs() error {
	c.admin = c.pki.client(c.Server(), "ca", "admin")
	return errors.Join(
		c.writeKubeconfig(c.config.Kubeconfig, "admin", filepath.Join(c.pki.dir, "admin")),
		c.writeKubeconfig(c.controllerManagerKubeconfig(), "controller-manager", filepath.Join(c.pki.dir, "controller-manager")))
}

func (c *Cluster) controllerManagerKubeconfig() string {
	return filepath.Join(c.config.Dir, controllerManagerName+".yaml")
}

// writeKubeconfig writes a kubeconfig with the client certificate and key of the files pair.crt and
// pair.key inline.
func (c *Cluster) writeKubeconfig(path, user, pair string) error {
	certPEM, err := os.ReadFile(pair + ".crt")
	if err != nil {
		return err
	}
	keyPEM, err := os.ReadFile(pair + ".key")
	if err != nil {
		return err
	}
	data, err := c.kubeconfig(user, clientcmdapi.AuthInfo{ClientCertificateData: certPEM, ClientKeyData: keyPEM})
	if err != nil {
		return err
	}
	return writeIfChanged(path, data)
}

// ClientCertKubeconfig returns a kubeconfig for a user in groups, proven by a new client
// certificate of the cluster's authority. The cluster need not run. Everything is inline.
func (c *Cluster) ClientCertKubeconfig(user string, groups ...string) ([]byte, error) {
	certPEM, keyPEM, err := c.pki.ca.issue(leaf{user: user, groups: groups})
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate of %s for %s: %w", c.config.Name, user, err)
	}
	return c.kubeconfig(user, clientcmdapi.AuthInfo{ClientCertificateData: certPEM, ClientKeyData: keyPEM})
}

// UserConfig returns a client config for a user in groups, as ClientCertKubeconfig has it.
func (c *Cluster) UserConfig(user string, groups ...string) (*rest.Config, error) {
	data, err := c.ClientCertKubeconfig(user, groups...)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(data)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return config, nil
}

// kubeconfig returns one for a single user. Its names carry the cluster's, so that kubeconfigs of
// several clusters merge.
func (c *Cluster) kubeconfig(user string, auth clientcmdapi.AuthInfo) ([]byte, error) {
	cluster := c.config.Name
	qualified := cluster + "-" + user
	return clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{cluster: {Server: c.Server(), CertificateAuthorityData: c.CA()}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{qualified: &auth},
		Contexts:       map[string]*clientcmdapi.Context{cluster: {Cluster: cluster, AuthInfo: qualified}},
		CurrentContext: cluster,
	})
}
