// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/kueue"
	"clusterpass.dev/pkg/decision"
)

// Reasons of events on Workloads. Each problem has its own reason: events with the same reason are
// counted as one, which keeps only the first message.
const (
	reasonNominated = "Nominated"
	// reasonNoDecision is for a Placement that does not exist, or has not decided yet.
	reasonNoDecision = "NoDecision"
	// reasonNoCluster is for a decision without a cluster in the MultiKueueConfig of the queue.
	reasonNoCluster = "NoClusterOfQueue"
	// reasonOthers is for nominations by another dispatcher.
	reasonOthers = "NominatedByOthers"
)

// nomination has the clusters to nominate for a Workload.
type nomination struct {
	// clusters are names of MultiKueueClusters, best first.
	clusters []string
	// reason is the reason of the event about it. why says, for users, how the clusters were found,
	// or why there are none.
	reason, why string
}

// configOf returns the MultiKueueConfig with the clusters for a Workload, or nil if the Workload is
// not waiting for MultiKueue.
func (c *Controller) configOf(w *workload) (*multiKueueConfig, error) {
	if assigned, err := c.assigned(w); err != nil || assigned {
		return nil, err
	}
	for _, state := range w.Status.AdmissionChecks {
		if state.State != pending {
			continue
		}
		check, err := get[admissionCheck](c.kueue.checks, state.Name)
		if err != nil {
			return nil, err
		}
		if check != nil && check.Spec.ControllerName == kueue.MultiKueue {
			return get[multiKueueConfig](c.kueue.configs, check.Spec.Parameters.Name)
		}
	}
	return nil, nil //nolint:nilnil // not waiting for MultiKueue is a valid result
}

// assigned returns whether another Workload of the same Job has a cluster. Kueue then runs all of
// them there.
func (c *Controller) assigned(w *workload) (bool, error) {
	owners, err := ownerOf(w)
	if err != nil || len(owners) == 0 {
		return false, err
	}
	all, err := c.kueue.workloads.GetIndexer().ByIndex(byOwner, owners[0])
	return slices.ContainsFunc(all, func(obj any) bool {
		other, ok := obj.(*workload)
		return ok && other.Name != w.Name && other.Status.ClusterName != ""
	}), err
}

// nominate returns the nomination for a Workload, from the clusters in config.
func (c *Controller) nominate(w *workload, config *multiKueueConfig) (nomination, error) {
	name, err := c.placementFor(w)
	if err != nil {
		return nomination{}, err
	}
	if name == "" {
		return nomination{config.Spec.Clusters, reasonNominated, "neither it nor its LocalQueue names a Placement"}, nil
	}
	key := labels.Set{inventoryv1alpha1.PlacementKeyLabel: name}
	found, err := c.Decisions.Lister().PlacementDecisions(w.Namespace).List(key.AsSelector())
	if err != nil {
		return nomination{}, err
	}
	if len(found) == 0 {
		return nomination{reason: reasonNoDecision, why: fmt.Sprintf("there is no decision of Placement %s/%s", w.Namespace, name)}, nil
	}
	chosen := decision.AllClusters(found)
	clusters, err := c.within(config, chosen)
	if err != nil {
		return nomination{}, err
	}
	if len(clusters) == 0 {
		return nomination{reason: reasonNoCluster, why: fmt.Sprintf("Placement %s/%s has chosen %d clusters, none of them of MultiKueueConfig %s",
			w.Namespace, name, len(chosen), config.Name)}, nil
	}
	why := fmt.Sprintf("by Placement %s/%s", w.Namespace, name)
	if tied := decision.WarnTied(found); tied != "" {
		why += "; " + tied
	}
	return nomination{clusters, reasonNominated, why}, nil
}

// placementFor returns the name of the Placement that a Workload names, or else that its LocalQueue
// names, or "" if neither does.
func (c *Controller) placementFor(w *workload) (string, error) {
	if name := placement(w); name != "" {
		return name, nil
	}
	queue, err := get[localQueue](c.kueue.queues, w.Namespace+"/"+w.Spec.QueueName)
	if err != nil || queue == nil {
		return "", err
	}
	return placement(queue), nil
}

// within returns Kueue's names of the clusters in chosen that are also in config, in their order,
// and at most maxNominated.
func (c *Controller) within(config *multiKueueConfig, chosen []types.NamespacedName) ([]string, error) {
	byProfile := map[types.NamespacedName]string{}
	byName := map[string]bool{}
	for _, name := range config.Spec.Clusters {
		cluster, err := get[multiKueueCluster](c.kueue.clusters, name)
		if err != nil {
			return nil, err
		}
		if profile, ok := profileOf(cluster); ok {
			byProfile[profile] = name
		} else {
			byName[name] = true
		}
	}
	var names []string
	for _, cluster := range chosen {
		name, ok := byProfile[cluster]
		if !ok && byName[cluster.Name] {
			name, ok = cluster.Name, true
		}
		if ok && !slices.Contains(names, name) && len(names) < maxNominated {
			names = append(names, name)
		}
	}
	return names, nil
}

// profileOf returns the ClusterProfile in the annotation of a MultiKueueCluster, which
// ClusterCredentialSets set.
func profileOf(cluster *multiKueueCluster) (types.NamespacedName, bool) {
	if cluster == nil {
		return types.NamespacedName{}, false
	}
	name, err := cache.ParseObjectName(cluster.Annotations[v1alpha1.AnnotationClusterProfile])
	return types.NamespacedName{Namespace: name.Namespace, Name: name.Name}, err == nil && name.Namespace != ""
}
