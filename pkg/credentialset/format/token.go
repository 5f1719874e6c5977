// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package format

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The keys of the format token. "token" is what upstream's secretreader plugin reads
// (from the Secret named as the cluster), and with "ca.crt" the names that Kubernetes has
// for them in the Secret of a ServiceAccount. What the answer doesn't have has no key.
const (
	TokenKey = "token"
	CAKey    = "ca.crt"
	// ServerKey is the URL of the API server.
	ServerKey        = "server"
	TLSServerNameKey = "tls-server-name"
	ProxyURLKey      = "proxy-url"
	// ExpirationTimestampKey is when the token expires, in RFC 3339 and UTC.
	ExpirationTimestampKey = "expirationTimestamp"
)

func tokenSecret(c Credential) *Secret {
	cluster := c.Status.Cluster
	data := map[string][]byte{
		TokenKey:         []byte(c.Status.Token),
		CAKey:            cluster.CertificateAuthorityData,
		ServerKey:        []byte(cluster.Server),
		TLSServerNameKey: []byte(cluster.TLSServerName),
		ProxyURLKey:      []byte(cluster.ProxyURL),
	}
	if expires := c.Status.ExpirationTimestamp; expires != nil {
		data[ExpirationTimestampKey] = []byte(expires.UTC().Format(time.RFC3339))
	}
	for key, value := range data {
		if len(value) == 0 {
			delete(data, key)
		}
	}
	return &Secret{Type: corev1.SecretTypeOpaque, Data: data}
}
