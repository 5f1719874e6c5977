// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/metrics/testutil"
)

// fleetTimeout bounds the start of a fleet.
const fleetTimeout = 8 * time.Minute

// FleetConfig says what all tests of a package share.
type FleetConfig struct {
	// Members is how many members there are: bravelion, then smartfish. They are joined, in namespace
	// default, where there is a server, unless Unjoined says otherwise.
	Members  int
	Unjoined bool
	// Audit has all clusters write audit logs.
	Audit bool
	// APIServerArgs are added to the arguments of the kube-apiserver of a cluster.
	APIServerArgs map[string][]string
	// Server and Manager say how the programs are run; their Hub, Dir and Port are set. nil: not at
	// all.
	Server  *ServerConfig
	Manager *ControllerManagerConfig
	// Prepare is called once the clusters run, and before the programs do. nil: nothing is to be done.
	Prepare func(ctx context.Context) error
}

// Fleet is a hub with members that all tests of a package share.
type Fleet struct {
	// Dir has the files of all.
	Dir string
	Hub *Cluster
	// Bravelion and Smartfish are the members.
	Bravelion, Smartfish *Cluster
	Server               *Server
	Manager              *ControllerManager
}

// Main runs the fleet and the tests, and ends the program. The files of the fleet, logs included,
// are kept if a test has failed.
func (f *Fleet) Main(m *testing.M, config FleetConfig) {
	code, err := f.run(m, config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func (f *Fleet) run(m *testing.M, config FleetConfig) (code int, err error) {
	folder, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	if f.Dir, err = os.MkdirTemp("", "clusterpass-"+filepath.Base(folder)+"-"); err != nil {
		return 0, err
	}
	defer func() {
		f.stop()
		if code != 0 || err != nil {
			fmt.Fprintf(os.Stderr, "the files of the fleet, logs included, are kept in %s\n", f.Dir)
			return
		}
		err = os.RemoveAll(f.Dir)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), fleetTimeout)
	defer cancel()
	if err := f.start(ctx, config); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func (f *Fleet) start(ctx context.Context, config FleetConfig) error {
	if err := f.startClusters(ctx, config); err != nil {
		return err
	}
	if config.Prepare != nil {
		if err := config.Prepare(ctx); err != nil {
			return err
		}
	}
	ports, err := FreePorts(2)
	if err != nil {
		return err
	}
	if config.Server != nil {
		of := *config.Server
		of.Hub, of.Dir, of.Port = f.Hub, filepath.Join(f.Dir, "server"), ports[0]
		if f.Server, err = NewServer(of); err != nil {
			return err
		}
		if err := f.Server.Start(ctx); err != nil {
			return err
		}
	}
	if config.Server != nil && !config.Unjoined {
		for _, member := range f.members() {
			if err := Join(ctx, f.Hub, member, "default", member.Name()); err != nil {
				return err
			}
		}
	}
	if config.Manager == nil {
		return nil
	}
	of := *config.Manager
	of.Hub, of.Dir, of.Port = f.Hub, filepath.Join(f.Dir, "manager"), ports[1]
	if f.Manager, err = NewControllerManager(of); err != nil {
		return err
	}
	return f.Manager.Start(ctx)
}

func (f *Fleet) startClusters(ctx context.Context, config FleetConfig) error {
	places := []**Cluster{&f.Hub, &f.Bravelion, &f.Smartfish}[:1+config.Members]
	var starting errgroup.Group
	for i, name := range []string{"hub", "bravelion", "smartfish"}[:len(places)] {
		of, err := clusterConfig(filepath.Join(f.Dir, name), Options{Name: name, Audit: config.Audit, APIServerArgs: config.APIServerArgs[name]})
		if err != nil {
			return err
		}
		if *places[i], err = NewCluster(of); err != nil {
			return err
		}
		starting.Go(func() error { return (*places[i]).Start(ctx) })
	}
	return starting.Wait()
}

func (f *Fleet) members() []*Cluster {
	var members []*Cluster
	for _, member := range []*Cluster{f.Bravelion, f.Smartfish} {
		if member != nil {
			members = append(members, member)
		}
	}
	return members
}

func (f *Fleet) stop() {
	if f.Manager != nil {
		f.Manager.Stop()
	}
	if f.Server != nil {
		f.Server.Stop()
	}
	for _, member := range f.members() {
		member.Stop()
	}
	if f.Hub != nil {
		f.Hub.Stop()
	}
}

// Metrics returns the metrics of the program that config reaches, as it exposes them and parsed.
func Metrics(ctx context.Context, config *rest.Config) (text string, parsed testutil.Metrics, err error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", nil, err
	}
	raw, err := client.CoreV1().RESTClient().Get().AbsPath("/metrics").SetHeader("Accept", "text/plain").DoRaw(ctx)
	if err != nil {
		return "", nil, err
	}
	parsed = testutil.NewMetrics()
	return string(raw), parsed, testutil.ParseMetrics(string(raw), &parsed)
}

// Scrape returns the metrics of a Server or a ControllerManager. The test ends if that fails.
func Scrape(t testing.TB, program interface {
	DirectConfig(user string, groups ...string) (*rest.Config, error)
},
) testutil.Metrics {
	t.Helper()
	config := Must[*rest.Config](t)(program.DirectConfig("prometheus", "system:masters"))
	_, metrics, err := Metrics(t.Context(), config)
	require.NoError(t, err)
	return metrics
}

// EachAuditEvent calls do with each event that the cluster's audit log has so far.
func (c *Cluster) EachAuditEvent(t testing.TB, do func(event *auditv1.Event)) {
	t.Helper()
	require.NoError(t, EachAuditEvent(c.AuditLog(), do))
}

// EachAuditEvent calls do with each event that an audit log has so far.
func EachAuditEvent(file string, do func(event *auditv1.Event)) error {
	log, err := os.Open(file)
	if err != nil {
		return err
	}
	defer log.Close()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var event auditv1.Event
		if json.Unmarshal(lines.Bytes(), &event) == nil { // the last line may be half written
			do(&event)
		}
	}
	return lines.Err()
}
