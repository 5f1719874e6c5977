// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// serveNames is a hub with some objects in the namespace fleet, two on a page, and many in crowd,
// whatever page is asked for.
func serveNames(w http.ResponseWriter, r *http.Request) {
	var list metav1.PartialObjectMetadataList
	switch r.URL.Path {
	case "/apis/multicluster.x-k8s.io/v1alpha2":
		answer(w, http.StatusOK, &metav1.APIResourceList{
			GroupVersion: "multicluster.x-k8s.io/v1alpha2", APIResources: []metav1.APIResource{{Name: "clusterprofiles"}},
		})
		return
	case "/apis/multicluster.x-k8s.io/v1alpha2/namespaces/fleet/clusterprofiles":
		list = metadataOf("bravelion", "smartfish")
	case "/apis/clusterpass.dev/v1alpha1/namespaces/fleet/placements":
		if list = metadataOf("gpu"); r.URL.Query().Get("continue") == "" {
			list = metadataOf("cpu", "disk")
			list.Continue = "more"
		}
	case "/apis/clusterpass.dev/v1alpha1/namespaces/fleet/authtokengrants":
		list = metadataOf("bravelion-work-6f3c2a", "smartfish-work-0d1e2f")
	case "/apis/clusterpass.dev/v1alpha1/namespaces/crowd/placements":
		list = metadataOf(strings.Fields(strings.Repeat("placement ", completionLimit-1))...)
		list.Continue = "more"
	default:
		http.NotFound(w, r)
		return
	}
	onlyNames := strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadataList")
	if r.URL.Query().Get("limit") != strconv.Itoa(completionLimit) || !onlyNames {
		http.Error(w, "a shell needs names only, and not all at once", http.StatusBadRequest)
		return
	}
	answer(w, http.StatusOK, &list)
}

func metadataOf(names ...string) metav1.PartialObjectMetadataList {
	list := metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"}}
	for _, name := range names {
		list.Items = append(list.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return list
}

// complete returns what a shell is given for the last of args, by a hub that answers so.
func complete(t *testing.T, hub http.HandlerFunc, args ...string) []string {
	t.Helper()
	server := httptest.NewServer(hub)
	t.Cleanup(server.Close)
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	out := succeed(t, append([]string{"__complete", "--server=" + server.URL, "--namespace=fleet"}, args...)...)
	words, _, _ := strings.Cut(out, ":") // then comes what the shell is to do
	return strings.Fields(words)
}

func TestCompletion(t *testing.T) {
	members := filepath.Join(t.TempDir(), "members")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{Contexts: map[string]*clientcmdapi.Context{"m2": {}, "m1": {}}}, members))

	both, contexts := []string{"bravelion", "smartfish"}, []string{"m1", "m2"}
	flag := "--member-kubeconfig=" + members
	for name, test := range map[string]struct {
		args, want []string
	}{
		"doctor takes any number of clusters":    {[]string{"doctor", "smartfish", ""}, []string{"bravelion"}},
		"doctor mints for clusters":              {[]string{"doctor", "--mint", ""}, both},
		"doctor prints in two formats":           {[]string{"doctor", "-o", ""}, []string{"json", "yaml"}},
		"doctor knows the modes":                 {[]string{"doctor", "--inventory", ""}, []string{"Served", "External"}},
		"kubeconfig takes any number":            {[]string{"kubeconfig", "bravelion", ""}, []string{"smartfish"}},
		"token takes one cluster":                {[]string{"token", ""}, both},
		"token takes no second one":              {[]string{"token", "bravelion", ""}, []string{}},
		"get-token takes one cluster":            {[]string{"get-token", ""}, both},
		"revoke takes any number of grants":      {[]string{"revoke", "bravelion-work-6f3c2a", ""}, []string{"smartfish-work-0d1e2f"}},
		"explain takes one placement":            {[]string{"explain", "placement", ""}, []string{"cpu", "disk", "gpu"}},
		"explain takes no second one":            {[]string{"explain", "placement", "gpu", ""}, []string{}},
		"what is begun is gone on with":          {[]string{"explain", "placement", "g"}, []string{"gpu"}},
		"unjoin takes one cluster":               {[]string{"unjoin", ""}, both},
		"grants are those for one cluster":       {[]string{"grants", ""}, both},
		"revoke selects by cluster":              {[]string{"revoke", "--cluster-profile", ""}, both},
		"join names a context of the member":     {[]string{"join", "new", flag, "--member-context", ""}, contexts},
		"unjoin names a context of the member":   {[]string{"unjoin", flag, "--member-context", ""}, contexts},
		"a hub that does not answer has nothing": {[]string{"--namespace=elsewhere", "doctor", ""}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, complete(t, serveNames, test.args...))
		})
	}
}

func TestCompletion_IsBounded(t *testing.T) {
	assert.Len(t, complete(t, serveNames, "--namespace=crowd", "explain", "placement", ""), completionLimit)

	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	begin := time.Now()
	assert.Empty(t, complete(t, silent, "explain", "placement", ""))
	assert.Less(t, time.Since(begin), 10*completionTimeout, "a shell does not wait for ever")
}
