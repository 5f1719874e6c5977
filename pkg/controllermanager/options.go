// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package controllermanager

import (
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	cliflag "k8s.io/component-base/cli/flag"
	componentbaseconfig "k8s.io/component-base/config"
	componentbaseoptions "k8s.io/component-base/config/options"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"

	"clusterpass.dev/pkg/controllers/score/usage"
	"clusterpass.dev/pkg/hub"
)

const (
	// name is that of the program, its Lease, and the source of its events.
	name        = hub.ManagerName
	defaultPort = 8444
	// minCredentialLifetime is the least that a kube-apiserver makes a token for.
	minCredentialLifetime = 10 * time.Minute
)

// Values of --scores-of.
const (
	// ScoresOfOwn are the ClusterProfiles of --cluster-manager-name, and those that are imported.
	ScoresOfOwn = "Own"
	// ScoresOfAll are all ClusterProfiles that give access to their members.
	ScoresOfAll = "All"
)

// Options are the flags of the controller manager.
type Options struct {
	// Kubeconfig is of the manager's identity on the hub; empty: in-cluster.
	Kubeconfig string
	// AccessConfigFile says how members are reached; empty: member.DefaultConfig.
	AccessConfigFile string
	// HubID tells this hub from others; empty: grant.HubID.
	HubID string
	// GrantSyncs is how many grants are worked on at once.
	GrantSyncs int
	// GrantRetention is how long a grant is kept after its last token has expired.
	GrantRetention time.Duration

	// SweepPeriod is how often each member is compared with what grants say.
	SweepPeriod time.Duration
	// MemberSweeps is how many members are swept at once.
	MemberSweeps int
	// MaxOrphanRemovals bounds what one sweep of a member removes because it belongs to no grant.
	MaxOrphanRemovals int

	// ClusterManager is the spec.clusterManager.name of the ClusterProfiles whose status is ours to
	// write.
	ClusterManager string
	// Import are the platforms whose clusters get ClusterProfiles.
	Import []string
	// ProbePeriod is how often each member is asked how it is.
	ProbePeriod time.Duration
	// MemberProbes is how many members are asked at once.
	MemberProbes int
	// ProfileWriteInterval is the least time between two writes to a ClusterProfile.
	ProfileWriteInterval time.Duration

	// CredentialLifetime is that of the tokens that the hub's own credentials for members are renewed
	// by.
	CredentialLifetime time.Duration

	// CredentialSyncs is how many credentials of ClusterCredentialSets are reconciled at once.
	CredentialSyncs int
	// MaxCredentials bounds how many credentials the ClusterCredentialSets of one namespace select
	// together.
	MaxCredentials int
	// MaxSetAuthorAge is for how long after the author of a ClusterCredentialSet was noted the server
	// renews its credentials; 0: for ever.
	MaxSetAuthorAge time.Duration
	// PlacementSyncs is how many Placements are decided upon at once.
	PlacementSyncs int

	// ScoresOf says for whose ClusterProfiles there are ClusterScores: ScoresOfOwn or ScoresOfAll.
	ScoresOf string
	// ScorePeriod is how often what is free on each member is collected.
	ScorePeriod time.Duration
	// ScoreCollections is how many members are read at once for that.
	ScoreCollections int
	// DeviceLabels are pairs RESOURCE=LABEL: by which labels of nodes the types of devices are known.
	DeviceLabels []string

	LeaderElection componentbaseconfig.LeaderElectionConfiguration
	SecureServing  *genericoptions.SecureServingOptions
	Authentication *genericoptions.DelegatingAuthenticationOptions
	Authorization  *genericoptions.DelegatingAuthorizationOptions
	Logs           *logs.Options
}

