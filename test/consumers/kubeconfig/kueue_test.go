// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeconfig

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func TestKueue_Kubeconfig(t *testing.T) {
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			config, err := kueueConfig(secret(t, test.name).Data["kubeconfig"])
			if err != nil {
				t.Fatal(err)
			}
			test.check(t, config)
		})
	}
}

// TestKueue_KubeconfigRefused shows that the checks below are not empty ones.
func TestKueue_KubeconfigRefused(t *testing.T) {
	for name, change := range map[string]func(*clientcmdapi.Cluster, *clientcmdapi.AuthInfo){
		"a token file":        func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.TokenFile = "/token" },
		"a plugin":            func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.Exec = plugin() },
		"a password":          func(_ *clientcmdapi.Cluster, u *clientcmdapi.AuthInfo) { u.Username, u.Password = "a", "b" },
		"a CA file":           func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.CertificateAuthority = "/ca.crt" },
		"no verification":     func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.InsecureSkipTLSVerify = true },
		"no server":           func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = "" },
		"IPv6 without a port": func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = "https://[2001:db8::7]" },
		"a wildcard":          func(c *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) { c.Server = "https://*.example.com" },
	} {
		t.Run(name, func(t *testing.T) {
			config, err := clientcmd.Load(secret(t, "plain").Data["kubeconfig"])
			if err != nil {
				t.Fatal(err)
			}
			change(config.Clusters["bravelion"], config.AuthInfos["clusterpass@bravelion"])
			file, err := clientcmd.Write(*config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := kueueConfig(file); err == nil {
				t.Error("taken")
			}
		})
	}
}

func plugin() *clientcmdapi.ExecConfig {
	return &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: "plugin", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
	}
}

// kueueConfig returns what Kueue makes of a kubeconfig, by the calls and the checks of
// validateKubeconfig in pkg/controller/admissionchecks/multikueue/multikueuecluster.go of
// Kueue v0.19.2, which nothing exports: they are to be compared when Kueue is updated.
func kueueConfig(file []byte) (*rest.Config, error) {
	kubeconfig, err := clientcmd.Load(file)
	if err != nil {
		return nil, err
	}
	for _, user := range kubeconfig.AuthInfos {
		if user.TokenFile != "" {
			return nil, errors.New("token file")
		}
	}
	for _, cluster := range kubeconfig.Clusters {
		if cluster.InsecureSkipTLSVerify || cluster.CertificateAuthority != "" || cluster.Server == "" {
			return nil, errors.New("insecure, a CA file or no server")
		}
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(file)
	if err != nil {
		return nil, err
	}
	return config, kueueCheck(config)
}

func kueueCheck(config *rest.Config) error {
	server, err := url.Parse(strings.ToLower(config.Host))
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(server.Host)
	if err != nil {
		host = server.Host
	}
	switch {
	case net.ParseIP(host) == nil && len(validation.IsDNS1123Subdomain(host)) > 0:
		return errors.New("untrusted server endpoint")
	case config.BearerTokenFile != "" || config.Username != "" || config.Password != "":
		return errors.New("token file or basic authentication")
	case config.ExecProvider != nil || config.AuthProvider != nil:
		return errors.New("plugin")
	}
	return nil
}
