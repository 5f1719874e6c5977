// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"path/filepath"
	"strconv"

	"k8s.io/client-go/rest"
)

// KubeletVerb is the first argument of a program that plays the kubelet, as package test/kubelet
// does it. Kubeconfig and port follow.
const KubeletVerb = "kubelet"

// KubeletProgram returns the program that plays the kubelet of the cluster: the one at path, with
// KubeletVerb. It says at port of 127.0.0.1 whether it is ready.
func (c *Cluster) KubeletProgram(path string, port int) Program {
	name := c.programName(KubeletVerb)
	return Program{
		Name:  name,
		Path:  path,
		Args:  []string{KubeletVerb, c.Kubeconfig(), strconv.Itoa(port)},
		Ports: []int{port},
		Log:   filepath.Join(c.config.Logs, name+".log"),
		Ready: httpReady(&rest.Config{Host: "http://" + hostPort(port)}, "/readyz"),
	}
}
