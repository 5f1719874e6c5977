// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

// KueueEnv names the environment variable that, not empty, asks for Kueue: in the local fleet and
// in tests.
const KueueEnv = "CLUSTERPASS_KUEUE"

// KueueByPlacement is its value for a fleet whose Kueue leaves it to clusterpass which clusters its
// Workloads are sent to.
const KueueByPlacement = "placement"

const (
	kueueName = "kueue"
	// KueueNamespace is where Kueue lives, and where MultiKueue looks for the Secrets with
	// kubeconfigs.
	KueueNamespace = "kueue-system"
	// kueueUser has the RBAC of the ServiceAccount that deployed managers run under, and no other.
	kueueUser = "system:serviceaccount:" + KueueNamespace + ":kueue-controller-manager"
	// kueueCA is the name that Kueue wants its authority's certificate to be for.
	kueueCA = "kueue-ca"
	// kueueWebhookHost is the name that Kueue wants its own certificate to be for.
	kueueWebhookHost = "kueue-webhook-service." + KueueNamespace + ".svc"
)

// KueueRole is what a cluster is to MultiKueue.
type KueueRole string

const (
	// KueueManager is the cluster that Jobs are submitted to, and that sends them on.
	KueueManager KueueRole = "manager"
	// KueueWorker is a cluster that Jobs run on.
	KueueWorker KueueRole = "worker"
)

// KueuePorts are those of one Kueue, all at 127.0.0.1.
type KueuePorts struct {
	Health, Webhook int
}

// KueueConfig says how Kueue is to be run.
type KueueConfig struct {
	// Cluster is the one that it admits Jobs of.
	Cluster *Cluster
	// Role is what the cluster is to MultiKueue.
	Role KueueRole
	// Dir keeps its certificate, kubeconfig and configuration. It is created, for its owner only; what
	// is there is used again.
	Dir string
	// Logs is the directory of the program's log. Empty: logs in Dir.
	Logs  string
	Ports KueuePorts
	// Edit changes the configuration (config.kueue.x-k8s.io) before it is written. Nil: it stays as it
	// is.
	Edit func(configuration map[string]any)
}

// Kueue is Kueue's manager on a cluster, with the CRDs and the RBAC that it is deployed with.
// Conversion goes through it; its admission webhooks are left out, so that a Job has to say itself
// what they would add: suspend, and on the manager cluster managedBy.
type Kueue struct {
	config KueueConfig
	ca     *authority
	single
}

// NewKueue prepares everything on disk that Kueue needs, and starts nothing.
func NewKueue(config KueueConfig) (*Kueue, error) {
	logs, name := cmp.Or(config.Logs, filepath.Join(config.Dir, "logs")), config.Cluster.programName(kueueName)
	k := &Kueue{config: config, single: single{name: name, log: filepath.Join(logs, name+".log")}}
	for _, dir := range []string{k.pki(), k.manifests(), logs} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if err := k.loadOrCreatePKI(); err != nil {
		return nil, fmt.Errorf("certificates of %s: %w", name, err)
	}
	if err := config.Cluster.writeKubeconfig(k.kubeconfig(), kueueName, filepath.Join(k.pki(), "client")); err != nil {
		return nil, fmt.Errorf("kubeconfig of %s: %w", name, err)
	}
	return k, k.writeConfiguration()
}

// loadOrCreatePKI keeps what Kueue's own management of certificates finds right and leaves alone.
// Without that management Kueue reads a certificate from /etc/kueue, which not everybody may write.
func (k *Kueue) loadOrCreatePKI() error {
	// The authority finds its key made: Kueue reads it as RSA only.
	if _, err := loadOrCreateKey(filepath.Join(k.pki(), "ca.key"), newRSAKey); err != nil {
		return err
	}
	var err error
	if k.ca, err = loadOrCreateAuthority(k.pki(), "ca", kueueCA); err != nil {
		return err
	}
	// These names of the files are controller-runtime's.
	if err := k.ca.loadOrIssue(k.pki(), "tls", leaf{hosts: []string{kueueWebhookHost, loopback}}); err != nil {
		return err
	}
	return k.config.Cluster.pki.ca.loadOrIssue(k.pki(), "client", leaf{user: kueueUser})
}

// Start installs Kueue on the cluster, runs it as a child of this process and waits until it
// serves. After an error, Stop ends it.
func (k *Kueue) Start(ctx context.Context) error {
	if err := k.Install(ctx); err != nil {
		return err
	}
	program, err := k.Program()
	if err != nil {
		return err
	}
	return k.group.start(ctx, program)
}

// Program returns its program. Install has to come before it is started: without its CRDs Kueue
// ends at once.
func (k *Kueue) Program() (Program, error) {
	path, err := KueuePath()
	if err != nil {
		return Program{}, err
	}
	return Program{
		Name:   k.name,
		Path:   path,
		Args:   []string{"--config=" + k.configuration(), "--kubeconfig=" + k.kubeconfig()},
		Ports:  []int{k.config.Ports.Health, k.config.Ports.Webhook},
		Log:    k.log,
		Inputs: []string{k.configuration()},
		Ready:  httpReady(&rest.Config{Host: "http://" + hostPort(k.config.Ports.Health)}, "/readyz"),
	}, nil
}

func (k *Kueue) pki() string { return filepath.Join(k.config.Dir, "pki") }

func (k *Kueue) manifests() string { return filepath.Join(k.config.Dir, "manifests") }

func (k *Kueue) kubeconfig() string { return filepath.Join(k.config.Dir, "kubeconfig.yaml") }

func (k *Kueue) configuration() string { return filepath.Join(k.config.Dir, "config.yaml") }

// StartKueue runs Kueue on the cluster until the test ends. Dir and Ports of config may be empty.
func StartKueue(t testing.TB, cluster *Cluster, config KueueConfig) *Kueue {
	t.Helper()
	config.Cluster = cluster
	if config.Dir == "" {
		config.Dir = keptOnFailure(t, cluster.programName(kueueName))
	}
	if config.Ports == (KueuePorts{}) {
		ports := Must[[]int](t)(FreePorts(2))
		config.Ports = KueuePorts{Health: ports[0], Webhook: ports[1]}
	}
	kueue := Must[*Kueue](t)(NewKueue(config))
	start(t, kueue)
	return kueue
}

// RequireKueue skips the test where Kueue was not built, and fails it where KueueEnv says that it
// should have been.
func RequireKueue(t testing.TB) {
	t.Helper()
	_, err := KueuePath()
	if err == nil {
		return
	}
	if os.Getenv(KueueEnv) != "" {
		require.NoError(t, err)
	}
	t.Skipf("this needs Kueue (make test-kueue): %v", err)
}
