// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

func master(t *testing.T) context.Context {
	t.Helper()
	return genericapirequest.WithUser(t.Context(), &user.DefaultInfo{Name: "root", Groups: []string{user.SystemPrivilegedGroup}})
}

func sam(t *testing.T) context.Context {
	t.Helper()
	return as(t, "sam")
}

func TestMastersPolicy(t *testing.T) {
	changed := func(set *v1alpha1.ClusterCredentialSet) { set.Spec.Clusters.Names = []string{"smartfish"} }
	relabelled := func(set *v1alpha1.ClusterCredentialSet) { set.Labels = map[string]string{"a": "b"} }
	for name, test := range map[string]struct {
		policy MastersPolicy
		as     func(t *testing.T) context.Context
		change func(set *v1alpha1.ClusterCredentialSet)
		warned bool
		field  string
	}{
		"Warn warns a user in system:masters":               {MastersWarn, master, changed, true, ""},
		"Warn does not warn who changes no spec":            {MastersWarn, master, relabelled, false, ""},
		"Warn warns nobody else":                            {MastersWarn, sam, changed, false, ""},
		"Refuse refuses a user in system:masters":           {MastersRefuse, master, changed, false, "spec.author"},
		"Refuse lets such a user change all but the spec":   {MastersRefuse, master, relabelled, false, ""},
		"Refuse refuses nobody else who changes a master's": {MastersRefuse, sam, changed, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStrategy(nil, anyRights{}, Options{Masters: test.policy})
			old := newSet()
			old.Spec.Author.Groups = []string{user.SystemPrivilegedGroup}
			set := old.DeepCopy()
			test.change(set)
			s.PrepareForUpdate(test.as(t), set, old)
			assert.Equal(t, test.warned, len(s.WarningsOnUpdate(t.Context(), set, old)) > 0)
			errs := s.ValidateUpdate(t.Context(), set, old)
			if test.field == "" {
				assert.Empty(t, errs)
				return
			}
			if assert.Len(t, errs, 1) {
				assert.Equal(t, test.field, errs[0].Field)
				assert.Contains(t, errs[0].Detail, `"root" is in system:masters: RBAC cannot limit what the set gets`)
			}
		})
	}
	t.Run("a set is created with the same", func(t *testing.T) {
		for _, policy := range []MastersPolicy{MastersWarn, MastersRefuse} {
			s, set := newStrategy(nil, anyRights{}, Options{Masters: policy}), newSet()
			s.PrepareForCreate(master(t), set)
			assert.Equal(t, policy == MastersWarn, len(s.WarningsOnCreate(t.Context(), set)) > 0)
			assert.Equal(t, policy == MastersRefuse, len(s.Validate(t.Context(), set)) > 0)
		}
	})
}

func TestAuthorStrategy(t *testing.T) {
	s := authorStrategy{newStrategy(nil, anyRights{}, Options{Masters: MastersRefuse})}
	old := newSet()
	set := old.DeepCopy()
	set.Spec.Clusters.Names, set.Labels, set.Finalizers = []string{"smartfish"}, map[string]string{"a": "b"}, nil
	s.PrepareForUpdate(as(t, "sam"), set, old)
	assert.Equal(t, "sam", set.Spec.Author.Username)
	assert.WithinDuration(t, time.Now(), set.Spec.Author.Since.Time, time.Minute)
	assert.Equal(t, old.Generation+1, set.Generation)
	assert.Empty(t, s.ValidateUpdate(t.Context(), set, old))
	set.Spec.Author, set.Generation = old.Spec.Author, old.Generation
	assert.Equal(t, old, set, "nothing else changes")

	s.PrepareForUpdate(master(t), set, old)
	assert.Len(t, s.ValidateUpdate(t.Context(), set, old), 1, "a master does not become the author where that is refused")
}
