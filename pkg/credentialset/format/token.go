// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package format

import (
	"encoding/json"
	"maps"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// The keys of the format token. Upstream's secretreader plugin reads "token" from the Secret with
// the cluster's name. Kubernetes uses the names "token" and "ca.crt" in the Secret of a
// ServiceAccount. Values that are missing in the answer have no key.
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

func tokenData(c Credential) map[string][]byte {
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
	maps.DeleteFunc(data, func(_ string, value []byte) bool { return len(value) == 0 })
	return data
}

// Tokens returns every token in data, in all formats. It is for callers that look for a known
// token: other users may have changed data.
func Tokens(data map[string][]byte) []string {
	found := []string{string(data[TokenKey])}
	var config argoCDConfig
	if json.Unmarshal(data[ArgoCDConfigKey], &config) == nil {
		found = append(found, config.BearerToken)
	}
	for _, key := range []string{KueueKey, ValueKey} {
		file, err := clientcmd.Load(data[key])
		if err != nil {
			continue
		}
		for _, account := range file.AuthInfos {
			found = append(found, account.Token)
		}
	}
	return found
}
