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

// limiter bounds how many credentials all sets of one namespace select together. Each credential
// takes memory in the controller, even if it cannot be issued.
type limiter struct {
	// most is the limit. Zero means no limit.
	most int

	mu sync.Mutex
	// selected has the number of credentials of each set within the limit, by namespace and by UID of
	// the set.
	selected map[string]map[types.UID]int
}

// reserve counts the clusters that set selects. It returns why the set exceeds the limit, or "" if
// it does not. A set that exceeds the limit is not counted, and keeps the clusters that it has
// grants for. A set that keeps no credentials is not counted either.
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
		return fmt.Sprintf("it selects %d clusters and the other sets of the namespace %d, "+
			"of at most %d together (--max-credentials-per-namespace of clusterpass-controller-manager)", clusters, others, l.most)
	}
	of[set.UID] = clusters
	return ""
}

// isWithin returns whether set has been counted and is within the limit. After a start, it returns
// false until the set has been counted.
func (l *limiter) isWithin(set *v1alpha1.ClusterCredentialSet) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, within := l.selected[set.Namespace][set.UID]
	return within
}

// drop removes a deleted set.
func (l *limiter) drop(set *v1alpha1.ClusterCredentialSet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.selected[set.Namespace], set.UID); len(l.selected[set.Namespace]) == 0 {
		delete(l.selected, set.Namespace)
	}
}
