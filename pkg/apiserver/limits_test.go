// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	clocktesting "k8s.io/utils/clock/testing"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
)

func TestOptions_Limits(t *testing.T) {
	t.Run("the defaults hold where nothing is said", func(t *testing.T) {
		limits, err := NewOptions().limits()
		require.NoError(t, err)
		assert.Equal(t, defaultLimits, limits)
	})
	t.Run("what is said replaces the default of that kind alone", func(t *testing.T) {
		o := NewOptions()
		o.MaxObjectsPerNamespace = map[string]int64{"placements": 7}
		o.MaxBytesPerNamespace = map[string]string{"clusterscores": "1Mi"}
		limits, err := o.limits()
		require.NoError(t, err)
		assert.Equal(t, namespaceLimit{7, 64 << 20}, limits["placements"])
		assert.Equal(t, namespaceLimit{20_000, 1 << 20}, limits["clusterscores"])
		assert.Equal(t, defaultLimits["clusterprofiles"], limits["clusterprofiles"])
		assert.Equal(t, int64(1_000), defaultLimits["placements"].Objects)
	})
	for name, set := range map[string]func(o *Options){
		"a kind without a limit": func(o *Options) { o.MaxObjectsPerNamespace = map[string]int64{"pods": 7} },
		"no objects":             func(o *Options) { o.MaxObjectsPerNamespace = map[string]int64{"placements": 0} },
		"bytes of no such kind":  func(o *Options) { o.MaxBytesPerNamespace = map[string]string{"pods": "1Mi"} },
		"what is no quantity":    func(o *Options) { o.MaxBytesPerNamespace = map[string]string{"placements": "much"} },
		"less than nothing":      func(o *Options) { o.MaxBytesPerNamespace = map[string]string{"placements": "-1"} },
		"an empty quantity":      func(o *Options) { o.MaxBytesPerNamespace = map[string]string{"placements": ""} },
	} {
		t.Run("not so "+name, func(t *testing.T) {
			o := NewOptions()
			set(o)
			_, err := o.limits()
			require.ErrorContains(t, err, "want one of clustercredentialsets, clusterprofiles, clusterscores, placementdecisions, placements")
		})
	}
}

func TestSetCreator(t *testing.T) {
	const key = clusterpassv1alpha1.AnnotationCreator
	for name, test := range map[string]struct {
		has  map[string]string
		name string
		want map[string]string
	}{
		"it is set":                        {nil, "controller", map[string]string{key: "controller"}},
		"beside others":                    {map[string]string{"a": "b"}, "controller", map[string]string{"a": "b", key: "controller"}},
		"it is put right":                  {map[string]string{key: "mallory"}, "controller", map[string]string{key: "controller"}},
		"it is taken from who may not say": {map[string]string{"a": "b", key: "controller"}, "", map[string]string{"a": "b"}},
		"nothing is added":                 {nil, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			object := &metav1.ObjectMeta{Annotations: test.has}
			setCreator(object, test.name)
			assert.Equal(t, test.want, object.Annotations)
		})
	}
}

func TestNamespaces_Admit(t *testing.T) {
	const exempt = "controller"
	counts := 0
	there := &clusterpassv1alpha1.PlacementList{}
	add := func(name, creator string) {
		p := clusterpassv1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), ResourceVersion: "1"}}
		setCreator(&p.ObjectMeta, creator)
		there.Items = append(there.Items, p)
	}
	now := clocktesting.NewFakeClock(time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC))
	n := &namespaces{
		resource: clusterpassv1alpha1.Resource("placements"), limit: namespaceLimit{Objects: 3, Bytes: 10_000}, exempt: exempt, clock: now,
		list:    func(context.Context) (runtime.Object, error) { counts++; return there, nil },
		tallies: map[string]*tally{}, sizes: map[types.UID]size{},
	}
	ctx := genericapirequest.WithNamespace(t.Context(), "team")
	add("a", "")
	add("ours", exempt)

	require.NoError(t, n.admit(ctx, "b", 10), "what the controller manager has created does not count")
	require.NoError(t, n.admit(ctx, "c", 10))
	assert.Equal(t, 1, counts, "while there is room, objects are not counted each time")
	err := n.admit(ctx, "d", 10)
	require.True(t, apierrors.IsForbidden(err), "%v", err)
	assert.Equal(t, 1, counts, "nor within a moment where there is none")
	now.Step(recountPause + time.Millisecond)
	require.NoError(t, n.admit(ctx, "d", 10), "b and c were never stored")
	assert.Equal(t, 2, counts)
	require.ErrorContains(t, n.admit(ctx, "e", 10_000), `placements.clusterpass.dev "e" is forbidden: the placements of namespace "team" have `)
	require.NoError(t, n.admit(genericapirequest.WithNamespace(t.Context(), "other"), "d", 10), "each namespace has a limit of its own")
	now.Step(recountPeriod + time.Second)
	add("b", "")
	add("c", "")
	require.ErrorContains(t, n.admit(ctx, "d", 10), `namespace "team" has 3 placements, of at most 3`, "what others have created is counted after a while")
	there.Items = there.Items[:1]
	now.Step(recountPause + time.Millisecond)
	require.NoError(t, n.admit(ctx, "d", 10), "what is deleted makes room")
}
