// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// limiter bounds how many credentials the sets of one namespace select together: each takes memory here, also where it can't be had.
type limiter struct {
	// most is the limit; 0: there is none.
	most int

	mu sync.Mutex
	// selected are how many clusters the sets of a namespace select, by UID.
	selected map[string]map[types.UID]int
	// over are the sets that would select too many.
	over map[types.UID]bool
}

// take has set select so many clusters. It returns why it may not, empty if it may. A set that may not counts for none, and keeps
// the clusters that it has grants for.
func (l *limiter) take(set *v1alpha1.ClusterCredentialSet, clusters int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.selected == nil {
		l.selected, l.over = map[string]map[types.UID]int{}, map[types.UID]bool{}
	}
	of := l.selected[set.Namespace]
	if of == nil {
		of = map[types.UID]int{}
		l.selected[set.Namespace] = of
	}
	delete(of, set.UID)
	others := 0
	for _, n := range of {
		others += n
	}
	if l.most > 0 && others+clusters > l.most {
		l.over[set.UID] = true
		return fmt.Sprintf("it selects %d clusters and the other sets of the namespace %d, of at most %d together (--max-credentials-per-namespace of clusterpass-controller-manager)",
			clusters, others, l.most)
	}
	delete(l.over, set.UID)
	of[set.UID] = clusters
	return ""
}

// isOver returns whether set would select too many clusters.
func (l *limiter) isOver(set *v1alpha1.ClusterCredentialSet) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over[set.UID]
}

// drop forgets a set that is gone.
func (l *limiter) drop(set *v1alpha1.ClusterCredentialSet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.over, set.UID)
	if delete(l.selected[set.Namespace], set.UID); len(l.selected[set.Namespace]) == 0 {
		delete(l.selected, set.Namespace)
	}
}
