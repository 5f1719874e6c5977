// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	restclient "k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/utils/clock"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/mint"
	"clusterpass.dev/pkg/registry/clustercredentialset"
	"clusterpass.dev/pkg/sharedread"
)

const (
	// etcdPrefix differs from /registry, which belongs to kube-apiserver: both may share the etcd.
	etcdPrefix = "/clusterpass"
	// requestCeiling is after how long the generic API server answers 504 to a create that still runs.
	requestCeiling = 34 * time.Second
	// shutdownWatchGrace is how long watches may take to end when the server stops.
	shutdownWatchGrace = 10 * time.Second
	// leastTokenExpiration is the minimum of --max-token-expiration: the shortest lifetime that
	// requests can ask for.
	leastTokenExpiration = time.Duration(multiclusterv1alpha1.MinExpirationSeconds) * time.Second
)

// Options are the flags of the server.
type Options struct {
	ServerRun   *genericoptions.ServerRunOptions
	Recommended *genericoptions.RecommendedOptions
	Logs        *logs.Options

	// EmbeddedEtcdDir is the data folder of the etcd inside this process. If empty, there is no such
	// etcd.
	EmbeddedEtcdDir string
	// AccessConfigFile is the file with the AccessConfiguration. If empty, it is member.DefaultConfig.
	AccessConfigFile string
	// HubID distinguishes this hub from others. If empty, it is the UID of the hub's namespace
	// kube-system.
	HubID string
	// ControllerManagerUser is the username of the controller manager on the hub.
	ControllerManagerUser string
	// SetAuthorMasters is the MastersPolicy for ClusterCredentialSets with an author in
	// system:masters.
	SetAuthorMasters string
	// MaxSetAuthorAge is how long after the author of a ClusterCredentialSet was recorded its
	// credentials are renewed. Zero means no limit.
	MaxSetAuthorAge time.Duration
	// Inventory says who serves the ClusterProfiles: hub.InventoryServed or hub.InventoryExternal.
	Inventory string
	// MemberRequestTimeout bounds the total time of a request's calls to a member, for each phase of
	// the request.
	MemberRequestTimeout time.Duration
	// MaxTokenExpiration is the maximum lifetime of a token.
	MaxTokenExpiration time.Duration
	// MaxGrantsPerNamespace bounds the grants of one namespace of the hub.
	MaxGrantsPerNamespace int64
	// MaxObjectsPerNamespace and MaxBytesPerNamespace limit the objects of a namespace of the hub,
	// by resource. Bytes are quantities. Each entry replaces the default of its resource.
	MaxObjectsPerNamespace map[string]int64
	MaxBytesPerNamespace   map[string]string
	// AllowedMemberNamespaces are the exceptions to hub.ReservedNamespaces.
	AllowedMemberNamespaces []string
}

// NewOptions returns Options with their defaults.
func NewOptions() *Options {
	recommended := genericoptions.NewRecommendedOptions(etcdPrefix, Codecs.LegacyCodec(storedVersions...))
	recommended.SecureServing.BindPort = 8443
	// A user who gets a right after a refusal tries again at once.
	recommended.Authorization.DenyCacheTTL = sharedread.Interval
	run := genericoptions.NewServerRunOptions()
	// The hub's kube-apiservers and every informer hold watches. Without this limit, the server
	// would wait for them to end until it is killed.
	run.ShutdownWatchTerminationGracePeriod = shutdownWatchGrace
	return &Options{
		ServerRun:             run,
		Recommended:           recommended,
		Logs:                  logs.NewOptions(),
		ControllerManagerUser: clusterpassv1alpha1.ControllerManagerUser,
		SetAuthorMasters:      string(clustercredentialset.MastersWarn),
		Inventory:             hub.InventoryServed,
		MemberRequestTimeout:  10 * time.Second,
		MaxTokenExpiration:    24 * time.Hour,
		// 5,000 grants are 10 MB in etcd, and in every cache.
		MaxGrantsPerNamespace: 5000,
	}
}

