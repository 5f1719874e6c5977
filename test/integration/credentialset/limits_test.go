// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// limits are those of the hub of TestCredentialSets_StrictHub.
var limits = []string{"--max-objects-per-namespace=placements=2,placementdecisions=2", "--max-bytes-per-namespace=placements=20Ki"}

// testLimits has zoe, who may edit in team, fill it.
func (f *fleet) testLimits(t *testing.T) {
	const zoe, creator = "zoe", v1alpha1.AnnotationCreator
	placements := f.as(t, zoe).ClusterpassV1alpha1().Placements(team)
	placement := func(name string) *v1alpha1.Placement {
		return &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{}}}
	}
	// The limit goes by the watch cache.
	seen := func(want int) {
		testenv.Eventually(t, func(ctx context.Context) error {
			list, err := placements.List(ctx, metav1.ListOptions{ResourceVersion: "0"})
			if err == nil && len(list.Items) != want {
				err = fmt.Errorf("there are %d placements, want %d", len(list.Items), want)
			}
			return err
		})
	}
	create := func(p *v1alpha1.Placement, options metav1.CreateOptions) error {
		_, err := placements.Create(t.Context(), p, options)
		return err
	}
	refused := func(t *testing.T, err error, words string) {
		t.Helper()
		require.True(t, apierrors.IsForbidden(err), "%v", err)
		require.ErrorContains(t, err, words)
	}
	t.Run("no more bytes of a kind are created in a namespace than the limit", func(t *testing.T) {
		large := placement("large")
		large.Annotations["note"] = strings.Repeat("a", 21<<10)
		refused(t, create(large, metav1.CreateOptions{}),
			`the placements of namespace "team" have 0, and with this one would have more than 20Ki (--max-bytes-per-namespace`)
	})
	t.Run("nor more objects, in no way to create them", func(t *testing.T) {
		const words = `namespace "team" has 2 placements, of at most 2 (--max-objects-per-namespace of clusterpass-apiserver)`
		claims := placement("a")
		claims.Annotations[creator] = v1alpha1.ControllerManagerUser
		require.NoError(t, create(claims, metav1.CreateOptions{}))
		require.NoError(t, create(placement("b"), metav1.CreateOptions{}))
		seen(2)
		refused(t, create(placement("c"), metav1.CreateOptions{}), words)
		refused(t, create(placement("c"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}), words)
		_, err := placements.Patch(t.Context(), "c", types.ApplyPatchType,
			[]byte(`{"apiVersion":"clusterpass.dev/v1alpha1","kind":"Placement","metadata":{"name":"c"}}`),
			metav1.PatchOptions{FieldManager: "zoe", Force: ptr.To(true)})
		refused(t, err, words)
	})
	t.Run("what is there can be updated, and grow a little, and be deleted", func(t *testing.T) {
		grow := func(bytes int) (*v1alpha1.Placement, error) {
			patch := fmt.Sprintf(`{"metadata":{"annotations":{"note":%q,%q:"me"}}}`, strings.Repeat("a", bytes), creator)
			return placements.Patch(t.Context(), "a", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		}
		_, err := grow(30 << 10)
		refused(t, err, "and with this one would have more than 20Ki (--max-bytes-per-namespace")
		grown, err := grow(14 << 10)
		require.NoError(t, err)
		assert.NotContains(t, grown.Annotations, creator)
		require.NoError(t, placements.Delete(t.Context(), "a", metav1.DeleteOptions{}))
		seen(1)
		testenv.Eventually(t, func(context.Context) error { return create(placement("c"), metav1.CreateOptions{}) })
	})
	t.Run("another namespace has a limit of its own", func(t *testing.T) {
		f.createNamespaces(t, "other")
		testenv.Bind(t, f.admin, "other", zoe, testenv.UserSubject(zoe), "edit")
		testenv.Eventually(t, func(ctx context.Context) error {
			_, err := f.as(t, zoe).ClusterpassV1alpha1().Placements("other").Create(ctx, placement("a"), metav1.CreateOptions{})
			return err
		})
	})
	t.Run("a ResourceQuota of the hub is no limit for what clusterpass serves", func(t *testing.T) {
		testenv.Create(t, f.admin.CoreV1().ResourceQuotas("other"), &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "placements"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/placements.clusterpass.dev": resource.MustParse("0")}},
		})
		testenv.Create(t, f.as(t, zoe).ClusterpassV1alpha1().Placements("other"), placement("b"))
	})
	t.Run("what the controller manager creates is neither counted nor refused", func(t *testing.T) {
		hostile, ours := f.decisionsOf(t, zoe), f.decisionsOf(t, v1alpha1.ControllerManagerUser)
		for i := range 5 {
			assert.Equal(t, v1alpha1.ControllerManagerUser, testenv.Create(t, ours, decision(fmt.Sprint("ours-", i), "any")).Annotations[creator])
		}
		for i := range 2 {
			testenv.Create(t, hostile, decision(fmt.Sprint("theirs-", i), "any"))
		}
		testenv.Eventually(t, func(ctx context.Context) error {
			list, err := hostile.List(ctx, metav1.ListOptions{ResourceVersion: "0"})
			if err == nil && len(list.Items) != 7 {
				err = fmt.Errorf("there are %d decisions, want 7", len(list.Items))
			}
			return err
		})
		_, err := hostile.Create(t.Context(), decision("theirs-2", "any"), metav1.CreateOptions{})
		refused(t, err, `namespace "team" has 2 placementdecisions, of at most 2`)
		testenv.Create(t, ours, decision("ours-5", "any"))
	})
}
