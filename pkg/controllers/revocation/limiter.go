// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/pkg/controllers/internal/loop"
)

// busyRetry is after how long to retry a grant whose member is busy with other grants.
const busyRetry = 100 * time.Millisecond

// errBusy says that the maximum number of a member's grants is being reconciled.
const errBusy = loop.RetryError(busyRetry)

// limiter prevents that one member, which may not answer, occupies all workers.
type limiter struct {
	most int
	mu   sync.Mutex
	busy map[types.UID]int
}

// enter returns whether one more grant of a ClusterProfile may be reconciled. If so, the caller must call leave afterwards.
func (l *limiter) enter(profile types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[profile] >= l.most {
		return false
	}
	l.busy[profile]++
	return true
}

func (l *limiter) leave(profile types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[profile]--; l.busy[profile] == 0 {
		delete(l.busy, profile)
	}
}
