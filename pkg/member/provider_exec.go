// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	upstream "sigs.k8s.io/cluster-inventory-api/pkg/access"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
)

// execProvider lets client-go run a credential plugin, through upstream's library, for servers that
// the operator has allowed.
//
// A profile can only narrow down the trusted CAs. If it names CAs, all of them must be among the
// configured ones, and only they are trusted.
type execProvider struct {
	name     string
	config   *configv1alpha1.ExecProvider
	servers  []endpoint.ServerPattern
	bindings []execBinding
	cas      *endpoint.Bundle
	// opened are the access data that clients were made of, and openings the limits of new ones, by
	// ClusterProfile.
	opened, openings *utilcache.LRUExpireCache
}

const (
	// maxExtension bounds the extension that a plugin is given, in bytes.
	maxExtension = 16 << 10
	// Of new access data, a ClusterProfile may have openBurst, and one more each openPeriod: client-go
	// keeps what it makes of any access data with a plugin until the process ends.
	openBurst  = 10
	openPeriod = 5 * time.Minute
	// openEntries and openTTL bound what is remembered of that.
	openEntries = 10_000
	openTTL     = 24 * time.Hour
)

// execBinding is an ExecBinding of the configuration.
type execBinding struct {
	configv1alpha1.ExecBinding
	servers []endpoint.ServerPattern
}

// has returns whether the ClusterProfile is bound.
func (b *execBinding) has(profile types.NamespacedName) bool {
	return slices.Contains(b.Namespaces, profile.Namespace) ||
		slices.Contains(b.Profiles, configv1alpha1.ProfileReference{Namespace: profile.Namespace, Name: profile.Name})
}

// newExecProvider returns the provider of a valid configuration, whose CAs and servers can be read.
func newExecProvider(name string, config *configv1alpha1.ExecProvider) *execProvider {
	p := &execProvider{
		name: name, config: config.DeepCopy(),
		opened: utilcache.NewLRUExpireCache(openEntries), openings: utilcache.NewLRUExpireCache(openEntries),
	}
	p.cas, _ = endpoint.ParseBundle(config.CertificateAuthorityData)
	p.servers, _ = validateServers(config.Servers, nil, nil)
	for _, binding := range p.config.Bindings {
		servers := p.servers
		if len(binding.Servers) > 0 {
			servers, _ = validateServers(binding.Servers, nil, nil)
		}
		p.bindings = append(p.bindings, execBinding{ExecBinding: binding, servers: servers})
	}
	return p
}

func (p *execProvider) find(
	profile *inventoryv1alpha1.ClusterProfile, entry *inventoryv1alpha1.AccessProvider, _ lookupSecret,
) (*source, error) {
	cluster := *entry.Cluster.DeepCopy()
	// The plugin is given what the profile says of the cluster, but not what it says
	// of arguments and environment: those extensions stay behind.
	cluster.Extensions = slices.DeleteFunc(cluster.Extensions, func(e clientcmdv1.NamedExtension) bool {
		return !p.config.PassExtension || e.Name != execExtension
	})
	for i := range cluster.Extensions {
		if len(cluster.Extensions[i].Extension.Raw) > maxExtension {
			return nil, fmt.Errorf("its extension %s has more than %d bytes", execExtension, maxExtension)
		}
	}
	data, err := json.Marshal(cluster)
	if err != nil {
		return nil, errors.New("the cluster's data is not JSON")
	}
	name, key := types.NamespacedName{Namespace: profile.Namespace, Name: profile.Name}, newAccessKey(data)
	return &source{key: key, open: func() (*access, error) {
		if !p.mayOpen(name, key) {
			return nil, fmt.Errorf("its access data change too often: after %d changes, one every %s is allowed", openBurst, openPeriod)
		}
		return p.open(name, cluster)
	}}, nil
}

// mayOpen returns whether a client may be made of access data that the ClusterProfile has.
func (p *execProvider) mayOpen(profile types.NamespacedName, key accessKey) bool {
	if _, known := p.opened.Get(key); known {
		return true
	}
	limiter, ok := p.openings.Get(profile)
	if !ok {
		limiter = rate.NewLimiter(rate.Every(openPeriod), openBurst)
	}
	p.openings.Add(profile, limiter, openTTL)
	if l, ok := limiter.(*rate.Limiter); !ok || !l.Allow() {
		return false
	}
	p.opened.Add(key, true, openTTL)
	return true
}

