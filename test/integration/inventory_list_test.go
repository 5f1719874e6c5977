// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"clusterpass.dev/test/testenv"
)

func contains(err error, words string) bool {
	return err != nil && strings.Contains(err.Error(), words)
}

// A list in chunks is of one moment.
func TestList_Chunks(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	var all []string
	for i := range 7 {
		all = append(all, fmt.Sprintf("p%d", i))
		createProfile(t, namespace, newProfile(all[i], "chunks"))
	}
	page := list(t, namespace, metav1.ListOptions{Limit: 3})
	moment := page.ResourceVersion
	if ptr.Deref(page.RemainingItemCount, -1) != 4 || page.Continue == "" {
		t.Errorf("the first page says that %v items remain, and continue is %q", page.RemainingItemCount, page.Continue)
	}
	found := names(t, page)

	// What happens now is not for the pages that follow.
	createProfile(t, namespace, newProfile("p35", "chunks"))
	if err := profilesIn(t, namespace).Delete(ctx, "p6", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for page.Continue != "" {
		page = list(t, namespace, metav1.ListOptions{Limit: 3, Continue: page.Continue})
		if page.ResourceVersion != moment {
			t.Errorf("a page is of resourceVersion %s, the first of %s", page.ResourceVersion, moment)
		}
		found = append(found, names(t, page)...)
	}
	if diff := cmp.Diff(all, found); diff != "" {
		t.Errorf("all pages (-want +got):\n%s", diff)
	}

	t.Run("as kubectl asks for them", func(t *testing.T) {
		out := testenv.Must[string](t)(testenv.Kubectl(t.Context(), shared.Hub.Kubeconfig(), "", "get", "cp", "-n", namespace, "-o", "name", "--chunk-size=2"))
		if got := strings.Count(out, "clusterprofile.multicluster.x-k8s.io/"); got != 7 {
			t.Errorf("%d objects, want 7: %s", got, out)
		}
	})
	t.Run("with selectors", func(t *testing.T) {
		page := list(t, namespace, metav1.ListOptions{Limit: 2, FieldSelector: "metadata.name!=p0"})
		if diff := cmp.Diff([]string{"p1", "p2"}, names(t, page)); diff != "" || page.Continue == "" {
			t.Errorf("continue is %q, and (-want +got):\n%s", page.Continue, diff)
		}
	})
	t.Run("a continue token that is none", func(t *testing.T) {
		if _, err := profilesIn(t, namespace).List(ctx, metav1.ListOptions{Limit: 2, Continue: "bogus"}); !apierrors.IsBadRequest(err) {
			t.Errorf("got %v, want 400", err)
		}
	})
}

func TestList_ResourceVersion(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	createProfile(t, namespace, newProfile("stays", "moments"))
	goes := createProfile(t, namespace, newProfile("goes", "moments"))
	if err := profilesIn(t, namespace).Delete(ctx, "goes", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	comes := createProfile(t, namespace, newProfile("comes", "moments"))
	before, after := []string{"goes", "stays"}, []string{"comes", "stays"}
	tests := map[string]struct {
		options metav1.ListOptions
		want    []string
	}{
		"none, that is the latest": {metav1.ListOptions{}, after},
		"exactly an earlier one":   {metav1.ListOptions{ResourceVersion: goes.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact}, before},
		"exactly, in chunks":       {metav1.ListOptions{ResourceVersion: goes.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact, Limit: 5}, before},
		"not older than the last":  {metav1.ListOptions{ResourceVersion: comes.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}, after},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			found := list(t, namespace, test.options)
			if diff := cmp.Diff(test.want, names(t, found)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("0, that is any", func(t *testing.T) {
		found := list(t, namespace, metav1.ListOptions{ResourceVersion: "0"})
		// A cache may be behind, but not by more than it was behind when the request before was answered.
		if !slices.Contains(names(t, found), "stays") {
			t.Errorf("got %v", names(t, found))
		}
	})
	t.Run("a match without a resourceVersion is refused", func(t *testing.T) {
		_, err := profilesIn(t, namespace).List(ctx, metav1.ListOptions{ResourceVersionMatch: metav1.ResourceVersionMatchExact})
		if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("one from the future is not there yet", func(t *testing.T) {
		// Not by client-go, which would try again as it is told to.
		status, _, body := get(t, "/apis/multicluster.x-k8s.io/v1alpha1/clusterprofiles?resourceVersion=999999999&resourceVersionMatch=NotOlderThan", "application/json")
		if status != http.StatusGatewayTimeout || !strings.Contains(string(body), string(metav1.CauseTypeResourceVersionTooLarge)) {
			t.Errorf("got %d, want 504 that says that it is too large: %s", status, body)
		}
	})
}