// Flags returns the flags of o in named sections.
func (o *Options) Flags() cliflag.NamedFlagSets {
	var sections cliflag.NamedFlagSets
	hub := sections.FlagSet("hub")
	o.Recommended.CoreAPI.AddFlags(hub)
	hub.Lookup("kubeconfig").Usage = "Kubeconfig file of this server's identity on the hub. " +
		"It is also the default of --authentication-kubeconfig and --authorization-kubeconfig. Without it the in-cluster configuration is used."
	hub.StringVar(&o.HubID, "hub-id", o.HubID, "Name of this hub, a label value. It marks the objects of this hub on member clusters, "+
		"and distinguishes them from those of other hubs. Default: the UID of the hub's namespace kube-system.")
	hub.StringVar(&o.ControllerManagerUser, "controller-manager-user", o.ControllerManagerUser, "Username of clusterpass-controller-manager "+
		"on the hub. By default, ClusterCredentialSets select by the PlacementDecisions that it has written. What it creates is not limited.")
	hub.StringVar(&o.Inventory, "inventory", o.Inventory, "Who serves the hub's ClusterProfiles. Served: this server stores and serves the "+
		"group multicluster.x-k8s.io, and is not ready while the hub has a CustomResourceDefinition that clashes with it. External: the hub "+
		"has the CustomResourceDefinition and another manager; this server reads its ClusterProfiles and serves clusterpass.dev/v1alpha1 alone.")

	limits := sections.FlagSet("limits")
	limits.StringToInt64Var(&o.MaxObjectsPerNamespace, "max-objects-per-namespace", o.MaxObjectsPerNamespace,
		"Maximum number of objects of a kind in a namespace of the hub, as RESOURCE=COUNT. What clusterpass-controller-manager creates is "+
			"neither counted nor refused. Defaults: "+limitsText(func(l namespaceLimit) string { return strconv.FormatInt(l.Objects, 10) })+".")
	limits.StringToStringVar(&o.MaxBytesPerNamespace, "max-bytes-per-namespace", o.MaxBytesPerNamespace, "Maximum size of all objects of a "+
		"kind in a namespace of the hub together, as RESOURCE=QUANTITY. An update that makes an object of more than 16 KiB larger must fit, "+
		"too. Defaults: "+limitsText(func(l namespaceLimit) string { return quantity(l.Bytes) })+".")

	storage := sections.FlagSet("etcd")
	o.Recommended.Etcd.AddFlags(storage)
	storage.StringVar(&o.EmbeddedEtcdDir, "embedded-etcd-dir", o.EmbeddedEtcdDir,
		"Folder of an etcd that runs inside this process, instead of --etcd-servers. It is created with mode 0700. For one replica only.")

	sets := sections.FlagSet("credential sets")
	sets.StringVar(&o.SetAuthorMasters, "set-author-masters", o.SetAuthorMasters,
		"What to do with a request that makes a user in system:masters the author of a ClusterCredentialSet. Warn: answer with a warning. "+
			"Refuse: refuse it. Sets that have such an author are renewed in both cases.")
	sets.DurationVar(&o.MaxSetAuthorAge, "max-set-author-age", o.MaxSetAuthorAge,
		"How long the credentials of a ClusterCredentialSet are renewed after its author was recorded: users leave, and their groups in a set "+
			"do not change. kubectl clusterpass renew-author records the author again. 0: for ever. The limit does not apply to ServiceAccounts: "+
			"to end those, delete their bindings. clusterpass-controller-manager must have the same value.")

	members := sections.FlagSet("member clusters")
	members.StringVar(&o.AccessConfigFile, "access-config", o.AccessConfigFile,
		"File with an AccessConfiguration (config.clusterpass.dev/v1alpha1) that says by which access providers member clusters are reached. "+
			"Default: kubeconfig Secrets in the namespace clusterpass-system.")
	members.DurationVar(&o.MemberRequestTimeout, "member-request-timeout", o.MemberRequestTimeout,
		"Maximum time that the calls to a member cluster may take in one phase of a request.")
	members.DurationVar(&o.MaxTokenExpiration, "max-token-expiration", o.MaxTokenExpiration,
		"Maximum lifetime of a token. Requests for a longer one are shortened, with a warning.")
	members.Int64Var(&o.MaxGrantsPerNamespace, "max-grants-per-namespace", o.MaxGrantsPerNamespace,
		"Maximum number of AuthTokenGrants in a namespace of the hub: there is one for each ServiceAccount on each cluster. "+
			"Replicas that create at the same time may exceed it by a few.")
	members.StringSliceVar(&o.AllowedMemberNamespaces, "allow-member-namespaces", o.AllowedMemberNamespaces,
		"Namespaces of member clusters that requests may name although they are refused by default: kube-system, kube-public, "+
			"kube-node-lease and clusterpass-system. Whoever gets a ServiceAccount there can take over the member cluster.")

	o.ServerRun.AddUniversalFlags(sections.FlagSet("generic"))
	o.Recommended.SecureServing.AddFlags(sections.FlagSet("secure serving"))
	o.Recommended.Authentication.AddFlags(sections.FlagSet("authentication"))
	o.Recommended.Authorization.AddFlags(sections.FlagSet("authorization"))
	o.Recommended.Admission.AddFlags(sections.FlagSet("admission"))
	o.Recommended.Audit.AddFlags(sections.FlagSet("auditing"))
	o.Recommended.Features.AddFlags(sections.FlagSet("features"))
	o.Recommended.EgressSelector.AddFlags(sections.FlagSet("egress selector"))
	o.Recommended.Traces.AddFlags(sections.FlagSet("traces"))
	logsapi.AddFlags(o.Logs, sections.FlagSet("logs"))
	return sections
}

