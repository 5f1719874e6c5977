// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Program ocm runs some of the controllers of Open Cluster Management's hub, as they are, in one
// process: of its registration controller those that make ClusterProfiles of ManagedClusters and
// what these need, and its placement controller whole. OCM has no program of the former alone.
package main

import (
	"context"
	"flag"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/openshift/library-go/pkg/controller/controllercmd"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	clusters "open-cluster-management.io/api/client/cluster/clientset/versioned"
	"open-cluster-management.io/api/client/cluster/clientset/versioned/scheme"
	clusterinformers "open-cluster-management.io/api/client/cluster/informers/externalversions"
	placement "open-cluster-management.io/ocm/pkg/placement/controllers"
	"open-cluster-management.io/ocm/pkg/registration/hub/clusterprofile"
	"open-cluster-management.io/ocm/pkg/registration/hub/lease"
	"open-cluster-management.io/ocm/pkg/registration/hub/managedclusterset"
	"open-cluster-management.io/ocm/pkg/registration/hub/managedclustersetbinding"
	"open-cluster-management.io/sdk-go/pkg/basecontroller/events"
	"open-cluster-management.io/sdk-go/pkg/basecontroller/factory"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"
)

// resync is the period of OCM's own informers in its registration controller.
const resync = 30 * time.Minute

func main() {
	klog.InitFlags(nil)
	registrationConfig := flag.String("registration-kubeconfig", "", "the hub, as the account of OCM's registration controller")
	placementConfig := flag.String("placement-kubeconfig", "", "the hub, as the account of OCM's placement controller")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	running, ctx := errgroup.WithContext(ctx)
	running.Go(func() error { return register(ctx, *registrationConfig) })
	running.Go(func() error { return place(ctx, *placementConfig) })
	if err := running.Wait(); err != nil {
		klog.Fatal(err)
	}
}

// place runs the placement controller until ctx is done.
func place(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	return placement.RunControllerManager(ctx, &controllercmd.ControllerContext{KubeConfig: config})
}

// register runs the controllers of sets, bindings, leases and ClusterProfiles until ctx is done.
func register(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	hub, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ocm, err := clusters.NewForConfig(config)
	if err != nil {
		return err
	}
	profiles, err := inventory.NewForConfig(config)
	if err != nil {
		return err
	}
	recorder, err := events.NewEventRecorder(ctx, scheme.Scheme, hub.EventsV1(), "registration-controller")
	if err != nil {
		return err
	}
	var (
		ofHub        = informers.NewSharedInformerFactory(hub, resync)
		ofOCM        = clusterinformers.NewSharedInformerFactory(ocm, resync)
		ofInventory  = inventoryinformers.NewSharedInformerFactory(profiles, resync)
		managed      = ofOCM.Cluster().V1().ManagedClusters()
		sets         = ofOCM.Cluster().V1beta2().ManagedClusterSets()
		bindings     = ofOCM.Cluster().V1beta2().ManagedClusterSetBindings()
		profilesKept = ofInventory.Apis().V1alpha1().ClusterProfiles()
	)
	controllers := []factory.Controller{
		managedclusterset.NewManagedClusterSetController(ocm, managed, sets),
		// It makes the index of bindings that the controllers of profiles use.
		managedclustersetbinding.NewManagedClusterSetBindingController(ocm, sets, bindings),
		lease.NewClusterLeaseController(hub, ocm, managed, ofHub.Coordination().V1().Leases(), recorder),
		clusterprofile.NewClusterProfileLifecycleController(hub, managed, sets, bindings, profiles, profilesKept),
		clusterprofile.NewClusterProfileStatusController(managed, profiles, profilesKept),
	}
	ofHub.Start(ctx.Done())
	ofOCM.Start(ctx.Done())
	ofInventory.Start(ctx.Done())
	var running sync.WaitGroup
	for _, controller := range controllers {
		running.Go(func() { controller.Run(ctx, 1) })
	}
	running.Wait()
	return nil
}