func (p *execProvider) open(name types.NamespacedName, cluster clientcmdv1.Cluster) (*access, error) {
	allowed, server, err := p.allowed(cluster)
	if err != nil {
		return nil, err
	}
	several, err := p.bound(name, server, allowed.TLSServerName)
	if err != nil {
		return nil, err
	}
	entry := inventoryv1alpha1.AccessProvider{Name: p.name, Cluster: *allowed.DeepCopy()}
	entry.Cluster.Extensions = cluster.Extensions
	profile := &inventoryv1alpha1.ClusterProfile{Status: inventoryv1alpha1.ClusterProfileStatus{
		AccessProviders: []inventoryv1alpha1.AccessProvider{entry},
	}}
	profile.Name = name.Name
	config, err := upstream.New([]upstream.Provider{p.upstream()}).BuildConfigFromCP(profile)
	if err != nil {
		return nil, fmt.Errorf("building the client configuration: %w", err)
	}
	// Upstream's library drops the server name.
	config.ServerName = allowed.TLSServerName
	if err := setProxy(config, allowed.ProxyURL); err != nil {
		return nil, err
	}
	return &access{config: config, cluster: allowed, plugin: true, several: several}, nil
}

// bound returns an error for a server that the ClusterProfile may not lead to. It returns whether
// the ClusterProfile may lead to other clusters, too: by another server, by a proxy, or by a server
// name that a proxy in front of several clusters routes by.
func (p *execProvider) bound(profile types.NamespacedName, server *url.URL, serverName string) (several bool, err error) {
	named := serverName != "" && !strings.EqualFold(serverName, server.Hostname())
	servers := p.servers
	if len(p.bindings) > 0 {
		servers = nil
		for i := range p.bindings {
			if p.bindings[i].has(profile) {
				servers = append(servers, p.bindings[i].servers...)
			}
		}
		if !anyMatches(servers, server) {
			return false, fmt.Errorf("the access configuration binds the ClusterProfile to no server %s: "+
				"see bindings of access provider %q in --access-config", server, p.name)
		}
	} else if named {
		return false, fmt.Errorf("a tls-server-name may lead to another cluster, "+
			"and the access configuration does not bind the ClusterProfile: see bindings of access provider %q in --access-config", p.name)
	}
	return named || leadsToSeveral(p.config, servers), nil
}

func anyMatches(patterns []endpoint.ServerPattern, server *url.URL) bool {
	return slices.ContainsFunc(patterns, func(pattern endpoint.ServerPattern) bool { return pattern.Matches(server) })
}

// upstream returns the provider in the types of upstream's library. It is good for one use, because
// the library changes the slices that it gets.
func (p *execProvider) upstream() upstream.Provider {
	config := p.config.DeepCopy()
	env := make([]clientcmdapi.ExecEnvVar, 0, len(config.Env))
	for _, e := range config.Env {
		env = append(env, clientcmdapi.ExecEnvVar(e))
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

// allowed returns the part of a profile's cluster that clusterpass uses, and its server. It returns
// an error unless the operator allows all of it.
func (p *execProvider) allowed(cluster clientcmdv1.Cluster) (clientcmdv1.Cluster, *url.URL, error) {
	var none clientcmdv1.Cluster
	server, err := endpoint.ParseServer(cluster.Server)
	if err != nil {
		return none, nil, err
	}
	if !anyMatches(p.servers, server) {
		return none, nil, fmt.Errorf("server %s is not one that the credential plugin is configured for", cluster.Server)
	}
	if cluster.ProxyURL != "" && !slices.Contains(p.config.ProxyURLs, cluster.ProxyURL) {
		return none, nil, errors.New("proxy-url is not one that the credential plugin is configured for")
	}
	if cluster.InsecureSkipTLSVerify || cluster.CertificateAuthority != "" {
		return none, nil, errors.New("insecure-skip-tls-verify and certificate-authority are refused")
	}
	ca, err := p.trusted(cluster.CertificateAuthorityData)
	if err != nil {
		return none, nil, err
	}
	return clientcmdv1.Cluster{
		Server:                   cluster.Server,
		CertificateAuthorityData: ca,
		TLSServerName:            cluster.TLSServerName,
		ProxyURL:                 cluster.ProxyURL,
	}, server, nil
}

// trusted returns the CAs to verify a member with. named are those of its profile, and may be
// empty.
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
