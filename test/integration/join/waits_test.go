// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

// watchedFor closes seen when words are written.
type watchedFor struct {
	words []byte
	all   []byte
	seen  chan struct{}
}

// Write implements io.Writer.
func (w *watchedFor) Write(p []byte) (int, error) {
	before := bytes.Contains(w.all, w.words)
	w.all = append(w.all, p...)
	if !before && bytes.Contains(w.all, w.words) {
		close(w.seen)
	}
	return len(p), nil
}

// Join waits while the server is away.
func TestJoin_ServerAway(t *testing.T) {
	joined(t, "bravelion")
	out := &watchedFor{words: []byte("waiting for condition"), seen: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		done <- clusterpassTo(t.Context(), out, "join", "bravelion", "--member-context=bravelion", "--timeout=5m")
	}()
	select {
	case <-out.seen:
	case err := <-done:
		require.Fail(t, "join has ended", "%v", err)
	}

	profiles := clusterProfiles(t)
	require.NoError(t, shared.Server.Kill())
	var away time.Time
	testenv.Eventually(t, func(ctx context.Context) error {
		// Some reads of join's fall into two seconds.
		_, err := profiles.Get(ctx, "bravelion", metav1.GetOptions{})
		if err == nil {
			away = time.Time{}
			return errors.New("it is not away")
		}
		if away.IsZero() {
			away = time.Now()
		}
		if time.Since(away) < 2*time.Second {
			return errors.New("it is not away for long")
		}
		return nil
	})
	select {
	case err := <-done:
		require.Fail(t, "join has ended", "%v", err)
	default:
	}
	require.NoError(t, shared.Server.Restart(t.Context()))
	require.NoError(t, shared.Server.Register(t.Context()))
	testenv.Eventually(t, func(ctx context.Context) error {
		profile, err := profiles.Get(ctx, "bravelion", metav1.GetOptions{})
		if err != nil {
			return err
		}
		apimeta.SetStatusCondition(&profile.Status.Conditions, metav1.Condition{
			Type: inventoryv1alpha1.ClusterConditionControlPlaneHealthy, Status: metav1.ConditionTrue, Reason: "Tried", Message: "by a test",
		})
		_, err = profiles.UpdateStatus(ctx, profile, metav1.UpdateOptions{})
		return err
	})
	require.NoError(t, <-done)
}

func TestJoin_UnreachableAddress(t *testing.T) {
	nowhere := fmt.Sprintf("https://127.0.0.1:%d", testenv.Must[[]int](t)(testenv.FreePorts(1))[0])
	joined(t, "smartfish", "--cluster-manager="+tendedBy, "--member-server="+nowhere)
	join := []string{"join", "smartfish", "--member-context=smartfish", "--cluster-manager=" + tendedBy}
	_, err := clusterpass(t.Context(), append(join, "--member-server="+nowhere, "--timeout=15s")...)
	require.ErrorContains(t, err, "connection refused")
	require.ErrorContains(t, err, "You reach the member, and the hub does not, at "+nowhere)
	require.ErrorContains(t, err, "--member-server=URL")
	out := mustClusterpass(t, append(join, "--member-server="+shared.Smartfish.Server(), longTimeout)...)
	assert.Contains(t, out, "is healthy")
}

// TestJoin_NewAddress moves a healthy member to an address that the hub does not reach, and back.
func TestJoin_NewAddress(t *testing.T) {
	nowhere := fmt.Sprintf("https://127.0.0.1:%d", testenv.Must[[]int](t)(testenv.FreePorts(1))[0])
	joined(t, "smartfish", "--cluster-manager="+tendedBy)
	join := []string{"join", "smartfish", "--member-context=smartfish", "--cluster-manager=" + tendedBy, longTimeout}
	mustClusterpass(t, join...)
	there := append(join[:len(join)-1:len(join)-1], "--member-server="+nowhere)

	out, err := clusterpass(t.Context(), append(there, "--timeout=15s")...)
	require.ErrorContains(t, err, "its condition ControlPlaneHealthy was not True", out)
	require.ErrorContains(t, err, "connection refused")
	assert.Contains(t, mustClusterpass(t, join...), "is healthy")

	t.Run("also where it is joined again before anybody has probed it", func(t *testing.T) {
		require.NoError(t, shared.Manager.Kill())
		t.Cleanup(func() { require.NoError(t, shared.Manager.Restart(context.Background())) })
		for range 2 {
			_, err := clusterpass(t.Context(), append(there, "--timeout=2s")...)
			require.ErrorContains(t, err, "it is True (Rejoined)")
		}
	})
}
