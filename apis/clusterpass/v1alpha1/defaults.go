// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

// SetDefaults_ClusterCredentialSet fills in what a set may leave out, but for the namespaces: they
// default to that of the set, which is not known of an object that is about to be created. It stays
// open which ServiceAccount each cluster has, too.
func SetDefaults_ClusterCredentialSet(set *ClusterCredentialSet) {
	spec := &set.Spec
	spec.Template.ServiceAccountNamespace = cmp.Or(spec.Template.ServiceAccountNamespace, metav1.NamespaceDefault)
	spec.Secret.Name = cmp.Or(spec.Secret.Name, "{{.set.name}}-{{.cluster.name}}")
	spec.Secret.Format = cmp.Or(spec.Secret.Format, SecretFormatKubeconfig)
	if spec.Rotation.ExpirationSeconds == nil {
		spec.Rotation.ExpirationSeconds = ptr.To(multiclusterv1alpha1.DefaultExpirationSeconds)
	}
	if spec.Rotation.RefreshAtPercent == nil {
		spec.Rotation.RefreshAtPercent = ptr.To(DefaultRefreshAtPercent)
	}
	if kueue := spec.Consumer.MultiKueue; kueue != nil {
		kueue.Order = cmp.Or(kueue.Order, MultiKueueOrderSelection)
		kueue.ClusterSource = cmp.Or(kueue.ClusterSource, MultiKueueClusterSourceKubeConfig)
	}
}

// SetDefaults_Placement fills in what a placement may leave out, as OCM's does.
func SetDefaults_Placement(placement *Placement) {
	spec := &placement.Spec
	spec.MissingScore = cmp.Or(spec.MissingScore, MissingScoreLast)
	spec.DecisionStrategy.SortBy = cmp.Or(spec.DecisionStrategy.SortBy, SortByScore)
	spec.PrioritizerPolicy.Mode = cmp.Or(spec.PrioritizerPolicy.Mode, PrioritizerPolicyAdditive)
	for i := range spec.PrioritizerPolicy.Configurations {
		config := &spec.PrioritizerPolicy.Configurations[i]
		config.ScoreCoordinate.Type = cmp.Or(config.ScoreCoordinate.Type, ScoreCoordinateBuiltIn)
		if config.Weight == nil {
			config.Weight = ptr.To(DefaultWeight)
		}
	}
	for i := range spec.Tolerations {
		spec.Tolerations[i].Operator = cmp.Or(spec.Tolerations[i].Operator, TolerationOpEqual)
	}
	for i := range spec.SpreadPolicy.SpreadConstraints {
		constraint := &spec.SpreadPolicy.SpreadConstraints[i]
		constraint.WhenUnsatisfiable = cmp.Or(constraint.WhenUnsatisfiable, ScheduleAnyway)
		if constraint.MaxSkew == nil {
			constraint.MaxSkew = ptr.To[int32](1)
		}
	}
}
