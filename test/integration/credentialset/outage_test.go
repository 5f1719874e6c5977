// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"errors"
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"

	"clusterpass.dev/test/testenv"
)

// outage makes TestCredentialSets_Outage run: tokens live for ten minutes at least, as Kubernetes
// has it, so that it takes nine.
var outage = flag.Bool("outage", false, "run the test with an outage of the controller manager that takes nine minutes")

// An outage longer than half a life.
func TestCredentialSets_Outage(t *testing.T) {
	if !*outage {
		t.Skip("this takes nine minutes; run it with -outage")
	}
	const life, percent = 10 * time.Minute, 40
	f := startFleet(t)
	set := newSet("outage", "bravelion", "smartfish")
	set.Spec.Rotation.ExpirationSeconds = ptr.To(int64(life / time.Second))
	set.Spec.Rotation.RefreshAtPercent = ptr.To[int32](percent)
	f.createReady(t, set)
	secrets := []string{"outage-bravelion", "outage-smartfish"}
	before := map[string]string{}
	for _, name := range secrets {
		before[name] = f.secret(t, name).ResourceVersion
	}
	// The worst moment: just before the first renewal, which may come a tenth of its time early.
	works := f.useUntil(t, secrets, time.Now().Add(life*percent/100*85/100))
	f.manager.Stop()
	works(time.Now().Add(life * 55 / 100))
	for _, name := range secrets {
		assert.Equal(t, before[name], f.secret(t, name).ResourceVersion, "nothing was renewed while nobody was there")
	}
	require.NoError(t, f.manager.Restart(t.Context()))
	testenv.Eventually(t, func(context.Context) error {
		for _, name := range secrets {
			if f.secret(t, name).ResourceVersion == before[name] {
				return errors.New("the Secrets are not renewed yet")
			}
		}
		return nil
	})
	works(time.Now().Add(time.Second))
}

// useUntil uses what is in the Secrets until a time, and returns a function that does so again: no
// token has expired then.
func (f *fleet) useUntil(t *testing.T, secrets []string, end time.Time) func(end time.Time) {
	t.Helper()
	use := func(end time.Time) {
		require.NoError(t, wait.PollUntilContextCancel(t.Context(), time.Second, true, func(ctx context.Context) (bool, error) {
			for _, name := range secrets {
				if _, err := holder(t, f.secret(t, name)).CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{}); err != nil {
					return false, err
				}
			}
			return time.Now().After(end), nil
		}))
	}
	use(end)
	return use
}
