// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

// PID returns the process id of one process (etcd, kube-apiserver or kube-controller-manager) that
// Start started.
func (c *Cluster) PID(name string) (int, error) { return c.group.pid(c.programName(name)) }

// PID returns the process id of what Start started.
func (s *single) PID() (int, error) { return s.group.pid(s.name) }

func (g *group) pid(name string) (int, error) {
	p, err := g.get(name)
	if err != nil {
		return 0, err
	}
	return p.cmd.Process.Pid, nil
}
