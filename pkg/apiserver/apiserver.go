// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apiserver wires the API groups of clusterpass to their storage, on the
// generic API server: Options become a Config, a Config becomes a server.
package apiserver

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/utils/clock"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	multiclusterv1alpha2 "clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/mint"
	"clusterpass.dev/pkg/registry/authtokengrant"
	"clusterpass.dev/pkg/registry/authtokenrequest"
	"clusterpass.dev/pkg/registry/clustercredentialset"
	"clusterpass.dev/pkg/registry/clusterscore"
	"clusterpass.dev/pkg/registry/placement"
)

// ExtraConfig is the configuration of this server beyond that of a generic API server.
type ExtraConfig struct {
	// Minting configures the minter. storages sets its interfaces and its clock.
	Minting mint.Config
	// Members has the clients for the member clusters.
	Members *member.Pool
	// MemberSecrets are the Secrets with the kubeconfigs of the member clusters.
	MemberSecrets *member.SecretInformers
	// ControllerManagerUser is the username of the controller manager on the hub.
	ControllerManagerUser string
	// Limits are the limits on the objects of a namespace, by resource.
	Limits map[string]namespaceLimit
	// CredentialSets are the options of the storage of ClusterCredentialSets.
	CredentialSets clustercredentialset.Options
	// HubWatch watches objects of the hub, depending on --inventory.
	HubWatch hubWatch
	// ExternalProfiles reads the ClusterProfiles that another server serves. It is nil if this server
	// serves them.
	ExternalProfiles mint.Profiles
}

// Config is the configuration of a server.
type Config struct {
	Generic *genericapiserver.RecommendedConfig
	Extra   ExtraConfig
}

type completedConfig struct {
	generic genericapiserver.CompletedConfig
	extra   ExtraConfig
}

// CompletedConfig is a Config that Complete has completed. Only Complete returns one.
type CompletedConfig struct {
	*completedConfig
}

// Complete fills in the fields that can be derived from others.
func (c *Config) Complete() CompletedConfig {
	return CompletedConfig{&completedConfig{c.Generic.Complete(), c.Extra}}
}

// New returns a server of the API groups of its mode. The caller prepares and runs it.
func (c completedConfig) New() (*genericapiserver.GenericAPIServer, error) {
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
	for _, gv := range storedVersions {
		if err := install(generic, gv.Group, groups); err != nil {
			return nil, err
		}
	}
	c.addPostStartHooks(generic)
	if err := c.addReadyzChecks(generic); err != nil {
		return nil, fmt.Errorf("readiness: %w", err)
	}
	return generic, nil
}

