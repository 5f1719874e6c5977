// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package author

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

func TestOf(t *testing.T) {
	t.Run("the author is the user of the request", func(t *testing.T) {
		sam := &user.DefaultInfo{Name: "sam", UID: "u", Groups: []string{"g"}, Extra: map[string][]string{"k": {"v"}}}
		author := Of(genericapirequest.WithUser(t.Context(), sam))
		require.NotNil(t, author)
		require.NotNil(t, author.Since)
		assert.WithinDuration(t, time.Now(), author.Since.Time, time.Minute)
		author.Since = nil
		assert.Equal(t, v1alpha1.Author{
			Requester: v1alpha1.Requester{Username: "sam", UID: "u", Groups: []string{"g"}}, Extra: map[string][]string{"k": {"v"}},
		}, *author)

		sam.Groups[0], sam.Extra["k"][0] = "other", "other"
		assert.Equal(t, []string{"g"}, author.Groups, "it is a copy")
		assert.Equal(t, []string{"v"}, author.Extra["k"], "it is a copy")
	})
	t.Run("without a user there is no author", func(t *testing.T) {
		assert.Nil(t, Of(t.Context()))
	})
}

func TestCheckWhole(t *testing.T) {
	kim := &v1alpha1.Author{Requester: v1alpha1.Requester{Username: "kim"}}
	sam := &v1alpha1.Author{Requester: v1alpha1.Requester{Username: "sam"}}
	tests := map[string]struct {
		method, contentType string
		is, was             *v1alpha1.Author
		want                bool
	}{
		"another user may replace the spec":      {http.MethodPut, "application/json", sam, kim, true},
		"and apply it":                           {http.MethodPatch, "application/apply-patch+yaml", sam, kim, true},
		"in any spelling":                        {http.MethodPatch, " Application/Apply-Patch+CBOR; charset=utf-8", sam, kim, true},
		"but not patch a part of it":             {http.MethodPatch, "application/merge-patch+json", sam, kim, false},
		"by any patch":                           {http.MethodPatch, "application/json-patch+json", sam, kim, false},
		"nor by one of a type that is none":      {http.MethodPatch, "", sam, kim, false},
		"the author may":                         {http.MethodPatch, "application/merge-patch+json", kim, kim, true},
		"a spec without an author is nobody's":   {http.MethodPatch, "application/merge-patch+json", sam, nil, false},
		"a request without a user has no author": {http.MethodPatch, "application/merge-patch+json", nil, kim, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			called := false
			handler := WithPatch(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				called = true
				errs := CheckWhole(r.Context(), test.is, test.was, "")
				assert.Equal(t, test.want, len(errs) == 0, "%v", errs)
			}))
			request := httptest.NewRequestWithContext(t.Context(), test.method, "/", nil)
			request.Header.Set("Content-Type", test.contentType)
			handler.ServeHTTP(httptest.NewRecorder(), request)
			assert.True(t, called)
		})
	}
}
