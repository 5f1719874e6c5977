// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// inventory runs a hub that serves these ClusterProfiles of namespace fleet in one version, and
// returns a client for it and the paths that were asked for.
func inventory(t *testing.T, version string, profiles ...any) (*Hub, *[]string) {
	t.Helper()
	asked := &[]string{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/apis/multicluster.x-k8s.io/"+version+"/namespaces/fleet/clusterprofiles" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"NotFound","code":404}`))
			return
		}
		from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		to, next := min(from+limit, len(profiles)), ""
		if to < len(profiles) {
			next = strconv.Itoa(to)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"metadata": map[string]any{"continue": next}, "items": profiles[from:to]})
	}))
	t.Cleanup(server.Close)
	hub, err := NewHub(configFor(server, "alice"))
	require.NoError(t, err)
	return hub, asked
}

// listed returns a ClusterProfile with access providers for these clusters.
func listed(name string, clusters ...any) map[string]any {
	providers := []any{}
	for i, cluster := range clusters {
		providers = append(providers, map[string]any{"name": fmt.Sprint("provider-", i), "cluster": cluster})
	}
	return map[string]any{
		"metadata": map[string]any{"name": name, "uid": "uid-" + name},
		"status":   map[string]any{"accessProviders": providers},
	}
}

func TestHub_FindProfile(t *testing.T) {
	ca, other := newAuthority(t, "bravelion"), newAuthority(t, "other")
	const server = "https://bravelion.example.com:6443"
	at := func(server string, ca []byte) v1alpha1.Cluster {
		return v1alpha1.Cluster{Server: server, CertificateAuthorityData: ca}
	}
	bravelion, smartfish := at(server, ca), at("https://smartfish.example.com", ca)
	proxy := at("https://proxy.example.com/bravelion", other)
	unreadable := map[string]any{"server": 1}
	many := []any{listed("bravelion", bravelion)}
	for i := range 3 * pageSize {
		many = append(many, listed(fmt.Sprint("other-", i), smartfish))
	}
	for name, test := range map[string]struct {
		profiles []any
		want     string
		err      string
	}{
		"the one with the server":             {[]any{listed("smartfish", smartfish), listed("bravelion", bravelion)}, "bravelion", ""},
		"by any of its access providers":      {[]any{listed("bravelion", proxy, bravelion)}, "bravelion", ""},
		"by two of its access providers":      {[]any{listed("bravelion", bravelion, bravelion)}, "bravelion", ""},
		"beside one that can't be read":       {[]any{listed("hostile", unreadable), "hostile", listed("bravelion", bravelion)}, "bravelion", ""},
		"among many":                          {many, "bravelion", ""},
		"two that fit":                        {[]any{listed("a", bravelion), listed("b", bravelion)}, "", "both a and b have this server"},
		"two that fit, pages apart":           {append(slices.Clip(many), listed("last", bravelion)), "", "both bravelion and last"},
		"none":                                {nil, "", "none has an access provider with this server"},
		"one with the server of another port": {[]any{listed("a", at("https://bravelion.example.com", ca))}, "", "none has"},
		"one with another authority":          {[]any{listed("a", at(server, other))}, "", "none has an access provider with this server"},
		"one without an authority":            {[]any{listed("a", at(server, nil))}, "", "none has"},
		"more than is looked at": {func() (all []any) {
			for i := range maxPages*pageSize + 1 {
				all = append(all, listed(strconv.Itoa(i)))
			}
			return all
		}(), "", "there are more than 10000"},
		"more bytes than are read": {[]any{listed(strings.Repeat("x", maxPage))}, "", "there is more than"},
	} {
		for _, version := range []string{"v1alpha2", "v1alpha1"} {
			t.Run(name+", in "+version, func(t *testing.T) {
				hub, _ := inventory(t, version, test.profiles...)
				found, err := hub.FindProfile(t.Context(), "fleet", &clientauthenticationv1.Cluster{Server: server, CertificateAuthorityData: ca})
				if test.err != "" {
					require.ErrorContains(t, err, test.err)
					assert.ErrorContains(t, err, hub.config.Host)
					assert.ErrorContains(t, err, "in namespace fleet")
					assert.ErrorContains(t, err, "--profile names it")
					assert.Less(t, len(err.Error()), 8<<10)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, v1alpha1.ClusterProfileReference{Namespace: "fleet", Name: test.want, UID: "uid-bravelion"}, found)
			})
		}
	}
	t.Run("a client that does not verify the server", func(t *testing.T) {
		hub, _ := inventory(t, "v1alpha2", listed("bravelion", bravelion))
		_, err := hub.FindProfile(t.Context(), "fleet", &clientauthenticationv1.Cluster{Server: server, InsecureSkipTLSVerify: true})
		require.ErrorContains(t, err, "none has")
	})
	t.Run("a hub without ClusterProfiles", func(t *testing.T) {
		hub, asked := inventory(t, "v2")
		_, err := hub.FindProfile(t.Context(), "fleet", &clientauthenticationv1.Cluster{Server: server})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
		assert.Len(t, *asked, 2)
	})
	t.Run("a user without the right to list", func(t *testing.T) {
		hub, asked, _ := serve(t, http.StatusForbidden, forbidden+`cannot list resource \"clusterprofiles\""}`)
		_, err := hub.FindProfile(t.Context(), "fleet", &clientauthenticationv1.Cluster{Server: server})
		assert.ErrorContains(t, err, `cannot list resource "clusterprofiles"`)
		assert.ErrorContains(t, err, "--profile names it without looking")
		assert.Equal(t, http.MethodGet, asked.Method)
	})
	t.Run("an answer that is none", func(t *testing.T) {
		hub, _, _ := serve(t, http.StatusOK, `{"items":{}}`)
		_, err := hub.FindProfile(t.Context(), "fleet", &clientauthenticationv1.Cluster{Server: server})
		assert.ErrorContains(t, err, "is no list")
	})
}
