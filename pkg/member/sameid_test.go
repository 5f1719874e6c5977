// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
)

// Profiles that claim to be one member, by their label and by what their members say, share nothing
// by that: neither connection nor breaker.
func TestPool_ForSameID(t *testing.T) {
	const id = "11111111-2222-3333-4444-555555555555"
	kubeSystem := []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"kube-system","uid":"` + id + `"}}`)
	var down [2]atomic.Bool
	var servers [2]*memberServer
	for i := range servers {
		servers[i] = newMemberServer(t, time.Now().Add(time.Hour), func(w http.ResponseWriter, r *http.Request) {
			switch {
			case down[i].Load():
				panic(http.ErrAbortHandler)
			case r.URL.Path == "/api/v1/namespaces/kube-system":
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write(kubeSystem)
			default:
				ok(w, r)
			}
		})
	}
	secrets := memberSecret(kubeconfig(t, servers[0].URL, servers[0].ca.pem, nil))
	secrets.add("n", kubeconfig(t, servers[1].URL, servers[1].ca.pem, nil)).Annotations[ClusterProfileAnnotation] = "team/forged"
	claim := func(namespace, name string, uid types.UID) *inventoryv1alpha1.ClusterProfile {
		profile := adopted()
		profile.Namespace, profile.Name, profile.UID = namespace, name, uid
		profile.Labels = map[string]string{v1alpha2.LabelInventoryMemberID: id}
		profile.Annotations = map[string]string{MemberUIDAnnotation: id}
		return profile
	}
	for broken := range servers {
		for i := range down {
			down[i].Store(i == broken)
		}
		pool := newTestPool(t, smallLimits(4, 3), secrets, testclock.NewFakeClock(time.Now()))
		clients := [2]*Client{clientOf(t, pool, claim("default", "bravelion", "uid-1")), clientOf(t, pool, claim("team", "forged", "uid-2"))}
		well := clients[1-broken]
		uid, err := well.MemberUID(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, id, uid)
		before := len(servers[1-broken].seen())
		for range 3 {
			require.Error(t, list(t.Context(), clients[broken]))
		}
		statusBecause(t, clients[broken].Error(list(t.Context(), clients[broken]), "list"), CauseBreakerOpen)
		assert.Len(t, servers[1-broken].seen(), before, "calls of one reach the other")
		require.NoError(t, list(t.Context(), well), "the breaker of one stops the other")
		statusBecause(t, clients[broken].Error(list(t.Context(), clients[broken]), "list"), CauseBreakerOpen)
		_, err = pool.For(t.Context(), claim("team", "without-a-secret", "uid-3"))
		statusBecause(t, err, CauseNoAccess)
	}
}
