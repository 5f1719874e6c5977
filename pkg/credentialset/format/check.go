// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package format

import (
	"errors"
	"fmt"
	"net/url"

	"clusterpass.dev/pkg/endpoint"
)

// check returns the URL of the server that c is for, or an error if something in c is missing or
// wrong for all formats. Without a CA, the consumer verifies the server with the CAs of its system.
func check(c Credential) (*url.URL, error) {
	cluster := c.Status.Cluster
	switch {
	case c.Cluster == "":
		return nil, errors.New("the cluster has no name")
	case c.Status.Token == "":
		return nil, errors.New("the answer has no token")
	case cluster == nil:
		return nil, errors.New("the answer does not say how to reach the cluster")
	}
	if _, err := endpoint.CleanBundle(cluster.CertificateAuthorityData); err != nil {
		return nil, fmt.Errorf("certificate-authority-data %w", err)
	}
	if cluster.ProxyURL != "" {
		if _, err := endpoint.ParseProxy(cluster.ProxyURL); err != nil {
			return nil, err
		}
	}
	server, err := endpoint.ParseServer(cluster.Server)
	if err != nil {
		return nil, err
	}
	return server, endpoint.CheckHost(server)
}