type completedOptions struct {
	*Options
}

// CompletedOptions are Options that Complete has completed. Only Complete returns them.
type CompletedOptions struct {
	*completedOptions
}

// Complete fills in the options that can be derived from others.
func (o *Options) Complete() CompletedOptions {
	kubeconfig := o.Recommended.CoreAPI.CoreAPIKubeconfigPath
	authentication, authorization := o.Recommended.Authentication, o.Recommended.Authorization
	authentication.RemoteKubeConfigFile = cmp.Or(authentication.RemoteKubeConfigFile, kubeconfig)
	authorization.RemoteKubeConfigFile = cmp.Or(authorization.RemoteKubeConfigFile, kubeconfig)
	return CompletedOptions{&completedOptions{o}}
}

// Validate returns all errors in o.
func (o completedOptions) Validate() error {
	var errs []error
	servers := o.Recommended.Etcd.StorageConfig.Transport.ServerList
	switch {
	case o.EmbeddedEtcdDir != "" && len(servers) > 0:
		errs = append(errs, errors.New("--embedded-etcd-dir and --etcd-servers exclude each other"))
	case o.EmbeddedEtcdDir == "" && len(servers) == 0:
		errs = append(errs, errors.New("one of --etcd-servers and --embedded-etcd-dir must be given"))
	case o.EmbeddedEtcdDir == "":
		errs = append(errs, o.Recommended.Etcd.Validate()...)
		errs = append(errs, validateEtcdServers(servers)...)
	}
	if o.Inventory != hub.InventoryServed && o.Inventory != hub.InventoryExternal {
		errs = append(errs, fmt.Errorf("--inventory must be %s or %s, not %q", hub.InventoryServed, hub.InventoryExternal, o.Inventory))
	}
	if longest := requestCeiling - grant.TokenCacheTTL; o.MemberRequestTimeout <= 0 || o.MemberRequestTimeout >= longest {
		errs = append(errs, fmt.Errorf("--member-request-timeout must be more than 0 and less than %s: a request that changes a grant takes up "+
			"to %s longer, and the API server times requests out after %s", longest, grant.TokenCacheTTL, requestCeiling))
	}
	errs = append(errs, o.validateSets()...)
	errs = append(errs, o.validateLimits()...)
	if o.MaxTokenExpiration < leastTokenExpiration {
		errs = append(errs, fmt.Errorf("--max-token-expiration must be at least %s", leastTokenExpiration))
	}
	for _, msg := range validation.IsValidLabelValue(o.HubID) {
		errs = append(errs, fmt.Errorf("--hub-id %q: %s", o.HubID, msg))
	}
	for _, namespace := range o.AllowedMemberNamespaces {
		for _, msg := range validation.IsDNS1123Label(namespace) {
			errs = append(errs, fmt.Errorf("--allow-member-namespaces %q: %s", namespace, msg))
		}
	}
	errs = append(errs, o.ServerRun.Validate()...)
	recommended := *o.Recommended
	recommended.Etcd = nil // see above
	return utilerrors.NewAggregate(append(errs, recommended.Validate()...))
}

// validateEtcdServers refuses servers on other machines without TLS. Somebody in the network could
// write grants there, and the authors of sets.
func validateEtcdServers(servers []string) []error {
	var errs []error
	for _, server := range servers {
		parsed, err := url.Parse(server)
		if err == nil && parsed.Scheme == "http" && parsed.Hostname() != "localhost" && !net.ParseIP(parsed.Hostname()).IsLoopback() {
			errs = append(errs, fmt.Errorf("--etcd-servers: %s is not on this machine: it must be https", parsed.Redacted()))
		}
	}
	return errs
}

// validateLimits returns the errors in the limits of namespaces, some of which may be nil.
func (o completedOptions) validateLimits() []error {
	_, err := o.limits()
	errs := []error{err}
	if o.MaxGrantsPerNamespace < 1 {
		errs = append(errs, errors.New("--max-grants-per-namespace must be at least 1"))
	}
	return errs
}

