// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

func TestAuthorEnd(t *testing.T) {
	made := metav1.NewTime(time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC))
	noted := metav1.NewTime(made.AddDate(0, 0, 7))
	const maxAge = 90 * 24 * time.Hour
	author := func(name string, since *metav1.Time) *v1alpha1.Author {
		return &v1alpha1.Author{Requester: v1alpha1.Requester{Username: name}, Since: since}
	}
	for name, test := range map[string]struct {
		author *v1alpha1.Author
		maxAge time.Duration
		want   time.Time
	}{
		"a user's is so long after the user was noted":    {author("kim", &noted), maxAge, noted.Add(maxAge)},
		"after the set was made, where that is unknown":   {author("kim", nil), maxAge, made.Add(maxAge)},
		"there is none without a greatest age":            {author("kim", &noted), 0, time.Time{}},
		"nor for a ServiceAccount":                        {author("system:serviceaccount:team:deployer", &noted), maxAge, time.Time{}},
		"what only looks like a ServiceAccount is a user": {author("system:serviceaccount:team", &noted), maxAge, noted.Add(maxAge)},
		"nor without an author":                           {nil, maxAge, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			set := &v1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: made}}
			set.Spec.Author = test.author
			assert.Equal(t, test.want, AuthorEnd(set, test.maxAge))
		})
	}
}

// The default tells namespaces and ClusterProfiles apart by the UIDs of both.
func TestServiceAccountName(t *testing.T) {
	set := func(namespace string, uid types.UID) *v1alpha1.ClusterCredentialSet {
		return &v1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kueue", UID: uid}}
	}
	name := ServiceAccountName(set("a", "set-1"), "member", "profile-1")
	assert.Equal(t, "kueue-tif2ghiteg", name, "sets that exist keep their accounts")
	assert.NotEqual(t, name, ServiceAccountName(set("b", "set-2"), "member", "profile-1"), "a set of that name in another namespace")
	assert.NotEqual(t, name, ServiceAccountName(set("a", "set-1"), "member", "profile-2"), "another ClusterProfile of that member")
	chosen := set("a", "set-1")
	chosen.Spec.Template.ServiceAccountName = "kueue-" + ClusterName
	assert.Equal(t, "kueue-member", ServiceAccountName(chosen, "member", "profile-1"), "a name that is chosen is kept")
}

func TestIsUnrestricted(t *testing.T) {
	of := func(groups ...string) *v1alpha1.Author {
		return &v1alpha1.Author{Requester: v1alpha1.Requester{Groups: groups}}
	}
	assert.True(t, IsUnrestricted(of("team", "system:masters")))
	assert.False(t, IsUnrestricted(of("team", "system:authenticated")))
	assert.False(t, IsUnrestricted(nil))
}
