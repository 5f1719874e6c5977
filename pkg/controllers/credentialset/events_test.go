// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/client-go/tools/cache"
)

func TestLanes_Pop(t *testing.T) {
	key := func(namespace, set string, cluster int) credentialKey {
		return credentialKey{cache.NewObjectName(namespace, set), strconv.Itoa(cluster)}
	}
	hopeless := map[credentialKey]bool{}
	l := &lanes{failing: func(key credentialKey) bool { return hopeless[key] }, first: newTurns(), later: newTurns()}
	// A tenant's sets can get nothing, another one has as many clusters in one set, and beside these
	// there are two sets with a cluster each.
	for i := range 100 {
		for set := range 5 {
			key := key("tenant", fmt.Sprint("hopeless", set), i)
			hopeless[key] = true
			l.Push(key)
		}
		l.Push(key("large", "all", i))
	}
	l.Push(key("large", "one", 0))
	l.Push(key("small", "one", 0))
	assert.Equal(t, 602, l.Len())

	at := map[credentialKey]int{}
	failing := 0
	for i := range 602 {
		popped := l.Pop()
		_, twice := at[popped]
		assert.False(t, twice, "%v comes twice", popped)
		at[popped] = i
		if i < 80 && hopeless[popped] {
			failing++
		}
	}
	assert.Zero(t, l.Len())
	assert.Less(t, at[key("small", "one", 0)], 3, "a namespace waits for no other")
	assert.Less(t, at[key("large", "one", 0)], 6, "a set waits for no other of its namespace")
	assert.Equal(t, 80/failingShare, failing, "those that failed come last, but have their share")
	assert.Less(t, at[key("large", "all", 98)], 120)
}
