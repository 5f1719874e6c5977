// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

const (
	execInfoEnv   = "KUBERNETES_EXEC_INFO"
	execExtension = "client.authentication.k8s.io/exec"

	// pluginTimeout bounds a plugin or command, and pluginOutput what is read of it.
	pluginTimeout = time.Minute
	pluginOutput  = 1 << 20
)

// Provider is a credential plugin (KEP-5339) that the suite may run for the access providers of a
// name.
type Provider struct {
	Name       string                  `json:"name"`
	ExecConfig *clientcmdv1.ExecConfig `json:"execConfig"`
}

// LoadProviders reads a file as upstream's access library does: {"providers": [{"name":
// "example", "execConfig": {...}}]}. Fields that the suite does not know are refused.
func LoadProviders(path string) ([]Provider, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config struct {
		Providers []Provider `json:"providers"`
	}
	if err := yaml.UnmarshalStrict(data, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	versions := []string{clientauthenticationv1.SchemeGroupVersion.String(), "client.authentication.k8s.io/v1beta1"}
	for _, p := range config.Providers {
		if p.Name == "" || p.ExecConfig == nil || p.ExecConfig.Command == "" || !slices.Contains(versions, p.ExecConfig.APIVersion) {
			return nil, fmt.Errorf("%s: a provider needs a name, and an execConfig with a command and an apiVersion of %v", path, versions)
		}
	}
	return config.Providers, nil
}

// choose returns the access provider of a profile that is the first of the configured ones, nil if
// it has none of them.
func (h *hub) choose(p *profile) (*Provider, *accessProvider) {
	for i := range h.Providers {
		for j := range p.Status.AccessProviders {
			if h.Providers[i].Name == p.Status.AccessProviders[j].Name {
				return &h.Providers[i], &p.Status.AccessProviders[j]
			}
		}
	}
	return nil, nil
}

// run runs the plugin for a cluster, as client-go does, and returns the credential that it prints.
// What it prints is never part of an error.
func (p *Provider) run(ctx context.Context, cluster *cluster, log io.Writer) (*clientauthenticationv1.ExecCredentialStatus, error) {
	info, err := p.execInfo(cluster)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, pluginTimeout)
	defer cancel()
	var output bytes.Buffer
	plugin := exec.CommandContext(ctx, p.ExecConfig.Command, p.ExecConfig.Args...)
	plugin.Env = os.Environ()
	for _, variable := range p.ExecConfig.Env {
		plugin.Env = append(plugin.Env, variable.Name+"="+variable.Value)
	}
	plugin.Env = append(plugin.Env, execInfoEnv+"="+string(info))
	plugin.Stdout, plugin.Stderr, plugin.WaitDelay = &limited{&output, pluginOutput}, log, time.Second
	if err := plugin.Run(); err != nil {
		return nil, violated("the plugin of provider %s fails: %v", quote(p.Name), err)
	}
	return p.parse(output.Bytes())
}

// execInfo returns the ExecCredential that the plugin gets in its environment.
func (p *Provider) execInfo(cluster *cluster) ([]byte, error) {
	credential := clientauthenticationv1.ExecCredential{
		TypeMeta: metav1.TypeMeta{APIVersion: p.ExecConfig.APIVersion, Kind: "ExecCredential"},
	}
	if p.ExecConfig.ProvideClusterInfo {
		credential.Spec.Cluster = &clientauthenticationv1.Cluster{
			Server: cluster.Server, TLSServerName: cluster.TLSServerName, InsecureSkipTLSVerify: cluster.InsecureSkipTLSVerify,
			CertificateAuthorityData: cluster.CertificateAuthorityData, ProxyURL: cluster.ProxyURL,
			DisableCompression: cluster.DisableCompression,
		}
		for i := range cluster.Extensions {
			if cluster.Extensions[i].Name == execExtension {
				credential.Spec.Cluster.Config = cluster.Extensions[i].Extension
			}
		}
	}
	return json.Marshal(&credential)
}

// parse reads an answer. Errors of decoders quote what they read: they are not passed on.
func (p *Provider) parse(output []byte) (*clientauthenticationv1.ExecCredentialStatus, error) {
	var credential clientauthenticationv1.ExecCredential
	if err := json.Unmarshal(output, &credential); err != nil {
		return nil, violated("the plugin of provider %s prints no ExecCredential", quote(p.Name))
	}
	status := credential.Status
	switch {
	case credential.Kind != "ExecCredential" || credential.APIVersion != p.ExecConfig.APIVersion:
		return nil, violated("the plugin of provider %s does not answer with an ExecCredential of %s", quote(p.Name), p.ExecConfig.APIVersion)
	case status == nil || status.Token == "" && status.ClientCertificateData == "":
		return nil, violated("the plugin of provider %s gives neither a token nor a certificate", quote(p.Name))
	case (status.ClientCertificateData == "") != (status.ClientKeyData == ""):
		return nil, violated("the plugin of provider %s gives a certificate or a key, and not both", quote(p.Name))
	}
	return status, nil
}

// limited is a writer that takes so many bytes, and then fails.
type limited struct {
	to   io.Writer
	left int
}

func (l *limited) Write(data []byte) (int, error) {
	if l.left -= len(data); l.left < 0 {
		return 0, errors.New("the output is too long")
	}
	return l.to.Write(data)
}

// command runs a shell command of whoever runs the suite. Empty: none.
func (h *hub) command(ctx context.Context, flag, command string) error {
	if command == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pluginTimeout)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-c", command)
	shell.Stdout, shell.Stderr, shell.WaitDelay = h.Log, h.Log, time.Second
	if err := shell.Run(); err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	return nil
}
