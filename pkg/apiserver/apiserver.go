// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apiserver wires the API groups of clusterpass to their storage, on the
// generic API server: Options become a Config, a Config becomes a Server.
package apiserver

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/utils/clock"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/mint"
	"clusterpass.dev/pkg/registry/authtokengrant"
	"clusterpass.dev/pkg/registry/authtokenrequest"
	"clusterpass.dev/pkg/registry/clustercredentialset"
	"clusterpass.dev/pkg/registry/clusterscore"
	"clusterpass.dev/pkg/registry/placement"
)

// ExtraConfig is what this server needs beyond any API server.
type ExtraConfig struct {
	// HubID tells this hub from others that use the same member clusters.
	HubID string
	// Members reaches the member clusters.
	Members *member.Pool
	// MemberSecrets are the kubeconfigs of the member clusters.
	MemberSecrets *member.SecretInformers
	// MemberRequestTimeout bounds the calls to a member that one request makes, together.
	MemberRequestTimeout time.Duration
	// MaxTokenExpiration is the longest lifetime granted to a token.
	MaxTokenExpiration time.Duration
	// MaxGrantsPerNamespace bounds the grants of one namespace of the hub.
	MaxGrantsPerNamespace int64
	// AllowedMemberNamespaces are the exceptions to mint.ReservedNamespaces.
	AllowedMemberNamespaces []string
	// ControllerManagerUser is the username of the controller manager on the hub.
	ControllerManagerUser string
	// Limits bound what a namespace has of each kind, by resource.
	Limits map[string]namespaceLimit
	// CredentialSets are the options of the storage of ClusterCredentialSets.
	CredentialSets clustercredentialset.Options
	// HubWatch is what the server keeps an eye on at the hub because of --inventory.
	HubWatch hubWatch
	// ExternalProfiles looks up the ClusterProfiles that somebody else serves; nil: this server does.
	ExternalProfiles mint.Profiles
}

// Config is what a Server is made of.
type Config struct {
	Generic *genericapiserver.RecommendedConfig
	Extra   ExtraConfig
}

type completedConfig struct {
	generic genericapiserver.CompletedConfig
	extra   ExtraConfig
}

// CompletedConfig is a Config that Complete has filled in; there is no other way to one.
type CompletedConfig struct {
	*completedConfig
}

// Complete fills in what can be derived.
func (c *Config) Complete() CompletedConfig {
	return CompletedConfig{&completedConfig{c.Generic.Complete(), c.Extra}}
}

// Server is the API server of clusterpass.
type Server struct {
	Generic *genericapiserver.GenericAPIServer
}

// New returns a Server that serves the API groups of its mode and is ready to be prepared and run.
func (c completedConfig) New() (*Server, error) {
	generic, err := c.generic.New("clusterpass-apiserver", genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, fmt.Errorf("generic API server: %w", err)
	}
	mint.RegisterMetrics()
	member.RegisterMetrics(c.extra.Members)
	groups, err := c.storages()
	if err != nil {
		return nil, err
	}
	for _, gv := range groupVersions {
		if storages, ok := groups[gv.Group]; ok {
			if err := install(generic, gv.Group, storages); err != nil {
				return nil, err
			}
		}
	}
	if err := c.awaitAggregator(generic); err != nil {
		return nil, err
	}
	if err := c.runMembers(generic); err != nil {
		return nil, err
	}
	if err := c.watchHub(generic); err != nil {
		return nil, err
	}
	return &Server{Generic: generic}, nil
}

