// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package format

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// What Argo CD knows a cluster by, from "Clusters" in its
// docs/operator-manual/declarative-setup.md.
const (
	// ArgoCDTypeLabel and ArgoCDCluster are the label of a cluster's Secret.
	ArgoCDTypeLabel = "argocd.argoproj.io/secret-type"
	ArgoCDCluster   = "cluster"

	ArgoCDNameKey   = "name"
	ArgoCDServerKey = "server"
	ArgoCDConfigKey = "config"
	// ArgoCDNamespacesKey and those after it are there where the set says so.
	ArgoCDNamespacesKey       = "namespaces"
	ArgoCDClusterResourcesKey = "clusterResources"
	ArgoCDProjectKey          = "project"
	ArgoCDShardKey            = "shard"

	// argoCDOwnName and argoCDOwnServer are the cluster that Argo CD runs in.
	argoCDOwnName   = "in-cluster"
	argoCDOwnServer = "https://kubernetes.default.svc"
)

// argoCDConfig is the part of Argo CD's ClusterConfig that a credential needs. proxyUrl
// is read since Argo CD 2.14; one that is older ignores it and goes to the server directly.
type argoCDConfig struct {
	BearerToken     string                `json:"bearerToken"`
	TLSClientConfig argoCDTLSClientConfig `json:"tlsClientConfig"`
	ProxyURL        string                `json:"proxyUrl,omitempty"`
}

type argoCDTLSClientConfig struct {
	Insecure   bool   `json:"insecure"`
	ServerName string `json:"serverName,omitempty"`
	CAData     []byte `json:"caData,omitempty"`
}

// argoCDData returns a cluster for Argo CD. Argo CD knows its clusters by the URLs of their
// servers: where two profiles lead to one server, one of the two Secrets is as good as not there.
// What the set does not say has no key: that is Argo CD's default, or others' to set.
func argoCDData(c Credential, server *url.URL) (map[string][]byte, error) {
	says := ptr.Deref(c.ArgoCD, v1alpha1.ArgoCDCluster{})
	name := cmp.Or(says.Name, c.Cluster)
	if name == argoCDOwnName || ArgoCDServer(server.String()) == argoCDOwnServer {
		return nil, errors.New("the name " + argoCDOwnName + " and the server " + argoCDOwnServer +
			" are those of the cluster that Argo CD runs in")
	}
	cluster := c.Status.Cluster
	config, err := json.Marshal(argoCDConfig{ //nolint:gosec // a Secret is where the token goes
		BearerToken:     c.Status.Token,
		TLSClientConfig: argoCDTLSClientConfig{ServerName: cluster.TLSServerName, CAData: cluster.CertificateAuthorityData},
		ProxyURL:        cluster.ProxyURL,
	})
	if err != nil {
		return nil, errors.New("the config can't be written")
	}
	data := map[string][]byte{ArgoCDNameKey: []byte(name), ArgoCDServerKey: []byte(cluster.Server), ArgoCDConfigKey: config}
	if len(says.Namespaces) > 0 {
		data[ArgoCDNamespacesKey] = []byte(strings.Join(says.Namespaces, ","))
	}
	if says.ClusterResources != nil {
		data[ArgoCDClusterResourcesKey] = []byte(strconv.FormatBool(*says.ClusterResources))
	}
	if says.Project != "" {
		data[ArgoCDProjectKey] = []byte(says.Project)
	}
	if says.Shard != nil {
		data[ArgoCDShardKey] = []byte(strconv.FormatInt(int64(*says.Shard), 10))
	}
	return data, nil
}

// ArgoCDServer returns a server's URL as Argo CD compares it: it drops trailing slashes.
func ArgoCDServer(server string) string { return strings.TrimRight(server, "/") }