// NewOptions returns Options with their defaults.
func NewOptions() *Options {
	o := &Options{
		GrantSyncs:        32,
		GrantRetention:    24 * time.Hour,
		SweepPeriod:       5 * time.Minute,
		MemberSweeps:      4,
		MaxOrphanRemovals: 50,

		ClusterManager:       "clusterpass",
		ProbePeriod:          15 * time.Second,
		MemberProbes:         100,
		ProfileWriteInterval: 30 * time.Second,

		CredentialLifetime: 24 * time.Hour,

		CredentialSyncs: 8,
		MaxCredentials:  50_000,

		PlacementSyncs: 4,

		ScoresOf:         ScoresOfAll,
		ScorePeriod:      time.Minute,
		ScoreCollections: 8,
		DeviceLabels:     usage.DefaultDeviceLabels(),

		LeaderElection: componentbaseconfig.LeaderElectionConfiguration{
			LeaderElect:       true,
			LeaseDuration:     metav1.Duration{Duration: 15 * time.Second},
			RenewDeadline:     metav1.Duration{Duration: 10 * time.Second},
			RetryPeriod:       metav1.Duration{Duration: 2 * time.Second},
			ResourceLock:      "leases",
			ResourceName:      name,
			ResourceNamespace: hub.SystemNamespace,
		},
		SecureServing:  genericoptions.NewSecureServingOptions(),
		Authentication: genericoptions.NewDelegatingAuthenticationOptions(),
		Authorization:  genericoptions.NewDelegatingAuthorizationOptions().WithAlwaysAllowPaths("/healthz", "/livez", "/readyz"),
		Logs:           logs.NewOptions(),
	}
	o.SecureServing.BindPort = defaultPort
	o.SecureServing.Required = true // for the health checks
	// Without a certificate of its own it makes one, in memory: there may be no disk to write to.
	o.SecureServing.ServerCert.CertDirectory = ""
	o.SecureServing.ServerCert.PairName = name
	// Metrics are no reason not to start: without the hub's configuration nobody but the health checks
	// gets in.
	o.Authentication.RemoteKubeConfigFileOptional = true
	o.Authorization.RemoteKubeConfigFileOptional = true
	return o
}

// Flags returns the flags of o in named sections.
func (o *Options) Flags() cliflag.NamedFlagSets {
	var sections cliflag.NamedFlagSets
	hub := sections.FlagSet("hub")
	hub.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig,
		"Kubeconfig file of the controller manager's identity on the hub. Without it the in-cluster configuration is used.")
	hub.StringVar(&o.HubID, "hub-id", o.HubID, "Name of this hub, the same as for clusterpass-apiserver. It marks the objects of this hub "+
		"on member clusters, and distinguishes them from those of other hubs. Default: the UID of the hub's namespace kube-system.")

	members := sections.FlagSet("member clusters")
	members.StringVar(&o.AccessConfigFile, "access-config", o.AccessConfigFile,
		"File with an AccessConfiguration (config.clusterpass.dev/v1alpha1), the same as for clusterpass-apiserver.")

	members.DurationVar(&o.CredentialLifetime, "member-credential-lifetime", o.CredentialLifetime, "Lifetime of the hub's own tokens for "+
		"member clusters. They are renewed after 75 to 80 % of it. A member cluster may give less. At least 10m, the minimum of Kubernetes.")

	grants := sections.FlagSet("grants")
	grants.IntVar(&o.GrantSyncs, "concurrent-grant-syncs", o.GrantSyncs,
		"How many grants are worked on at once. One member cluster gets an eighth of them, so one that does not answer delays no other.")
	grants.DurationVar(&o.GrantRetention, "grant-retention", o.GrantRetention,
		"How long an AuthTokenGrant is kept after the last of its tokens has expired.")

	sweeps := sections.FlagSet("sweeps")
	sweeps.DurationVar(&o.SweepPeriod, "member-sweep-period", o.SweepPeriod, "How often each member cluster is compared with the grants, "+
		"by five lists. What was changed there is repaired, and what belongs to no grant is removed.")
	sweeps.IntVar(&o.MemberSweeps, "concurrent-member-sweeps", o.MemberSweeps, "How many member clusters are swept at once.")
	sweeps.IntVar(&o.MaxOrphanRemovals, "max-orphan-removals", o.MaxOrphanRemovals, "Maximum number of objects that one sweep removes from "+
		"a member cluster because they belong to no grant; 0 only counts them. If there are more, for example because grants were lost, "+
		"the rest waits for later sweeps, and an event and the metric clusterpass_orphans_left say so.")

	inventory := sections.FlagSet("inventory")
	inventory.StringVar(&o.ClusterManager, "cluster-manager-name", o.ClusterManager, "The spec.clusterManager.name of the ClusterProfiles "+
		"whose status this hub's clusterpass keeps. Nothing is written to those of other managers.")
	inventory.StringSliceVar(&o.Import, "import", o.Import, "Platforms of this hub whose clusters get ClusterProfiles: Karmada, ClusterAPI. "+
		"For each, --access-config must have a provider, and the roles of artifacts/deploy/import must be bound: docs/import.md.")
	inventory.DurationVar(&o.ProbePeriod, "member-probe-period", o.ProbePeriod,
		"How often each member cluster's /readyz is asked. An outage is reported after two failures in a row.")
	inventory.IntVar(&o.MemberProbes, "concurrent-member-probes", o.MemberProbes,
		"How many member clusters are probed at once. One that does not answer takes one of them for up to 5 s.")
	inventory.DurationVar(&o.ProfileWriteInterval, "cluster-profile-write-interval", o.ProfileWriteInterval,
		"Minimum time between two writes to one ClusterProfile (KEP-4322: 30s).")

	credentials := sections.FlagSet("credential sets")
	credentials.IntVar(&o.CredentialSyncs, "concurrent-credential-syncs", o.CredentialSyncs,
		"How many credentials of ClusterCredentialSets are issued at once.")

	credentials.IntVar(&o.MaxCredentials, "max-credentials-per-namespace", o.MaxCredentials, "How many credentials the "+
		"ClusterCredentialSets of one namespace select together. A set that would select more gets no new ones, and its condition Ready says so.")
	credentials.DurationVar(&o.MaxSetAuthorAge, "max-set-author-age", o.MaxSetAuthorAge,
		"The same as for clusterpass-apiserver. A condition and an event of a set say when its author expires.")

	placements := sections.FlagSet("placements")
	placements.IntVar(&o.PlacementSyncs, "concurrent-placement-syncs", o.PlacementSyncs,
		"How many Placements are decided at once. Half of them may evaluate expressions.")

	scores := sections.FlagSet("scores")
	scores.StringVar(&o.ScoresOf, "scores-of", o.ScoresOf, "For which ClusterProfiles there are ClusterScores. "+ScoresOfAll+
		": for all that give access to their member cluster, whoever manages them. "+ScoresOfOwn+
		": for those of --cluster-manager-name, and imported ones.")
	scores.DurationVar(&o.ScorePeriod, "score-period", o.ScorePeriod, "How often nodes and pods of each member cluster are counted for its "+
		"ClusterScore. One that takes longer than a twentieth of that to read is read less often.")
	scores.IntVar(&o.ScoreCollections, "concurrent-score-collections", o.ScoreCollections,
		"How many member clusters are read at once for their ClusterScores.")
	scores.StringSliceVar(&o.DeviceLabels, "device-labels", o.DeviceLabels, "Labels of nodes that name the type of a device in "+
		"ClusterScores, as RESOURCE=LABEL. Of several for one resource, the first that a node has counts.")

	componentbaseoptions.BindLeaderElectionFlags(&o.LeaderElection, sections.FlagSet("leader election"))
	o.SecureServing.AddFlags(sections.FlagSet("secure serving"))
	o.Authentication.AddFlags(sections.FlagSet("authentication"))
	o.Authorization.AddFlags(sections.FlagSet("authorization"))
	logsapi.AddFlags(o.Logs, sections.FlagSet("logs"))
	return sections
}

