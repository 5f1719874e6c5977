// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// TestFairAuthorizer has one user ask for very much.
func TestFairAuthorizer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		asked := map[string]int{}
		under := make(chan string, 200)
		a, err := newFairAuthorizer(authorizer.AuthorizerFunc(
			func(_ context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
				under <- attributes.GetUser().GetName()
				<-answer
				return authorizer.DecisionAllow, "", nil
			}), []string{"/readyz"})
		require.NoError(t, err)
		done := make(chan error, 200)
		review := func(ctx context.Context, name string) {
			decision, _, err := a.Authorize(ctx, authorizer.AttributesRecord{User: &user.DefaultInfo{Name: name}})
			if err == nil && decision != authorizer.DecisionAllow {
				err = errors.New("denied")
			}
			done <- err
		}
		count := func() map[string]int {
			synctest.Wait()
			for len(under) > 0 {
				asked[<-under]++
			}
			return asked
		}
		for range 100 {
			go review(t.Context(), "greedy")
		}
		assert.Equal(t, map[string]int{"greedy": maxReviewsOfUser}, count())
		impatient, cancel := context.WithCancel(t.Context())
		go review(impatient, "greedy")
		go review(t.Context(), "modest")
		assert.Equal(t, map[string]int{"greedy": maxReviewsOfUser, "modest": 1}, count(), "others do not wait")
		probe := authorizer.AttributesRecord{User: &user.DefaultInfo{Name: "greedy"}, Verb: "get", Path: "/readyz"}
		decision, _, err := a.Authorize(t.Context(), probe)
		require.NoError(t, err)
		assert.Equal(t, authorizer.DecisionAllow, decision, "probes do not wait either")
		assert.True(t, a.ConditionsAwareAuthorize(t.Context(), probe).IsAllow())

		cancel()
		synctest.Wait()
		require.ErrorIs(t, <-done, context.Canceled, "who has gone waits no longer")

		close(answer)
		for range 101 {
			require.NoError(t, <-done)
		}
		assert.Equal(t, map[string]int{"greedy": 100, "modest": 1}, count(), "all are answered")
		assert.Empty(t, a.users)
	})
}
