// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"clusterpass.dev/test/testenv"
)

const (
	portBaseEnv     = "CLUSTERPASS_PORT_BASE"
	defaultPortBase = 18400
	localDirEnv     = "CLUSTERPASS_LOCAL_DIR"
	defaultLocalDir = ".local"

	// portsPerCluster leaves room for more processes in a cluster's range.
	portsPerCluster = 10
	// fleetPorts is what one fleet may use from the base on.
	fleetPorts = 34
)

// hubName and memberNames are the clusters of the fleet, in the order of their ports.
const hubName = "hub"

var memberNames = []string{"bravelion", "smartfish"}

// settings are all that two fleets on one machine differ in.
type settings struct {
	// root is the source tree, dir the directory of the fleet; both absolute.
	root, dir string
	portBase  int
	// kueue says that the fleet has Kueue: it is asked for, or was when what runs was started.
	kueue bool
	// byPlacement says that Kueue leaves it to the controller manager which clusters are nominated: it
	// is asked for, or was.
	byPlacement bool
}

func settingsFromEnv() (settings, error) {
	root, err := testenv.ModuleRoot()
	if err != nil {
		return settings{}, err
	}
	s := settings{root: root, dir: os.Getenv(localDirEnv), portBase: defaultPortBase}
	if s.dir == "" {
		s.dir = defaultLocalDir
	}
	if !filepath.IsAbs(s.dir) {
		s.dir = filepath.Join(root, s.dir)
	}
	asked := os.Getenv(testenv.KueueEnv)
	running := exists(recordPath(s.records(), hubName+"-kueue"))
	s.kueue = asked != "" || running
	s.byPlacement = asked == testenv.KueueByPlacement || asked == "" && running && exists(s.dispatching())
	base := os.Getenv(portBaseEnv)
	if base == "" {
		return s, nil
	}
	s.portBase, err = strconv.Atoi(base)
	if err != nil || s.portBase < 1024 || s.portBase > 65536-fleetPorts {
		return settings{}, fmt.Errorf("%s=%s: want a port from 1024 to %d", portBaseEnv, base, 65536-fleetPorts)
	}
	return s, nil
}

func (s settings) kubeconfig(cluster string) string {
	return filepath.Join(s.dir, "kubeconfig", cluster+".yaml")
}

// clusterDir keeps the data and the keys of a cluster, kueueDir those of its Kueue.
func (s settings) clusterDir(cluster string) string { return filepath.Join(s.dir, cluster) }

func (s settings) kueueDir(cluster string) string { return filepath.Join(s.dir, cluster+"-kueue") }

// dispatching is a file that is there when Kueue was last started byPlacement.
func (s settings) dispatching() string { return filepath.Join(s.dir, "kueue-by-placement") }

func (s settings) logs() string { return filepath.Join(s.dir, "logs") }

func (s settings) records() string { return filepath.Join(s.dir, "run") }

// clusterPorts returns the ports of the i-th cluster of the fleet.
func (s settings) clusterPorts(i int) testenv.Ports {
	base := s.portBase + i*portsPerCluster
	return testenv.Ports{APIServer: base, Etcd: base + 1, EtcdPeer: base + 2, ControllerManager: base + 3}
}

// kueuePorts returns those of Kueue on the i-th cluster.
func (s settings) kueuePorts(i int) testenv.KueuePorts {
	base := s.portBase + i*portsPerCluster
	return testenv.KueuePorts{Health: base + 4, Webhook: base + 5}
}

// kubeletPort returns that of the stand-in for the kubelet of the i-th cluster.
func (s settings) kubeletPort(i int) int { return s.portBase + i*portsPerCluster + 6 }

func (s settings) serverPort() int {
	return s.portBase + (1+len(memberNames))*portsPerCluster
}

func (s settings) managerPort() int { return s.serverPort() + 1 }

// writeExports prints what a shell has to evaluate to use the fleet: kubectl then talks to the hub
// as its admin, with --context=NAME to a member, and has our plugin. A comment says how to be the
// ordinary user.
func writeExports(s settings, out io.Writer) error {
	kubeconfigs := []string{s.kubeconfig(hubName)}
	for _, member := range memberNames {
		kubeconfigs = append(kubeconfigs, s.kubeconfig(member))
	}
	// kubectl keeps what it discovers under ~/.kube by address and port, which another fleet may have
	// had before.
	_, err := fmt.Fprintf(out, "export KUBECONFIG=%s\nexport KUBECACHEDIR=%s\nexport PATH=%s:%s:\"$PATH\"\n"+
		"# The hub's admin. To be %s, an ordinary user: export KUBECONFIG=%s\n",
		shellQuote(strings.Join(kubeconfigs, ":")), shellQuote(filepath.Join(s.dir, "kubectl-cache")),
		shellQuote(filepath.Join(s.root, "bin", "tools")), shellQuote(filepath.Join(s.root, "bin")),
		userName, shellQuote(s.kubeconfig(userName)))
	return err
}

// shellQuote returns a word that a shell reads as s, whatever is in it.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