// storages returns the storage of all that is served, by API group and resource. A group that is left to others is not in it.
func (c completedConfig) storages() (map[string]map[string]rest.Storage, error) {
	profiles, inventory, err := c.inventory()
	if err != nil {
		return nil, err
	}
	granted, err := authtokengrant.NewStorage(Scheme, c.generic.RESTOptionsGetter)
	if err != nil {
		return nil, fmt.Errorf("storage of authtokengrants: %w", err)
	}
	minter := c.minter(profiles, authtokengrant.NewGrants(granted.Internal))
	requests, profileToken := authtokenrequest.NewREST(minter)
	scores, scoreStatus, err := clusterscore.NewREST(Scheme, c.generic.RESTOptionsGetter)
	if err != nil {
		return nil, fmt.Errorf("storage of clusterscores: %w", err)
	}
	options := c.extra.CredentialSets
	options.Admission = c.generic.AdmissionControl
	sets, err := clustercredentialset.NewStorage(Scheme, c.generic.RESTOptionsGetter, minter, c.generic.Authorization.Authorizer, options)
	if err != nil {
		return nil, fmt.Errorf("storage of clustercredentialsets: %w", err)
	}
	placements, placementStatus, err := placement.NewREST(Scheme, c.generic.RESTOptionsGetter)
	if err != nil {
		return nil, fmt.Errorf("storage of placements: %w", err)
	}
	c.limit(scores.Store.Store, sets.Sets.Store.Store, placements.Store.Store)
	groups := map[string]map[string]rest.Storage{clusterpassv1alpha1.GroupName: {
		"authtokenrequests":            requests,
		"authtokengrants":              granted.Grants,
		"authtokengrants/status":       granted.Status,
		"clustercredentialsets":        sets.Sets,
		"clustercredentialsets/status": sets.Status,
		"clustercredentialsets/token":  sets.Token,
		"clustercredentialsets/author": sets.Author,
		"clusterscores":                scores,
		"clusterscores/status":         scoreStatus,
		"placements":                   placements,
		"placements/status":            placementStatus,
	}}
	if inventory != nil {
		inventory["clusterprofiles/token"], inventory["authtokenrequests"] = profileToken, requests
		groups[multiclusterv1alpha1.GroupName] = inventory
	}
	return groups, nil
}

func (c completedConfig) minter(profiles mint.Profiles, granted mint.Grants) *mint.Minter {
	return mint.New(mint.Config{
		HubID:             c.extra.HubID,
		Profiles:          profiles,
		Grants:            granted,
		MaxGrants:         c.extra.MaxGrantsPerNamespace,
		Members:           c.extra.Members,
		Authorizer:        c.generic.Authorization.Authorizer,
		MaxExpiration:     c.extra.MaxTokenExpiration,
		RequestTimeout:    c.extra.MemberRequestTimeout,
		Clock:             clock.RealClock{},
		AllowedNamespaces: sets.New(c.extra.AllowedMemberNamespaces...),
	})
}

// awaitAggregator keeps the server from being ready until it can tell the hub's
// aggregator from anybody else: it would take users for anonymous and refuse them.
func (c completedConfig) awaitAggregator(generic *genericapiserver.GenericAPIServer) error {
	config := c.generic.Authentication.RequestHeaderConfig
	if config == nil {
		return nil
	}
	check := healthz.NamedCheck("clusterpass-aggregator-ca", func(*http.Request) error {
		if len(config.CAContentProvider.CurrentCABundleContent()) == 0 {
			return errors.New("the CA of the hub's aggregator is not read yet")
		}
		return nil
	})
	if err := generic.AddReadyzChecks(check); err != nil {
		return fmt.Errorf("readiness of authentication: %w", err)
	}
	return nil
}

// runMembers ties the clients for members to the life of the server.
func (c completedConfig) runMembers(generic *genericapiserver.GenericAPIServer) error {
	if err := generic.AddPostStartHook("clusterpass-members", func(hook genericapiserver.PostStartHookContext) error {
		go c.extra.MemberSecrets.Run(hook)
		go c.extra.Members.Run(hook)
		return nil
	}); err != nil {
		return fmt.Errorf("member clients: %w", err)
	}
	check := healthz.NamedCheck("clusterpass-member-secrets", func(*http.Request) error {
		if !c.extra.MemberSecrets.Synced() {
			return errors.New("the Secrets with the kubeconfigs of members are not read yet")
		}
		return nil
	})
	if err := generic.AddReadyzChecks(check); err != nil {
		return fmt.Errorf("readiness of member clients: %w", err)
	}
	return nil
}

func install(generic *genericapiserver.GenericAPIServer, group string, storage map[string]rest.Storage) error {
	info := genericapiserver.NewDefaultAPIGroupInfo(group, Scheme, metav1.ParameterCodec, Codecs)
	info.NegotiatedSerializer = withoutProtobuf{Codecs}
	info.VersionedResourcesStorageMap = map[string]map[string]rest.Storage{"v1alpha1": storage}
	if err := generic.InstallAPIGroup(&info); err != nil {
		return fmt.Errorf("API group %s: %w", group, err)
	}
	return nil
}
