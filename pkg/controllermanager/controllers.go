// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package controllermanager

import (
	"fmt"
	"time"

	"k8s.io/client-go/informers"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	"clusterpass.dev/pkg/controllers/credentialset"
	"clusterpass.dev/pkg/controllers/dispatcher"
	"clusterpass.dev/pkg/controllers/health"
	"clusterpass.dev/pkg/controllers/importer"
	"clusterpass.dev/pkg/controllers/placement"
	"clusterpass.dev/pkg/controllers/revocation"
	"clusterpass.dev/pkg/controllers/rotation"
	"clusterpass.dev/pkg/controllers/score"
	"clusterpass.dev/pkg/controllers/score/usage"
	"clusterpass.dev/pkg/controllers/sweep"
	"clusterpass.dev/pkg/member"
)

const (
	// factsPeriod is how often the version and the properties of a member are read.
	factsPeriod = 5 * time.Minute
	// renewals is how many credentials for members are renewed in parallel.
	renewals = 8
	// nominations is how many Workloads of Kueue are reconciled in parallel.
	nominations = 4
)

// controllers returns all controllers, registered with the informers.
func (m *manager) controllers() ([]controller, error) {
	member.RegisterMetrics(m.members)
	platforms, err := importer.NewPlatforms(m.options.Import, m.access)
	if err != nil {
		return nil, fmt.Errorf("--import: %w", err)
	}
	m.imported = platforms
	var all []controller
	for _, c := range []struct {
		name string
		make func() (controller, error)
	}{
		{"grants", m.grantController},
		{"sweep", m.sweepController},
		{"import", m.importController},
		{"inventory", m.inventoryController},
		{"scores", m.scoreController},
		{"rotation", m.rotationController},
		{"credential sets", m.credentialSetController},
		{"placements", m.placementController},
		{"MultiKueue dispatcher", m.dispatcher},
	} {
		made, err := c.make()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		all = append(all, made)
	}
	return all, nil
}

func (m *manager) grantController() (controller, error) {
	return revocation.New(revocation.Options{
		HubID:     m.hubID,
		Client:    m.client,
		Grants:    m.grants.Clusterpass().V1alpha1().AuthTokenGrants(),
		Inventory: m.inventory,
		Profiles:  m.profiles.Apis().V1alpha1().ClusterProfiles(),
		Members:   m.members,
		Recorder:  m.recorder,
		Retention: m.options.GrantRetention,
		Workers:   m.options.GrantSyncs,
		Clock:     m.clock,
	})
}

func (m *manager) sweepController() (controller, error) {
	return sweep.New(sweep.Options{
		HubID:       m.hubID,
		Client:      m.client,
		Grants:      m.grants.Clusterpass().V1alpha1().AuthTokenGrants(),
		Profiles:    m.profiles.Apis().V1alpha1().ClusterProfiles(),
		Members:     m.members,
		Recorder:    m.recorder,
		Period:      m.options.SweepPeriod,
		Workers:     m.options.MemberSweeps,
		MaxRemovals: m.options.MaxOrphanRemovals,
		Clock:       m.clock,
	})
}

func (m *manager) importController() (controller, error) {
	return importer.New(importer.Options{
		Platforms: m.imported,
		Hub:       m.kubernetes,
		Objects:   m.objects,
		Inventory: m.inventory,
		Profiles:  m.profiles.Apis().V1alpha1().ClusterProfiles(),
		Access:    m.members,
		OnChange:  m.secrets.OnChange,
		Recorder:  m.recorder,
		Clock:     m.clock,
	})
}

// managers returns the cluster managers whose ClusterProfiles are this program's to maintain.
func (m *manager) managers() []string {
	all := []string{m.options.ClusterManager}
	for _, platform := range m.imported {
		all = append(all, platform.Manager)
	}
	return all
}

