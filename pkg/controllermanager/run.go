// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllermanager runs the controllers of clusterpass together, under one leader
// election. Options become a running manager.
package controllermanager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	kubernetesscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	_ "k8s.io/component-base/metrics/prometheus/clientgo/leaderelection" // who leads, at /metrics
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/command"
	"clusterpass.dev/pkg/controllers/importer"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/pkg/generated/informers/externalversions"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/profiles"
)

// manager has what the controllers share.
type manager struct {
	options *Options
	hubID   string
	// user is the username of this program on the hub. It is empty if the hub does not report it.
	user  string
	clock clock.WithTicker

	kubernetes kubernetes.Interface
	objects    dynamic.Interface
	client     versioned.Interface
	inventory  inventory.Interface
	versions   *profiles.Versions

	grants      externalversions.SharedInformerFactory
	profiles    inventoryinformers.SharedInformerFactory
	access      *configv1alpha1.AccessConfiguration
	secrets     *member.SecretInformers
	members     *member.Pool
	imported    []*importer.Platform
	broadcaster events.EventBroadcaster
	recorder    events.EventRecorder
}

// controller is a controller that runs in the leader.
type controller interface {
	Run(ctx context.Context)
}

// Run runs the controllers, while this replica is the leader, until ctx ends. It returns an error
// if the replica stops being the leader.
func (o *Options) Run(ctx context.Context) error {
	m, err := o.manager(ctx)
	if err != nil {
		return err
	}
	controllers, err := m.controllers()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped, err := m.serve(ctx)
	if err != nil {
		return err
	}
	defer func() {
		cancel()
		<-stopped
	}()
	return m.lead(ctx, func(ctx context.Context) { m.run(ctx, controllers) })
}

func (o *Options) manager(ctx context.Context) (*manager, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	}
	// The hub's priority and fairness bounds us, and the workers do.
	config.QPS = -1
	config = rest.AddUserAgent(config, name)
	m := &manager{options: o, hubID: o.HubID, clock: clock.RealClock{}}
	if err := m.connect(config); err != nil {
		return nil, fmt.Errorf("client for the hub: %w", err)
	}
	if m.hubID == "" {
		if m.hubID, err = grant.HubID(ctx, m.kubernetes); err != nil {
			return nil, err
		}
	}
	if m.user, err = userOf(ctx, m.kubernetes); err != nil {
		return nil, err
	}
	m.access = member.DefaultConfig()
	if o.AccessConfigFile != "" {
		if m.access, err = member.LoadFile(o.AccessConfigFile); err != nil {
			return nil, fmt.Errorf("--access-config: %w", err)
		}
	}
	// The controllers hear of a new Secret, and need no StoredOf: whoever makes many ClusterProfiles
	// that no Secret names must not have the Secrets listed, and members wait for that.
	m.secrets = member.NewSecretInformers(m.kubernetes, nil, m.objects, m.access)
	m.members, err = member.NewPool(member.Options{
		Config: m.access, Secrets: m.secrets, Stored: m.secrets.Stored, Karmada: m.secrets, Clock: m.clock,
	})
	if err != nil {
		return nil, fmt.Errorf("member clients: %w", err)
	}
	m.grants = externalversions.NewSharedInformerFactoryWithOptions(m.client, 0, externalversions.WithTransform(profiles.WithoutManagedFields))
	m.profiles = inventoryinformers.NewSharedInformerFactoryWithOptions(
		m.inventory, 0, inventoryinformers.WithTransform(profiles.WithoutManagedFields))
	// The factory gives this one to whoever asks it for ClusterProfiles.
	m.profiles.InformerFor(&inventoryv1alpha1.ClusterProfile{}, func(inventory.Interface, time.Duration) cache.SharedIndexInformer {
		return profiles.NewInformer(m.objects, m.versions)
	})
	scheme := runtime.NewScheme()
	err = errors.Join(kubernetesscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme), inventoryv1alpha1.AddToScheme(scheme))
	if err != nil {
		return nil, err
	}
	m.broadcaster = events.NewBroadcaster(&events.EventSinkImpl{Interface: m.kubernetes.EventsV1()})
	m.recorder = m.broadcaster.NewRecorder(scheme, name)
	return m, nil
}

// connect makes the clients of the hub at config.
func (m *manager) connect(config *rest.Config) (err error) {
	if m.kubernetes, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if m.client, err = versioned.NewForConfig(config); err != nil {
		return err
	}
	m.versions = profiles.NewVersions(m.kubernetes.Discovery())
	if m.inventory, err = profiles.NewClientset(config, m.versions); err != nil {
		return err
	}
	config = rest.CopyConfig(config)
	config.Wrap(m.versions.Wrap)
	m.objects, err = dynamic.NewForConfig(config)
	return err
}

// userOf returns the username of a client of the hub. It is empty if the hub is older than
// Kubernetes 1.28, or does not allow its users to ask.
func userOf(ctx context.Context, hub kubernetes.Interface) (string, error) {
	review, err := hub.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("asking the hub for this program's username: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}

// lead starts the caches, and runs work while this replica is the leader.
func (m *manager) lead(ctx context.Context, work func(ctx context.Context)) error {
	// Fill the caches before the election: then a new leader starts at once.
	go m.secrets.Run(ctx)
	go m.members.Run(ctx)
	m.grants.StartWithContext(ctx)
	m.profiles.Start(ctx.Done())
	election := m.options.LeaderElection
	if !election.LeaderElect {
		work(ctx)
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("identity for leader election: %w", err)
	}
	lock, err := resourcelock.New(election.ResourceLock, election.ResourceNamespace, election.ResourceName,
		m.kubernetes.CoreV1(), m.kubernetes.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	var led atomic.Bool
	done := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            lock,
		Name:            name,
		LeaseDuration:   election.LeaseDuration.Duration,
		RenewDeadline:   election.RenewDeadline.Duration,
		RetryPeriod:     election.RetryPeriod.Duration,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				led.Store(true)
				defer close(done)
				work(ctx)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	elector.Run(ctx)
	if led.Load() {
		<-done
	}
	if ctx.Err() == nil {
		return errors.New("another replica is the leader now")
	}
	return nil
}

func (m *manager) run(ctx context.Context, controllers []controller) {
	if err := m.broadcaster.StartRecordingToSinkWithContext(ctx); err == nil {
		defer m.broadcaster.Shutdown()
	}
	// Before the Secrets are read, all members would seem to be without access.
	if !cache.WaitForNamedCacheSyncWithContext(ctx, m.secrets.Synced) {
		return
	}
	var running sync.WaitGroup
	for _, c := range controllers {
		running.Go(func() { c.Run(ctx) })
	}
	running.Wait()
}

// NewCommand returns the command line of the controller manager.
func NewCommand() *cobra.Command {
	options := NewOptions()
	cmd := &cobra.Command{
		Use:   name,
		Short: "Revoke, repair and clean up what clusterpass has granted on member clusters",
		Long: `The clusterpass controller manager works beside the clusterpass API server. It revokes the
AuthTokenGrants that are deleted, repairs on member clusters what grants own there, and
removes what is left over. One of its replicas works, and the others wait.`,
	}
	command.Complete(cmd, options.Flags, options.Logs, func(ctx context.Context) error {
		if err := options.Validate(); err != nil {
			return err
		}
		return options.Run(ctx)
	})
	return cmd
}
