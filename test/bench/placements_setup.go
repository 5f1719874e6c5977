// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/metrics/testutil"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/test/testenv"
)

// seenTimeout bounds the wait for what comes of a change.
const seenTimeout = 30 * time.Second

// startPlacements starts what is needed, and waits until every placement has decided. It returns
// the hub, too.
func startPlacements(ctx context.Context, s settings, env *environment) (*placements, *testenv.Cluster, error) {
	clusters, err := env.startClusters(ctx, "hub")
	if err != nil {
		return nil, nil, err
	}
	hub := clusters[0]
	server, err := env.startServer(ctx, hub)
	if err != nil {
		return nil, nil, err
	}
	if err := createNamespaces(ctx, hub, fleetNamespace); err != nil {
		return nil, nil, err
	}
	b := &placements{settings: s}
	if b.client, err = newUser(ctx, hub, benchUser, changerRules()...); err != nil {
		return nil, nil, err
	}
	if err := waitServed(ctx, b.client); err != nil {
		return nil, nil, err
	}
	config, err := hub.UserConfig(benchUser)
	if err != nil {
		return nil, nil, err
	}
	config.QPS = -1
	if err := b.fill(ctx, config); err != nil {
		return nil, nil, err
	}
	manager, err := env.startManager(ctx, hub)
	if err != nil {
		return nil, nil, err
	}
	if b.metrics, err = metricsOf(manager, server); err != nil {
		return nil, nil, err
	}
	if b.seen, err = watch(ctx, config); err != nil {
		return nil, nil, err
	}
	return b, hub, b.decided(ctx)
}

// decided waits until all placements have decided, and said so.
func (b *placements) decided(ctx context.Context) error {
	err := b.seen.wait(ctx, func() bool {
		for pool := range poolPlacements {
			if b.seen.first(poolName(pool)) != profileName(best(pool)) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, settledPoll, seenTimeout, true, func(ctx context.Context) (bool, error) {
		is, err := b.cost(ctx)
		return is.StatusWrites >= poolPlacements+widePlacements, err
	})
}

// startManager starts clusterpass-controller-manager of the hub.
func (e *environment) startManager(ctx context.Context, hub *testenv.Cluster) (*testenv.ControllerManager, error) {
	ports, err := testenv.FreePorts(1)
	if err != nil {
		return nil, err
	}
	manager, err := testenv.NewControllerManager(testenv.ControllerManagerConfig{
		Hub: hub, Dir: filepath.Join(e.dir, "manager"), Port: ports[0],
	})
	if err != nil {
		return nil, err
	}
	e.stop = append(e.stop, manager.Stop)
	return manager, manager.Start(ctx)
}

// fill makes the profiles, their scores and the placements.
func (b *placements) fill(ctx context.Context, config *rest.Config) error {
	theirs, err := inventoryclient.NewForConfig(config)
	if err != nil {
		return err
	}
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	profiles := theirs.ApisV1alpha1().ClusterProfiles(fleetNamespace)
	scores := client.ClusterpassV1alpha1().ClusterScores(fleetNamespace)
	err = b.all(ctx, func(ctx context.Context, i int) error {
		profile := b.placedProfile(i)
		made, err := profiles.Create(ctx, profile, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		made.Status = profile.Status
		if _, err := profiles.UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
			return err
		}
		score := newScore(i)
		rated, err := scores.Create(ctx, score, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		rated.Status = score.Status
		_, err = scores.UpdateStatus(ctx, rated, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("making the fleet: %w", err)
	}
	for _, placement := range allPlacements() {
		if _, err := client.ClusterpassV1alpha1().Placements(fleetNamespace).Create(ctx, placement, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("making the placements: %w", err)
		}
	}
	return nil
}

// watched is what watches have shown so far.
type watched struct {
	mu sync.Mutex
	// firsts are the best clusters by the names of decision-keys, annotations those of profiles by
	// their names.
	firsts, annotations map[string]string
	// news is closed when something is shown.
	news chan struct{}
}

// watch starts the watches, as whoever config is of, and returns when they have begun. They end
// with ctx.
func watch(ctx context.Context, config *rest.Config) (*watched, error) {
	client, err := inventoryclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	w := &watched{firsts: map[string]string{}, annotations: map[string]string{}, news: make(chan struct{})}
	factory := inventoryinformers.NewSharedInformerFactoryWithOptions(client, 0, inventoryinformers.WithNamespace(fleetNamespace))
	shows := cache.ResourceEventHandlerFuncs{AddFunc: w.show, UpdateFunc: func(_, obj any) { w.show(obj) }}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Apis().V1alpha1().PlacementDecisions().Informer(), factory.Apis().V1alpha1().ClusterProfiles().Informer(),
	} {
		if _, err := informer.AddEventHandler(shows); err != nil {
			return nil, err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return w, context.Cause(ctx)
}

func (w *watched) show(obj any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch object := obj.(type) {
	case *inventoryv1alpha1.PlacementDecision:
		first := ""
		if len(object.Decisions) > 0 {
			first = object.Decisions[0].ClusterProfileRef.Name
		}
		w.firsts[object.Labels[inventoryv1alpha1.DecisionKeyLabel]] = first
	case *inventoryv1alpha1.ClusterProfile:
		w.annotations[object.Name] = object.Annotations["bench"]
	}
	close(w.news)
	w.news = make(chan struct{})
}

// first returns the best cluster of a decision.
func (w *watched) first(key string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.firsts[key]
}

// annotation returns that of a profile.
func (w *watched) annotation(profile string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.annotations[profile]
}

// wait waits until something was shown.
func (w *watched) wait(ctx context.Context, shown func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, seenTimeout)
	defer cancel()
	for {
		w.mu.Lock()
		news := w.news
		w.mu.Unlock()
		if shown() {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("what was to come of a change was not seen: %w", context.Cause(ctx))
		}
	}
}

// metrics are those of the controller manager, and of the server.
type metrics struct {
	manager, server *rest.Config
}

func metricsOf(manager *testenv.ControllerManager, server *testenv.Server) (m metrics, err error) {
	const user, group = "bench-metrics", "system:masters"
	if m.manager, err = manager.DirectConfig(user, group); err != nil {
		return m, err
	}
	m.server, err = server.DirectConfig(user, group)
	return m, err
}

// cost returns what was done so far.
func (m metrics) cost(ctx context.Context) (cost, error) {
	_, manager, err := testenv.Metrics(ctx, m.manager)
	if err != nil {
		return cost{}, err
	}
	_, server, err := testenv.Metrics(ctx, m.server)
	if err != nil {
		return cost{}, err
	}
	putStatus := map[string]string{"resource": "placements", "subresource": "status", "verb": "PUT"}
	return cost{
		Passes:         sum(manager, "clusterpass_placement_passes_total", nil),
		DecisionWrites: sum(manager, "clusterpass_placement_decision_writes_total", nil),
		StatusWrites:   sum(server, "apiserver_request_total", putStatus),
	}, nil
}

// sum adds up the samples of a metric that have these labels.
func sum(all testutil.Metrics, name string, labels map[string]string) (total float64) {
	for _, sample := range all[name] {
		matches := true
		for label, value := range labels {
			matches = matches && string(sample.Metric[testutil.LabelName(label)]) == value
		}
		if matches {
			total += float64(sample.Value)
		}
	}
	return total
}
