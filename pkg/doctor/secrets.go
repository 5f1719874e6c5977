// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// checkSecrets looks for secrets in the access providers of ClusterProfiles, which everybody with
// the ClusterRole view may read. It names the field, and shows nothing of what is in there.
func checkSecrets(_ context.Context, e *examination) findings {
	var f findings
	if !e.haveProfiles(&f) {
		return f
	}
	for i := range e.hub.profiles.value.items {
		profile := &e.hub.profiles.value.items[i]
		fields := secretFields(profile)
		if len(fields) == 0 {
			f.ok(aboutProfile(profile), "there is no secret in its access providers")
			continue
		}
		f.fail(aboutProfile(profile), fmt.Sprintf("Replace the secret, because others may have seen it, and remove it here: "+
			"kubectl -n %s edit clusterprofile %s --subresource=status", profile.Namespace, profile.Name),
			"everybody who may read it sees what should be secret, in %s", strings.Join(fields, ", "))
	}
	return f
}

// secretFields returns the paths of what looks like a secret.
func secretFields(profile *inventoryv1alpha1.ClusterProfile) []string {
	var found []string
	lists := map[string][]inventoryv1alpha1.AccessProvider{
		"status.accessProviders": profile.Status.AccessProviders, "status.credentialProviders": profile.Status.CredentialProviders,
	}
	for list, providers := range lists {
		for i := range providers {
			cluster := &providers[i].Cluster
			path := fmt.Sprintf("%s[%d].cluster.", list, i)
			if holdsSecret(cluster.Server) {
				found = append(found, path+"server")
			}
			if holdsSecret(cluster.ProxyURL) {
				found = append(found, path+"proxy-url")
			}
			if hasKey(cluster.CertificateAuthorityData) {
				found = append(found, path+"certificate-authority-data")
			}
			for j := range cluster.Extensions {
				var content any
				if json.Unmarshal(cluster.Extensions[j].Extension.Raw, &content) == nil && hasSecret("", content) {
					found = append(found, fmt.Sprintf("%sextensions[%d]", path, j))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

// holdsSecret returns whether the URL of a server or a proxy has more than says where that is.
func holdsSecret(address string) bool {
	parsed, err := url.Parse(address)
	if err != nil {
		return strings.ContainsAny(address, "@?#")
	}
	return parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != ""
}

// hasKey returns whether there is a private key among certificates.
func hasKey(data []byte) bool {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return false
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return true
		}
	}
}

var (
	// secretName is how fields, headers and environment variables with a secret are called.
	secretName = regexp.MustCompile(`(?i)(passw(or)?d|token|authorization|api_?key|private_?key|client-?key-?data|secret_?(access_?)?key)$`)
	// tokenWords are how a JSON Web Token begins.
	tokenWords = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.`)
)

// hasSecret returns whether there is a secret in what an extension has under a name, by the name or
// by the looks of it.
func hasSecret(name string, content any) bool {
	switch value := content.(type) {
	case string:
		parsed, err := url.Parse(value)
		return value != "" && secretName.MatchString(name) || tokenWords.MatchString(value) || hasKey([]byte(value)) ||
			err == nil && parsed.Host != "" && parsed.User != nil
	case []any:
		return slices.ContainsFunc(value, func(item any) bool { return hasSecret(name, item) })
	case map[string]any:
		// An environment variable or a header is {name: NAME, value: VALUE}.
		if named, ok := value["name"].(string); ok && hasSecret(named, value["value"]) {
			return true
		}
		for key, item := range value {
			if hasSecret(key, item) {
				return true
			}
		}
	}
	return false
}