// validateSets returns the errors in the options for ClusterCredentialSets.
func (o completedOptions) validateSets() []error {
	var errs []error
	if o.ControllerManagerUser == "" || len(o.ControllerManagerUser) > clusterpassv1alpha1.MaxDecisionWriter {
		errs = append(errs, fmt.Errorf("--controller-manager-user must have 1 to %d bytes", clusterpassv1alpha1.MaxDecisionWriter))
	}
	policy := clustercredentialset.MastersPolicy(o.SetAuthorMasters)
	if policy != clustercredentialset.MastersWarn && policy != clustercredentialset.MastersRefuse {
		errs = append(errs, fmt.Errorf("--set-author-masters must be %s or %s, not %q",
			clustercredentialset.MastersWarn, clustercredentialset.MastersRefuse, o.SetAuthorMasters))
	}
	if o.MaxSetAuthorAge < 0 {
		errs = append(errs, errors.New("--max-set-author-age must not be negative"))
	}
	return errs
}

// Config returns the Config for o. It reads the hub's ID from the hub if there is none in o.
func (o completedOptions) Config(ctx context.Context) (*Config, error) {
	serving := o.Recommended.SecureServing
	if err := serving.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	generic := genericapiserver.NewRecommendedConfig(Codecs)
	if err := o.ServerRun.ApplyTo(&generic.Config); err != nil {
		return nil, err
	}
	describe(&generic.Config)
	generic.BuildHandlerChainFunc = buildHandlerChain
	if err := o.Recommended.ApplyTo(generic); err != nil {
		return nil, err
	}
	if asked := generic.Authorization.Authorizer; asked != nil {
		fair, err := newFairAuthorizer(asked, o.Recommended.Authorization.AlwaysAllowPaths)
		if err != nil {
			return nil, err
		}
		generic.Authorization.Authorizer = fair
	}
	if generic.AuditPolicyRuleEvaluator != nil {
		generic.AuditPolicyRuleEvaluator = withoutTokens{generic.AuditPolicyRuleEvaluator}
	}
	hub, err := kubernetes.NewForConfig(unlimited(generic.ClientConfig))
	if err != nil {
		return nil, fmt.Errorf("client for the hub: %w", err)
	}
	metadata, err := metadata.NewForConfig(unlimited(generic.ClientConfig))
	if err != nil {
		return nil, fmt.Errorf("client for the hub: %w", err)
	}
	objects, err := dynamic.NewForConfig(unlimited(generic.ClientConfig))
	if err != nil {
		return nil, fmt.Errorf("client for the hub: %w", err)
	}
	extra, err := o.extra(ctx, hub, metadata, objects)
	if err != nil {
		return nil, err
	}
	if err := extra.addInventory(o.Inventory, unlimited(generic.ClientConfig)); err != nil {
		return nil, err
	}
	return &Config{Generic: generic, Extra: extra}, nil
}

// unlimited returns a copy of config without a client-side rate limit. The hub's priority and
// fairness limits this server. A lookup for a request must not wait in a queue of the client.
func unlimited(config *restclient.Config) *restclient.Config {
	config = restclient.CopyConfig(config)
	config.QPS = -1
	return config
}

func (o completedOptions) extra(
	ctx context.Context, hub kubernetes.Interface, metadata metadata.Interface, objects dynamic.Interface,
) (ExtraConfig, error) {
	var err error
	hubID := o.HubID
	if hubID == "" {
		if hubID, err = grant.HubID(ctx, hub); err != nil {
			return ExtraConfig{}, err
		}
	}
	access := member.DefaultConfig()
	if o.AccessConfigFile != "" {
		if access, err = member.LoadFile(o.AccessConfigFile); err != nil {
			return ExtraConfig{}, fmt.Errorf("--access-config: %w", err)
		}
	}
	limits, err := o.limits()
	if err != nil {
		return ExtraConfig{}, err
	}
	secrets := member.NewSecretInformers(hub, metadata, objects, access)
	members, err := member.NewPool(member.Options{Config: access, Secrets: secrets, Stored: secrets.Stored, Live: secrets.Live,
		StoredOf: secrets.StoredOf, Karmada: secrets, Clock: clock.RealClock{}})
	if err != nil {
		return ExtraConfig{}, fmt.Errorf("member clients: %w", err)
	}
	return ExtraConfig{
		Minting: mint.Config{
			HubID:             hubID,
			MaxExpiration:     o.MaxTokenExpiration,
			MaxGrants:         o.MaxGrantsPerNamespace,
			RequestTimeout:    o.MemberRequestTimeout,
			AllowedNamespaces: sets.New(o.AllowedMemberNamespaces...),
		},
		Members:               members,
		MemberSecrets:         secrets,
		ControllerManagerUser: o.ControllerManagerUser,
		Limits:                limits,
		CredentialSets: clustercredentialset.Options{
			DecisionWriter: o.ControllerManagerUser, Masters: clustercredentialset.MastersPolicy(o.SetAuthorMasters),
			MaxAuthorAge: o.MaxSetAuthorAge,
		},
	}, nil
}
