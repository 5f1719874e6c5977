// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	upstream "sigs.k8s.io/cluster-inventory-api/pkg/access"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
)

// execProvider has client-go run a credential plugin, through upstream's library,
// for servers that the operator has allowed.
//
// A profile narrows the CAs down and never widens them: where it names any, all of
// them must be among the configured ones, and only they are trusted.
type execProvider struct {
	name    string
	config  *configv1alpha1.ExecProvider
	servers []endpoint.ServerPattern
	cas     *endpoint.Bundle
}

func newExecProvider(name string, config *configv1alpha1.ExecProvider) (*execProvider, error) {
	cas, err := endpoint.ParseBundle(config.CertificateAuthorityData)
	if err != nil {
		return nil, fmt.Errorf("certificateAuthorityData %w", err)
	}
	p := &execProvider{name: name, config: config.DeepCopy(), cas: cas}
	for _, server := range config.Servers {
		pattern, err := endpoint.ParseServerPattern(server)
		if err != nil {
			return nil, fmt.Errorf("server %q: %w", server, err)
		}
		p.servers = append(p.servers, pattern)
	}
	return p, nil
}

func (p *execProvider) find(profile *inventoryv1alpha1.ClusterProfile, entry *inventoryv1alpha1.AccessProvider, _ getSecret) (*source, error) {
	data, err := json.Marshal(entry.Cluster)
	if err != nil {
		return nil, errors.New("the cluster's data is not JSON")
	}
	return &source{
		key:  newAccessKey(data),
		open: func() (*access, error) { return p.open(profile.Name, entry.Cluster) },
	}, nil
}

func (p *execProvider) open(profileName string, cluster clientcmdv1.Cluster) (*access, error) {
	allowed, err := p.allowed(cluster)
	if err != nil {
		return nil, err
	}
	entry := inventoryv1alpha1.AccessProvider{Name: p.name, Cluster: *allowed.DeepCopy()}
	// The plugin is given what the profile says of the cluster, but not what it says
	// of arguments and environment: those extensions stay behind.
	entry.Cluster.Extensions = slices.DeleteFunc(cluster.DeepCopy().Extensions, func(e clientcmdv1.NamedExtension) bool {
		return e.Name != execExtension
	})
	profile := &inventoryv1alpha1.ClusterProfile{Status: inventoryv1alpha1.ClusterProfileStatus{
		AccessProviders: []inventoryv1alpha1.AccessProvider{entry},
	}}
	profile.Name = profileName
	config, err := upstream.New([]upstream.Provider{p.upstream()}).BuildConfigFromCP(profile)
	if err != nil {
		return nil, fmt.Errorf("building the client configuration: %w", err)
	}
	// Upstream's library drops it.
	config.ServerName = allowed.TLSServerName
	if err := setProxy(config, allowed.ProxyURL); err != nil {
		return nil, err
	}
	return &access{config: config, cluster: allowed, plugin: true}, nil
}

// upstream returns the provider in the types of upstream's library, for one use:
// the library writes into the slices it is given.
func (p *execProvider) upstream() upstream.Provider {
	config := p.config.DeepCopy()
	env := make([]clientcmdapi.ExecEnvVar, 0, len(config.Env))
	for _, e := range config.Env {
		env = append(env, clientcmdapi.ExecEnvVar{Name: e.Name, Value: e.Value})
	}
	return upstream.Provider{
		Name: p.name,
		ExecConfig: &clientcmdapi.ExecConfig{
			APIVersion:         config.APIVersion,
			Command:            config.Command,
			Args:               config.Args,
			Env:                env,
			ProvideClusterInfo: config.ProvideClusterInfo,
		},
		ProfileSourcedCLIArgsPolicy: upstream.ProfileSourcedCLIArgsPolicyIgnore,
		ProfileSourcedEnvVarsPolicy: upstream.ProfileSourcedEnvVarsPolicyIgnore,
	}
}

// allowed returns the part of a profile's cluster that is used, if the operator
// allows all of it.
func (p *execProvider) allowed(cluster clientcmdv1.Cluster) (clientcmdv1.Cluster, error) {
	var none clientcmdv1.Cluster
	server, err := endpoint.ParseServer(cluster.Server)
	if err != nil {
		return none, err
	}
	if !slices.ContainsFunc(p.servers, func(pattern endpoint.ServerPattern) bool { return pattern.Matches(server) }) {
		return none, fmt.Errorf("server %s is not one that the credential plugin is configured for", cluster.Server)
	}
	if cluster.ProxyURL != "" && !slices.Contains(p.config.ProxyURLs, cluster.ProxyURL) {
		return none, errors.New("proxy-url is not one that the credential plugin is configured for")
	}
	if cluster.InsecureSkipTLSVerify || cluster.CertificateAuthority != "" {
		return none, errors.New("insecure-skip-tls-verify and certificate-authority are refused")
	}
	ca, err := p.trusted(cluster.CertificateAuthorityData)
	if err != nil {
		return none, err
	}
	return clientcmdv1.Cluster{
		Server:                   cluster.Server,
		CertificateAuthorityData: ca,
		TLSServerName:            cluster.TLSServerName,
		ProxyURL:                 cluster.ProxyURL,
	}, nil
}

// trusted returns the CAs to verify a member with, given those that its profile names.
func (p *execProvider) trusted(named []byte) ([]byte, error) {
	if len(named) == 0 {
		return p.cas.PEM, nil
	}
	bundle, err := endpoint.ParseBundle(named)
	if err != nil {
		return nil, fmt.Errorf("certificate-authority-data %w", err)
	}
	for _, certificate := range bundle.Certificates {
		if !slices.ContainsFunc(p.cas.Certificates, certificate.Equal) {
			return nil, fmt.Errorf("the CA %q is not one that the credential plugin is configured for", certificate.Subject)
		}
	}
	return bundle.PEM, nil
}