// storages returns all storages, by API version and resource. It has no groups that this server
// does not serve.
func (c completedConfig) storages() (map[schema.GroupVersion]map[string]rest.Storage, error) {
	profiles, inventory, err := c.inventory()
	if err != nil {
		return nil, err
	}
	granted, err := authtokengrant.NewStorage(Scheme, c.generic.RESTOptionsGetter)
	if err != nil {
		return nil, fmt.Errorf("storage of authtokengrants: %w", err)
	}
	minting := c.extra.Minting
	minting.Profiles, minting.Grants = profiles, authtokengrant.NewGrants(granted.Internal)
	minting.Members, minting.Authorizer, minting.Clock = c.extra.Members, c.generic.Authorization.Authorizer, clock.RealClock{}
	minter := mint.New(minting)
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
	c.limit(scores.Store, sets.Sets.Store, placements.Store)
	groups := map[schema.GroupVersion]map[string]rest.Storage{clusterpassv1alpha1.SchemeGroupVersion: {
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
		inventory["clusterprofiles/token"] = profileToken
		groups[multiclusterv1alpha2.SchemeGroupVersion] = maps.Clone(inventory)
		inventory["authtokenrequests"] = requests
		groups[multiclusterv1alpha1.SchemeGroupVersion] = inventory
	}
	return groups, nil
}

// addPostStartHooks starts the clients for members, and the watch of the hub, with the server.
func (c completedConfig) addPostStartHooks(generic *genericapiserver.GenericAPIServer) {
	generic.AddPostStartHookOrDie("clusterpass-members", func(hook genericapiserver.PostStartHookContext) error {
		go c.extra.MemberSecrets.Run(hook)
		go c.extra.Members.Run(hook)
		return nil
	})
	generic.AddPostStartHookOrDie(c.extra.HubWatch.Name(), func(hook genericapiserver.PostStartHookContext) error {
		go c.extra.HubWatch.RunWithContext(hook)
		return nil
	})
}

// addReadyzChecks keeps the server unready until it can authenticate the hub's aggregator, has read
// the Secrets of members, and its watch of the hub allows it. Before it can authenticate the
// aggregator, it would treat all users as anonymous and refuse them.
func (c completedConfig) addReadyzChecks(generic *genericapiserver.GenericAPIServer) error {
	var checks []healthz.HealthChecker
	if config := c.generic.Authentication.RequestHeaderConfig; config != nil {
		checks = append(checks, healthz.NamedCheck("clusterpass-aggregator-ca", func(*http.Request) error {
			if len(config.CAContentProvider.CurrentCABundleContent()) == 0 {
				return errors.New("the CA of the hub's aggregator is not read yet")
			}
			return nil
		}))
	}
	checks = append(checks, healthz.NamedCheck("clusterpass-member-secrets", func(*http.Request) error {
		if !c.extra.MemberSecrets.Synced() {
			return errors.New("the Secrets with the kubeconfigs of members are not read yet")
		}
		return nil
	}), c.extra.HubWatch)
	return generic.AddReadyzChecks(checks...)
}

// install serves a group in those of its versions that are in storages. Without any, it does
// nothing.
func install(
	generic *genericapiserver.GenericAPIServer, group string, storages map[schema.GroupVersion]map[string]rest.Storage,
) error {
	info := genericapiserver.NewDefaultAPIGroupInfo(group, Scheme, metav1.ParameterCodec, Codecs)
	info.NegotiatedSerializer = withoutProtobuf{Codecs}
	for gv, resources := range storages {
		if gv.Group == group {
			info.VersionedResourcesStorageMap[gv.Version] = resources
		}
	}
	if len(info.VersionedResourcesStorageMap) == 0 {
		return nil
	}
	if err := generic.InstallAPIGroup(&info); err != nil {
		return fmt.Errorf("API group %s: %w", group, err)
	}
	return nil
}

// withoutTokens evaluates an audit policy. It limits the level of token resources to Metadata,
// whatever the policy says, because higher levels would write responses, and with them tokens, to
// the audit log.
type withoutTokens struct {
	audit.PolicyRuleEvaluator
}

// EvaluatePolicyRule implements audit.PolicyRuleEvaluator.
func (e withoutTokens) EvaluatePolicyRule(attributes authorizer.Attributes) audit.RequestAuditConfig {
	config := e.PolicyRuleEvaluator.EvaluatePolicyRule(attributes)
	resource := withSubresource(attributes.GetResource(), attributes.GetSubresource())
	if createOnly.Has(resource) && auditinternal.LevelMetadata.Less(config.Level) {
		config.Level = auditinternal.LevelMetadata
	}
	return config
}

// withoutProtobuf offers the same media types as a CustomResourceDefinition's resources. The types
// have no protobuf encoding. Clients that prefer protobuf and also accept JSON get JSON, and not an
// error.
type withoutProtobuf struct {
	runtime.NegotiatedSerializer
}

// SupportedMediaTypes implements runtime.NegotiatedSerializer.
func (s withoutProtobuf) SupportedMediaTypes() []runtime.SerializerInfo {
	return slices.DeleteFunc(slices.Clone(s.NegotiatedSerializer.SupportedMediaTypes()), func(info runtime.SerializerInfo) bool {
		return info.MediaType == runtime.ContentTypeProtobuf
	})
}
