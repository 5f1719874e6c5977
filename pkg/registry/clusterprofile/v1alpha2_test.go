// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/test/registrytest"
)

// A request in v1alpha2 removes what that version lacks, and one in v1alpha1 leaves it.
func TestStrategy_PrepareForUpdateInVersions(t *testing.T) {
	legacy := func() *inventoryv1alpha1.ClusterProfile {
		p := profile()
		p.Status.CredentialProviders = []inventoryv1alpha1.AccessProvider{{Name: "old", Cluster: clientcmdv1.Cluster{Server: "https://old"}}}
		p.Status.AccessProviders = []inventoryv1alpha1.AccessProvider{
			{Name: "a", Cluster: clientcmdv1.Cluster{Server: "https://a", CertificateAuthority: "/ca.crt"}},
		}
		return p
	}
	modern := legacy()
	modern.Status.CredentialProviders, modern.Status.AccessProviders[0].Cluster.CertificateAuthority = nil, ""
	for version, want := range map[string]*inventoryv1alpha1.ClusterProfile{"v1alpha1": legacy(), "v1alpha2": modern} {
		t.Run(version, func(t *testing.T) {
			ctx := genericapirequest.WithRequestInfo(t.Context(),
				&genericapirequest.RequestInfo{APIGroup: v1alpha2.GroupName, APIVersion: version})
			old, updated := legacy(), legacy()
			updated.Status = inventoryv1alpha1.ClusterProfileStatus{}
			newStrategy(nil).PrepareForUpdate(ctx, updated, old)
			assert.Equal(t, want, updated)
			assert.Equal(t, legacy(), old, "the stored object was changed")
		})
	}
}

// Errors of v1alpha2 name the field.
func TestStatusStrategy_ValidateV1alpha2Errors(t *testing.T) {
	const (
		tooLong  = "Too long: may not be more than 253 bytes"
		badProxy = "cluster.proxy-url: Invalid value: must be a URL with the scheme http, https or socks5 and a host"
	)
	long := strings.Repeat("a", v1alpha2.MaxNameLength+1)
	provider := func(name string, cluster clientcmdv1.Cluster) inventoryv1alpha1.AccessProvider {
		return inventoryv1alpha1.AccessProvider{Name: name, Cluster: cluster}
	}
	for name, test := range map[string]struct {
		providers, stored []inventoryv1alpha1.AccessProvider
		want              []string
	}{
		"an absent cluster": {providers: []inventoryv1alpha1.AccessProvider{provider("a", clientcmdv1.Cluster{})},
			want: []string{"cluster.server: Required value"}},
		"long names": {
			providers: []inventoryv1alpha1.AccessProvider{provider(long, clientcmdv1.Cluster{Server: "https://a", TLSServerName: long})},
			want:      []string{"name: " + tooLong, "cluster.tls-server-name: " + tooLong},
		},
		"a password in a proxy": {
			providers: []inventoryv1alpha1.AccessProvider{provider("a", clientcmdv1.Cluster{Server: "https://a", ProxyURL: "ftp://me:secret@b"})},
			want:      []string{badProxy},
		},
		"what is stored": {
			providers: []inventoryv1alpha1.AccessProvider{provider("a", clientcmdv1.Cluster{Server: "b", ProxyURL: "new"})},
			stored:    []inventoryv1alpha1.AccessProvider{provider("a", clientcmdv1.Cluster{Server: "b", ProxyURL: "c"})},
			want:      []string{badProxy},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			errs := validateV1alpha2Status(&inventoryv1alpha1.ClusterProfileStatus{AccessProviders: test.providers},
				&inventoryv1alpha1.ClusterProfileStatus{AccessProviders: test.stored}, nil)
			for _, message := range registrytest.Messages(errs) {
				got = append(got, strings.TrimPrefix(message, "accessProviders[0]."))
			}
			assert.Equal(t, test.want, got)
		})
	}
}