// Validate returns everything that is wrong with o.
func (o *Options) Validate() error {
	var errs []error
	for _, msg := range validation.IsValidLabelValue(o.HubID) {
		errs = append(errs, fmt.Errorf("--hub-id %q: %s", o.HubID, msg))
	}
	for flag, count := range map[string]int{
		"concurrent-grant-syncs": o.GrantSyncs, "concurrent-member-sweeps": o.MemberSweeps, "concurrent-member-probes": o.MemberProbes,
		"concurrent-credential-syncs": o.CredentialSyncs, "concurrent-placement-syncs": o.PlacementSyncs,
		"concurrent-score-collections": o.ScoreCollections, "max-credentials-per-namespace": o.MaxCredentials,
	} {
		if count < 1 {
			errs = append(errs, fmt.Errorf("--%s must be at least 1", flag))
		}
	}
	for flag, period := range map[string]struct{ value, least time.Duration }{
		"member-sweep-period":            {o.SweepPeriod, time.Second},
		"member-probe-period":            {o.ProbePeriod, time.Second},
		"score-period":                   {o.ScorePeriod, time.Second},
		"member-credential-lifetime":     {o.CredentialLifetime, minCredentialLifetime},
		"cluster-profile-write-interval": {o.ProfileWriteInterval, 0},
		"max-set-author-age":             {o.MaxSetAuthorAge, 0},
		"grant-retention":                {o.GrantRetention, 0},
	} {
		if period.value < period.least {
			errs = append(errs, fmt.Errorf("--%s must be at least %s", flag, period.least))
		}
	}
	if o.MaxOrphanRemovals < 0 {
		errs = append(errs, errors.New("--max-orphan-removals must not be negative"))
	}
	if o.ClusterManager == "" {
		errs = append(errs, errors.New("--cluster-manager-name must not be empty"))
	}
	if o.ScoresOf != ScoresOfOwn && o.ScoresOf != ScoresOfAll {
		errs = append(errs, fmt.Errorf("--scores-of must be %s or %s", ScoresOfOwn, ScoresOfAll))
	}
	if _, err := usage.ParseDeviceLabels(o.DeviceLabels); err != nil {
		errs = append(errs, fmt.Errorf("--device-labels: %w", err))
	}
	errs = append(errs, o.SecureServing.Validate()...)
	errs = append(errs, o.Authentication.Validate()...)
	errs = append(errs, o.Authorization.Validate()...)
	return utilerrors.NewAggregate(errs)
}
