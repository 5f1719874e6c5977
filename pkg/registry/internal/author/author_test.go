// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package author

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

func TestTheAuthorIsTheUserOfTheRequest(t *testing.T) {
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
}

func TestWithoutAUserThereIsNoAuthor(t *testing.T) {
	assert.Nil(t, Of(t.Context()))
}
