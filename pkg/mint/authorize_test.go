// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// TestMinter_Authorize counts what a request costs the hub that is refused.
func TestMinter_Authorize(t *testing.T) {
	many := func(r *v1alpha1.AuthTokenRequestSpec) {
		r.ClusterRoles, r.Roles = nil, nil
		for i := range v1alpha1.MaxRoles {
			r.ClusterRoles = append(r.ClusterRoles, v1alpha1.ClusterRole{Name: fmt.Sprintf("role-%02d", i)})
			r.Audiences = append(r.Audiences, fmt.Sprintf("audience-%02d", i))
		}
	}
	for name, test := range map[string]struct {
		change  func(*v1alpha1.AuthTokenRequestSpec)
		lacks   string
		failure error
		reviews int
		words   []string
	}{
		"who holds all is reviewed for all": {change: many, reviews: 42},
		"a user without the right to ask costs one review": {change: many, lacks: "create", reviews: 1,
			words: []string{"lacks: create on clusterprofiles/token", "(not reviewed: audience:audience-00 on", "in:default on"}},
		"no more are begun after one that is missing": {
			change: many, lacks: "audience:audience-03", reviews: 9,
			words: []string{"lacks: audience:audience-03 on", "(not reviewed: audience:audience-08 on"},
		},
		"all of a few missing rights are reported": {
			change: func(r *v1alpha1.AuthTokenRequestSpec) { r.ClusterRoles = []v1alpha1.ClusterRole{{Name: "view"}} },
			lacks:  "bind:view in:default", reviews: 3, words: []string{"lacks: bind:view on", "; in:default on"},
		},
		"an authoriser that fails": {change: many, failure: errors.New("the hub is away"), reviews: 1, words: []string{"the hub is away"}},
	} {
		t.Run(name, func(t *testing.T) {
			var reviews atomic.Int32 // some are under way at once
			m := &Minter{refusals: newRefusals(), Config: Config{Clock: clock.RealClock{}, Authorizer: authorizer.AuthorizerFunc(
				func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
					reviews.Add(1)
					if test.failure != nil {
						return authorizer.DecisionNoOpinion, "", test.failure
					}
					for lacks := range strings.FieldsSeq(test.lacks) {
						if a.GetVerb() == lacks {
							return authorizer.DecisionNoOpinion, "", nil
						}
					}
					return authorizer.DecisionAllow, "", nil
				})}}
			r := Request{User: &user.DefaultInfo{Name: "jane"}, Spec: validRequest().Spec}
			test.change(&r.Spec)
			err := m.authorize(t.Context(), r)
			assert.EqualValues(t, test.reviews, reviews.Load())
			if len(test.words) == 0 {
				require.NoError(t, err)
				return
			}
			for _, words := range test.words {
				require.ErrorContains(t, err, words)
			}
			assert.Equal(t, test.failure == nil, apierrors.IsForbidden(err))
			assert.Equal(t, len(test.words) > 1 && strings.Contains(test.words[1], "not reviewed"), strings.Contains(err.Error(), "not reviewed"))
		})
	}
}
