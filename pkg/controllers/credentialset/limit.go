// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
)

// limiter bounds how many credentials the sets of one namespace select together: each takes memory here, also where it can't be had.
type limiter struct {
	// most is the limit; 0: there is none.
	most int

	mu sync.Mutex
	// selected is how many credentials the sets of a namespace select, by UID, of those sets that are within the limit.
	selected map[string]map[types.UID]int
}

// reserve counts the clusters that set selects. It returns why the set may not select so many, empty if it may. A set that may not counts for
// none, and keeps the clusters that it has grants for. One that keeps no credentials counts for none, either.
func (l *limiter) reserve(set *v1alpha1.ClusterCredentialSet, clusters int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !credentialset.KeepsCredentials(set) {
		clusters = 0
	}
	if l.selected == nil {
		l.selected = map[string]map[types.UID]int{}
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
	if l.most > 0 && clusters > 0 && others+clusters > l.most {
		return fmt.Sprintf("it selects %d clusters and the other sets of the namespace %d, of at most %d together (--max-credentials-per-namespace of clusterpass-controller-manager)",
			clusters, others, l.most)
	}
	of[set.UID] = clusters
	return ""
}

// isWithin returns whether set was counted and is within the limit. A set that was not counted yet, after a start, is not.
func (l *limiter) isWithin(set *v1alpha1.ClusterCredentialSet) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, within := l.selected[set.Namespace][set.UID]
	return within
}

// drop forgets a set that is gone.
func (l *limiter) drop(set *v1alpha1.ClusterCredentialSet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.selected[set.Namespace], set.UID); len(l.selected[set.Namespace]) == 0 {
		delete(l.selected, set.Namespace)
	}
}
