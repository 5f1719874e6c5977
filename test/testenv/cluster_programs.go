// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// controllers are those a cluster without nodes cannot do without: namespaces finish deleting, the
// ClusterRoles view, edit and admin have rules, and owned objects go with their owners.
const controllers = "namespace-controller,clusterrole-aggregation-controller,garbage-collector-controller"

// auditPolicy records who did what to which object, and no bodies.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

// Programs returns the cluster's programs in the order in which each needs the one before it.
func (c *Cluster) Programs() ([]Program, error) {
	apiServer, err := c.apiServer()
	if err != nil {
		return nil, err
	}
	programs := []Program{c.etcd(), apiServer, c.controllerManager()}
	for i := range programs {
		if programs[i].Path, err = ToolPath(programs[i].Name); err != nil {
			return nil, err
		}
		programs[i].Name = c.programName(programs[i].Name)
		programs[i].Log = filepath.Join(c.config.Logs, programs[i].Name+".log")
	}
	return programs, nil
}

func (c *Cluster) etcd() Program {
	client, peer := httpsURL(c.config.Ports.Etcd), httpsURL(c.config.Ports.EtcdPeer)
	args := []string{
		"--name=" + c.config.Name,
		"--data-dir=" + filepath.Join(c.config.Dir, "etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + c.config.Name + "=" + peer,
		"--client-cert-auth",
		"--cert-file=" + c.pki.cert("etcd"),
		"--key-file=" + c.pki.key("etcd"),
		"--trusted-ca-file=" + c.pki.cert("etcd-ca"),
		"--peer-client-cert-auth",
		"--peer-cert-file=" + c.pki.cert("etcd"),
		"--peer-key-file=" + c.pki.key("etcd"),
		"--peer-trusted-ca-file=" + c.pki.cert("etcd-ca"),
		"--log-level=warn",
	}
	if c.config.UnsafeNoFsync {
		args = append(args, "--unsafe-no-fsync")
	}
	return Program{
		Name:  etcdName,
		Args:  args,
		Ports: []int{c.config.Ports.Etcd, c.config.Ports.EtcdPeer},
		Ready: httpReady(c.pki.client(client, "etcd-ca", "etcd-client"), "/readyz"),
	}
}

// EtcdArgs returns the flags by which an API server uses the cluster's etcd.
func (c *Cluster) EtcdArgs() []string {
	return []string{
		"--etcd-servers=" + httpsURL(c.config.Ports.Etcd),
		"--etcd-cafile=" + c.pki.cert("etcd-ca"),
		"--etcd-certfile=" + c.pki.cert("etcd-client"),
		"--etcd-keyfile=" + c.pki.key("etcd-client"),
	}
}

func (c *Cluster) apiServer() (Program, error) {
	args := []string{
		"--bind-address=" + loopback,
		"--secure-port=" + strconv.Itoa(c.config.Ports.APIServer),
		"--tls-cert-file=" + c.pki.cert("apiserver"),
		"--tls-private-key-file=" + c.pki.key("apiserver"),
		"--client-ca-file=" + c.pki.cert("ca"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://" + c.config.Name + ".local",
		"--service-account-key-file=" + c.pki.key("service-account"),
		"--service-account-signing-key-file=" + c.pki.key("service-account"),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--requestheader-client-ca-file=" + c.pki.cert("front-proxy-ca"),
		"--requestheader-allowed-names=" + frontProxyUser,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		// Without it an aggregated server never learns the requester's uid.
		"--requestheader-uid-headers=X-Remote-Uid",
		"--proxy-client-cert-file=" + c.pki.cert("front-proxy"),
		"--proxy-client-key-file=" + c.pki.key("front-proxy"),
		// An APIService may then point at a Service of type ExternalName, hence at a process of this
		// machine.
		"--enable-aggregator-routing=false",
		// Endpoints of the Service kubernetes may not be loopback addresses.
		"--endpoint-reconciler-type=none",
		// It wants a default ServiceAccount in each namespace, which a controller not run here creates.
		"--disable-admission-plugins=ServiceAccount",
	}
	args = append(args, c.EtcdArgs()...)
	program := Program{
		Name:  apiServerName,
		Ports: []int{c.config.Ports.APIServer},
		Ready: httpReady(c.admin, "/readyz"),
	}
	if c.config.AuditLog != "" {
		policy := filepath.Join(c.config.Dir, "audit-policy.yaml")
		if err := writeIfChanged(policy, []byte(auditPolicy)); err != nil {
			return Program{}, err
		}
		args = append(args, auditArgs(policy, c.config.AuditLog)...)
		program.Inputs = []string{policy}
	}
	program.Args = append(args, c.config.APIServerArgs...)
	return program, nil
}

func (c *Cluster) controllerManager() Program {
	port := c.config.Ports.ControllerManager
	healthy := httpReady(c.pki.client(httpsURL(port), "ca", ""), "/healthz")
	return Program{
		Name: controllerManagerName,
		Args: []string{
			"--bind-address=" + loopback,
			"--secure-port=" + strconv.Itoa(port),
			"--tls-cert-file=" + c.pki.cert("controller-manager-serving"),
			"--tls-private-key-file=" + c.pki.key("controller-manager-serving"),
			"--kubeconfig=" + c.controllerManagerKubeconfig(),
			"--leader-elect=false",
			"--controllers=" + controllers,
		},
		Ports: []int{port},
		Ready: func(ctx context.Context) error {
			if err := healthy(ctx); err != nil {
				return err
			}
			return c.rolesAggregated(ctx)
		},
	}
}

// rolesAggregated returns nil once ClusterRole view, which the controller manager fills, has rules.
func (c *Cluster) rolesAggregated(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return err
	}
	view, err := client.RbacV1().ClusterRoles().Get(ctx, "view", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if len(view.Rules) == 0 {
		return fmt.Errorf("ClusterRole view of %s has no rules yet", c.config.Name)
	}
	return nil
}

// auditArgs keep an audit log within about 300 MB, in files that AuditLogs names.
func auditArgs(policy, log string) []string {
	return []string{
		"--audit-policy-file=" + policy,
		"--audit-log-path=" + log,
		"--audit-log-maxsize=100",
		"--audit-log-maxbackup=2",
	}
}

// AuditLogs returns the files of an audit log: the one at path, and those that took its place as it
// grew.
func AuditLogs(path string) ([]string, error) {
	return filepath.Glob(strings.TrimSuffix(path, ".log") + "*.log")
}