func (m *manager) inventoryController() (controller, error) {
	return health.New(health.Options{
		Managers:      m.managers(),
		Client:        m.inventory,
		Profiles:      m.profiles.Apis().V1alpha1().ClusterProfiles(),
		Members:       m.members,
		OnChange:      m.secrets.OnChange,
		Recorder:      m.recorder,
		ProbePeriod:   m.options.ProbePeriod,
		FactsPeriod:   factsPeriod,
		WriteInterval: m.options.ProfileWriteInterval,
		Workers:       m.options.MemberProbes,
		Clock:         m.clock,
	})
}

func (m *manager) scoreController() (controller, error) {
	labels, err := usage.ParseDeviceLabels(m.options.DeviceLabels)
	if err != nil {
		return nil, err
	}
	var managers []string
	if m.options.ScoresOf == ScoresOfOwn {
		managers = m.managers()
	}
	return score.New(score.Options{
		Managers:     managers,
		Client:       m.client,
		Scores:       m.grants.Clusterpass().V1alpha1().ClusterScores(),
		Profiles:     m.profiles.Apis().V1alpha1().ClusterProfiles(),
		Members:      m.members,
		DeviceLabels: labels,
		Period:       m.options.ScorePeriod,
		Workers:      m.options.ScoreCollections,
		Clock:        m.clock,
	})
}

func (m *manager) rotationController() (controller, error) {
	return rotation.New(rotation.Options{
		Hub:      m.kubernetes,
		Access:   m.access,
		Secrets:  m.secrets,
		Profiles: m.profiles.Apis().V1alpha1().ClusterProfiles(),
		Members:  m.members,
		Recorder: m.recorder,
		Lifetime: m.options.CredentialLifetime,
		Workers:  renewals,
		Clock:    m.clock,
	})
}

func (m *manager) credentialSetController() (controller, error) {
	return credentialset.New(credentialset.Options{
		Client:    m.client,
		Hub:       m.kubernetes,
		Objects:   m.objects,
		Inventory: m.inventory,
		Sets:      m.grants.Clusterpass().V1alpha1().ClusterCredentialSets(),
		Grants:    m.grants.Clusterpass().V1alpha1().AuthTokenGrants(),
		Profiles:  m.profiles.Apis().V1alpha1().ClusterProfiles(),
		// Nothing starts this factory.
		Decisions:  inventoryinformers.NewSharedInformerFactory(m.inventory, 0).Apis().V1alpha1().PlacementDecisions(),
		Placements: m.grants.Clusterpass().V1alpha1().Placements(),
		User:       m.user,
		Members:    m.members,
		OnChange:   m.secrets.OnChange,
		Recorder:   m.recorder,
		Workers:    m.options.CredentialSyncs,
		Clock:      m.clock,

		MaxCredentials: m.options.MaxCredentials,
		MaxAuthorAge:   m.options.MaxSetAuthorAge,
	})
}

func (m *manager) placementController() (controller, error) {
	return placement.New(placement.Options{
		Hub:        m.kubernetes,
		Client:     m.client,
		Inventory:  m.inventory,
		Placements: m.grants.Clusterpass().V1alpha1().Placements(),
		Scores:     m.grants.Clusterpass().V1alpha1().ClusterScores(),
		Profiles:   m.profiles.Apis().V1alpha1().ClusterProfiles(),
		// Nothing starts these factories.
		Decisions:  inventoryinformers.NewSharedInformerFactory(m.inventory, 0).Apis().V1alpha1().PlacementDecisions(),
		Namespaces: informers.NewSharedInformerFactory(m.kubernetes, 0).Core().V1().Namespaces(),
		User:       m.user,
		Recorder:   m.recorder,
		Workers:    m.options.PlacementSyncs,
		Clock:      m.clock,
	})
}

func (m *manager) dispatcher() (controller, error) {
	return dispatcher.New(dispatcher.Options{
		Hub:     m.kubernetes,
		Objects: m.objects,
		// Nothing starts this factory.
		Decisions: inventoryinformers.NewSharedInformerFactory(m.inventory, 0).Apis().V1alpha1().PlacementDecisions(),
		Recorder:  m.recorder,
		Workers:   nominations,
		Clock:     m.clock,
	})
}
