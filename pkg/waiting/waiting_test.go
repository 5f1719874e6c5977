// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package waiting

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
)

func TestUntil(t *testing.T) {
	resource := schema.GroupResource{Resource: "clusterprofiles"}
	refused := &url.Error{Op: "Get", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	forbidden := apierrors.NewForbidden(resource, "a", errors.New("no"))
	unknown := apierrors.NewForbidden(resource, "a", errors.New(`User "system:anonymous" cannot get resource "clusterprofiles"`))
	for name, test := range map[string]struct {
		// answers are given one after the other; then it is done, unless the last one ends the wait.
		answers []error
		ends    bool
	}{
		"done at once":                              {},
		"not yet":                                   {answers: []error{nil, nil}},
		"nothing listens for a moment":              {answers: []error{refused, nil, refused}},
		"the connection broke off":                  {answers: []error{&url.Error{Op: "Get", Err: io.EOF}}},
		"the server behind the hub is away":         {answers: []error{apierrors.NewServiceUnavailable("away")}},
		"the hub is busy":                           {answers: []error{apierrors.NewTooManyRequests("busy", 1)}},
		"an etcd that changes its leader":           {answers: []error{apierrors.NewInternalError(errors.New("leader changed"))}},
		"a call that takes too long":                {answers: []error{context.DeadlineExceeded}},
		"a 403 of the first call ends the wait":     {answers: []error{forbidden}, ends: true},
		"a hub that knows nobody yet":               {answers: []error{unknown}},
		"a hub that forbids after a restart":        {answers: []error{nil, refused, forbidden}},
		"a hub that knows nobody after it was away": {answers: []error{refused, apierrors.NewUnauthorized("Unauthorized")}},
		"a 403 after a busy hub ends the wait":      {answers: []error{apierrors.NewTooManyRequests("busy", 1), forbidden}, ends: true},
		"what is not there":                         {answers: []error{apierrors.NewNotFound(resource, "a")}, ends: true},
		"a login that fails asks no second time": {answers: []error{errors.New(`Get "https://hub": getting credentials: exec: exit 1`)},
			ends: true},
		"an error of the condition ends the wait": {answers: []error{nil, errors.New("deleted")}, ends: true},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			err := Until(t.Context(), time.Millisecond, time.Minute, func(context.Context) (bool, error) {
				calls++
				if calls > len(test.answers) {
					return true, nil
				}
				return false, test.answers[calls-1]
			})
			if test.ends {
				require.EqualError(t, err, test.answers[len(test.answers)-1].Error())
				return
			}
			require.NoError(t, err)
			assert.Equal(t, len(test.answers)+1, calls)
		})
	}
}

func TestUntil_Timeout(t *testing.T) {
	err := Until(t.Context(), time.Millisecond, 20*time.Millisecond, func(context.Context) (bool, error) {
		return false, apierrors.NewServiceUnavailable("the server is away")
	})
	assert.True(t, wait.Interrupted(err))
	require.ErrorContains(t, err, "the last call failed: the server is away")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = Until(ctx, time.Millisecond, time.Minute, func(context.Context) (bool, error) { return false, nil })
	assert.True(t, wait.Interrupted(err))
}
