// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
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
	for path, name := range map[string]string{
		c.config.Kubeconfig:             "admin",
		c.controllerManagerKubeconfig(): "controller-manager",
	} {
		data, err := c.certKubeconfig(name, c.pki.cert(name), c.pki.key(name))
		if err != nil {
			return err
		}
		if err := writeIfChanged(path, data); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) controllerManagerKubeconfig() string {
	return filepath.Join(c.config.Dir, controllerManagerName+".yaml")
}

// certKubeconfig returns a kubeconfig with the client certificate and key of two files inline.
func (c *Cluster) certKubeconfig(user, certFile, keyFile string) ([]byte, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	return c.kubeconfig(user, clientcmdapi.AuthInfo{ClientCertificateData: certPEM, ClientKeyData: keyPEM})
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

// tokenKubeconfig returns a kubeconfig with an inline bearer token.
func (c *Cluster) tokenKubeconfig(user, token string) ([]byte, error) {
	return c.kubeconfig(user, clientcmdapi.AuthInfo{Token: token})
}

// kubeconfig returns one for a single user. Its names carry the cluster's, so that kubeconfigs of
// several clusters merge.
func (c *Cluster) kubeconfig(user string, auth clientcmdapi.AuthInfo) ([]byte, error) {
	cluster := c.config.Name
	qualified := cluster + "-" + user
	return clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			cluster: {Server: c.Server(), CertificateAuthorityData: c.CA()},
		},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{qualified: &auth},
		Contexts:       map[string]*clientcmdapi.Context{cluster: {Cluster: cluster, AuthInfo: qualified}},
		CurrentContext: cluster,
	})
}
