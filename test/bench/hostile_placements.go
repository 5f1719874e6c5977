// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned"
)

const (
	hostileNamespace = "hostile"
	// dearPlacements is how many placements cost what they can, and dearExpressions how many
	// expressions each of them has.
	dearPlacements  = 4
	dearExpressions = 25
	// dearChanges is how often one of them changes, in a second: before all clusters were looked at
	// for the change before.
	dearChanges = 20
	// dear costs about what an expression may, of each cluster.
	dear = `clusterProfile.status.properties.exists(p, p.value.matches("^(%d|a|b)*c$"))`
)

// measureHostilePlacements compares how long a placement waits for its decision beside another
// tenant's expensive ones, which are looked at all the time, with the same alone.
func measureHostilePlacements(ctx context.Context, s settings, env *environment) ([]comparison, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.progress("hostile placements: starting a hub with %d ClusterProfiles and %d Placements", placedProfiles, poolPlacements+widePlacements)
	p, hub, err := startPlacements(ctx, s, env)
	if err != nil {
		return nil, err
	}
	if err := createNamespaces(ctx, hub, hostileNamespace); err != nil {
		return nil, err
	}
	// The tenant may list the clusters of the fleet, and chooses from all of them.
	admin, err := newClient(hub.RESTConfig())
	if err != nil {
		return nil, err
	}
	label := merge("/api/v1/namespaces/"+fleetNamespace, `{"metadata":{"labels":{"multicluster.x-k8s.io/clusterset":"all"}}}`)
	if err := admin.send(ctx, label, io.Discard); err != nil {
		return nil, err
	}
	client, err := versioned.NewForConfig(hub.RESTConfig())
	if err != nil {
		return nil, err
	}
	for i := range dearPlacements {
		if _, err := client.ClusterpassV1alpha1().Placements(hostileNamespace).Create(ctx, dearPlacement(i), metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("making the expensive placements: %w", err)
		}
	}
	var changed atomic.Int64
	b := &siege{pace: dearChanges, send: func(ctx context.Context) error {
		i := int(changed.Add(1))
		path := fmt.Sprintf("/apis/%s/namespaces/%s/placements/dear-%d", v1alpha1.SchemeGroupVersion, hostileNamespace, i%dearPlacements)
		// Another number has the placement decided upon anew, over all clusters.
		return admin.send(ctx, merge(path, `{"spec":{"numberOfClusters":%d}}`, 1+i%100), io.Discard)
	}}
	m := measurement{name: "decision beside expensive placements", goal: goal{latencyAtMost: 2}}
	c, err := b.beside(ctx, s, m, p.changes()[0].sides[ours].warmUp)
	return []comparison{c}, err
}

func dearPlacement(i int) *v1alpha1.Placement {
	placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("dear-%d", i)}}
	placement.Spec.ClusterSets = []string{"all"}
	placement.Spec.NumberOfClusters = ptr.To[int32](1)
	var expressions []string
	for j := range dearExpressions {
		// None of them is another's.
		expressions = append(expressions, "!"+fmt.Sprintf(dear, j))
	}
	placement.Spec.Predicates = []v1alpha1.ClusterPredicate{{RequiredClusterSelector: v1alpha1.ClusterSelector{
		CelSelector: v1alpha1.ClusterCelSelector{CelExpressions: expressions},
	}}}
	return placement
}
