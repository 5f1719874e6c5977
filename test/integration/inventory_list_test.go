// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"clusterpass.dev/test/testenv"
)

// A list in chunks is of one moment.
func TestList_Chunks(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	var all []string
	for i := range 7 {
		all = append(all, fmt.Sprintf("p%d", i))
		createProfile(t, namespace, testenv.NewProfile(all[i], "chunks"))
	}
	page := list(t, namespace, metav1.ListOptions{Limit: 3})
	moment := page.ResourceVersion
	assert.EqualValues(t, 4, ptr.Deref(page.RemainingItemCount, -1))
	assert.NotEmpty(t, page.Continue)
	found := names(t, page)

	// What happens now is not for the pages that follow.
	createProfile(t, namespace, testenv.NewProfile("p35", "chunks"))
	require.NoError(t, profilesIn(t, namespace).Delete(ctx, "p6", metav1.DeleteOptions{}))
	for page.Continue != "" {
		page = list(t, namespace, metav1.ListOptions{Limit: 3, Continue: page.Continue})
		assert.Equal(t, moment, page.ResourceVersion)
		found = append(found, names(t, page)...)
	}
	assert.Equal(t, all, found)

	t.Run("as kubectl asks for them", func(t *testing.T) {
		out := testenv.Must[string](t)(testenv.Kubectl(t.Context(), shared.Hub.Kubeconfig(), "", "get", "cp", "-n", namespace, "-o", "name",
			"--chunk-size=2"))
		assert.Equal(t, 7, strings.Count(out, "clusterprofile.multicluster.x-k8s.io/"), out)
	})
	t.Run("with selectors", func(t *testing.T) {
		page := list(t, namespace, metav1.ListOptions{Limit: 2, FieldSelector: "metadata.name!=p0"})
		assert.Equal(t, []string{"p1", "p2"}, names(t, page))
		assert.NotEmpty(t, page.Continue)
	})
	t.Run("a continue token that is none", func(t *testing.T) {
		_, err := profilesIn(t, namespace).List(ctx, metav1.ListOptions{Limit: 2, Continue: "bogus"})
		assert.True(t, apierrors.IsBadRequest(err), "%v", err)
	})
}

func TestList_ResourceVersion(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	createProfile(t, namespace, testenv.NewProfile("stays", "moments"))
	goes := createProfile(t, namespace, testenv.NewProfile("goes", "moments"))
	require.NoError(t, profilesIn(t, namespace).Delete(ctx, "goes", metav1.DeleteOptions{}))
	comes := createProfile(t, namespace, testenv.NewProfile("comes", "moments"))
	before, after := []string{"goes", "stays"}, []string{"comes", "stays"}
	tests := map[string]struct {
		options metav1.ListOptions
		want    []string
	}{
		"none, that is the latest": {metav1.ListOptions{}, after},
		"exactly an earlier one": {metav1.ListOptions{ResourceVersion: goes.ResourceVersion,
			ResourceVersionMatch: metav1.ResourceVersionMatchExact}, before},
		"exactly, in chunks": {metav1.ListOptions{ResourceVersion: goes.ResourceVersion,
			ResourceVersionMatch: metav1.ResourceVersionMatchExact, Limit: 5}, before},
		"not older than the last": {metav1.ListOptions{ResourceVersion: comes.ResourceVersion,
			ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}, after},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			found := list(t, namespace, test.options)
			assert.Equal(t, test.want, names(t, found))
		})
	}
	t.Run("0, that is any", func(t *testing.T) {
		found := list(t, namespace, metav1.ListOptions{ResourceVersion: "0"})
		// A cache may be behind, but not by more than it was behind when the request before was answered.
		assert.Contains(t, names(t, found), "stays")
	})
	t.Run("a match without a resourceVersion is refused", func(t *testing.T) {
		_, err := profilesIn(t, namespace).List(ctx, metav1.ListOptions{ResourceVersionMatch: metav1.ResourceVersionMatchExact})
		assert.True(t, apierrors.IsInvalid(err) || apierrors.IsBadRequest(err), "%v", err)
	})
	t.Run("one from the future is not there yet", func(t *testing.T) {
		// Not by client-go, which would try again as Retry-After says.
		const path = "/apis/multicluster.x-k8s.io/v1alpha1/clusterprofiles?resourceVersion=999999999&resourceVersionMatch=NotOlderThan"
		status, _, body := get(t, path, "application/json")
		assert.Equal(t, http.StatusGatewayTimeout, status)
		assert.Contains(t, string(body), string(metav1.CauseTypeResourceVersionTooLarge))
	})
}
