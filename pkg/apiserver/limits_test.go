// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
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
	counts := 0
	there := &clusterpassv1alpha1.PlacementList{}
	add := func(name, creator string) {
		p := clusterpassv1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), ResourceVersion: "1"}}
		setCreator(&p.ObjectMeta, creator)
		there.Items = append(there.Items, p)
	}
	n := newNamespaces(3)
	n.list = func(context.Context) (runtime.Object, error) { counts++; return there, nil }
	now := n.clock.(*clocktesting.FakeClock)
	ctx := genericapirequest.WithNamespace(t.Context(), "team")
	admit := func(ctx context.Context, name string, bytes int64) error {
		_, err := n.admit(ctx, name, 1, bytes, nil)
		return err
	}
	add("a", "")
	add("ours", n.exempt)

	require.NoError(t, admit(ctx, "b", 10), "what the controller manager has created does not count")
	require.NoError(t, admit(ctx, "c", 10))
	assert.Equal(t, 1, counts, "while there is room, objects are not counted each time")
	err := admit(ctx, "d", 10)
	require.True(t, apierrors.IsForbidden(err), "%v", err)
	assert.Equal(t, 1, counts, "nor within a moment where there is none")
	now.Step(recountPause + time.Millisecond)
	require.NoError(t, admit(ctx, "d", 10), "b and c were never stored")
	assert.Equal(t, 2, counts)
	require.ErrorContains(t, admit(ctx, "e", 10_000), `placements.clusterpass.dev "e" is forbidden: the placements of namespace "team" have `)
	require.NoError(t, admit(genericapirequest.WithNamespace(t.Context(), "other"), "d", 10), "each namespace has a limit of its own")
	now.Step(recountPeriod + time.Second)
	add("b", "")
	add("c", "")
	require.ErrorContains(t, admit(ctx, "d", 10), `namespace "team" has 3 placements, of at most 3`,
		"what others have created is counted after a while")
	there.Items = there.Items[:1]
	now.Step(recountPause + time.Millisecond)
	require.NoError(t, admit(ctx, "d", 10), "what is deleted makes room")
}

// newNamespaces returns one that lets a namespace have so many Placements, and lists none.
func newNamespaces(objects int64) *namespaces {
	return &namespaces{
		resource: clusterpassv1alpha1.Resource("placements"), limit: namespaceLimit{Objects: objects, Bytes: 10_000}, exempt: "controller",
		clock:   clocktesting.NewFakeClock(time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)),
		list:    func(context.Context) (runtime.Object, error) { return &clusterpassv1alpha1.PlacementList{}, nil },
		tallies: map[string]*tally{}, sizes: map[types.UID]size{},
	}
}

func TestNamespaces_BeginCreate(t *testing.T) {
	ctx := genericapirequest.WithNamespace(t.Context(), "team")
	create := func(n *namespaces, options metav1.CreateOptions) (genericregistry.FinishFunc, error) {
		return n.beginCreate(ctx, &clusterpassv1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, &options)
	}
	has := func(n *namespaces) [2]int64 { return [2]int64{n.tallies["team"].objects, n.tallies["team"].bytes} }

	t.Run("a dry run takes no room, and is refused where there is none", func(t *testing.T) {
		n := newNamespaces(1)
		dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
		for range 3 {
			done, err := create(n, dryRun)
			require.NoError(t, err)
			done(ctx, true)
			assert.Zero(t, has(n))
		}
		done, err := create(n, metav1.CreateOptions{})
		require.NoError(t, err)
		done(ctx, true)
		_, err = create(n, dryRun)
		assert.True(t, apierrors.IsForbidden(err), "%v", err)
	})
	t.Run("a create that fails gives its room back", func(t *testing.T) {
		n := newNamespaces(1)
		for range 3 {
			done, err := create(n, metav1.CreateOptions{})
			require.NoError(t, err)
			assert.EqualValues(t, 1, has(n)[0])
			_, err = create(n, metav1.CreateOptions{})
			assert.True(t, apierrors.IsForbidden(err), "two at once: %v", err)
			done(ctx, false)
			assert.Zero(t, has(n))
		}
	})
	t.Run("what was counted since is not given back twice", func(t *testing.T) {
		n := newNamespaces(2)
		done, err := create(n, metav1.CreateOptions{})
		require.NoError(t, err)
		n.clock.(*clocktesting.FakeClock).Step(recountPeriod + time.Second)
		other, err := create(n, metav1.CreateOptions{})
		require.NoError(t, err)
		done(ctx, false)
		other(ctx, true)
		assert.EqualValues(t, 1, has(n)[0])
	})
}

func TestNamespaces_BeginCreateCancelled(t *testing.T) {
	n := newNamespaces(1)
	listing := make(chan struct{}, 1)
	list := n.list
	n.list = func(ctx context.Context) (runtime.Object, error) {
		listing <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	begin := func(ctx context.Context) error {
		_, err := n.beginCreate(genericapirequest.WithNamespace(ctx, "team"), &clusterpassv1alpha1.Placement{}, &metav1.CreateOptions{})
		return err
	}
	synctest.Test(t, func(t *testing.T) {
		// One is counting, and others wait for it.
		ctx, cancel := context.WithCancel(t.Context())
		var requests sync.WaitGroup
		for range 5 {
			requests.Go(func() { assert.ErrorIs(t, begin(ctx), context.Canceled) })
		}
		<-listing
		cancel()
		// All return: synctest fails a test that leaves a goroutine.
		go func() {
			for range 4 {
				<-listing
			}
		}()
		requests.Wait()
	})
	assert.Zero(t, n.tallies["team"].counts, "nothing was counted")
	assert.Zero(t, n.tallies["team"].objects, "and nothing is held")
	n.list = list
	require.NoError(t, begin(t.Context()), "the next one has the room")
	assert.True(t, apierrors.IsForbidden(begin(t.Context())))
}

// TestLimit_RefusedRequest goes by the storage as it is served.
func TestLimit_RefusedRequest(t *testing.T) {
	served := newFuzzed(t, map[string]namespaceLimit{"placements": {Objects: 1, Bytes: 10_000}})
	placements := served[slices.IndexFunc(served, func(f *fuzzed) bool { return f.String() == "placements.clusterpass.dev" })]
	create := func(validate rest.ValidateObjectFunc, dryRun ...string) error {
		object := &clusterpassv1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "a"}}
		clusterpassv1alpha1.SetDefaults_Placement(object)
		_, err := placements.storage.(rest.Creater).Create(placements.context(t, object), object, validate, &metav1.CreateOptions{DryRun: dryRun})
		return err
	}
	for range 3 {
		require.NoError(t, create(rest.ValidateAllObjectFunc, metav1.DryRunAll))
		refused := errors.New("a policy refuses it")
		require.ErrorIs(t, create(func(context.Context, runtime.Object) error { return refused }), refused)
	}
}

func TestNamespaces_BeginUpdate(t *testing.T) {
	sized := func(bytes int, creator string) *clusterpassv1alpha1.Placement {
		p := &clusterpassv1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
		p.Annotations = map[string]string{"note": strings.Repeat("a", bytes)}
		setCreator(p, creator)
		return p
	}
	for name, test := range map[string]struct {
		is, was int
		user    string
		creator string
		dryRun  []string
		want    bool
	}{
		"a small object may grow in a full namespace": {is: 10 << 10, want: true},
		"a large one may not":                         {is: 40 << 10, was: 10},
		"nor in a dry run":                            {is: 40 << 10, was: 10, dryRun: []string{metav1.DryRunAll}},
		"it may stay as large as it is":               {is: 40 << 10, was: 40 << 10, want: true},
		"and become smaller":                          {is: 40 << 10, was: 50 << 10, want: true},
		"the controller manager may make it larger":   {is: 40 << 10, user: "controller", want: true},
		"what it has created may not grow by others":  {is: 18 << 10, creator: "controller"},
		"but a little":                                {is: 10 << 10, creator: "controller", want: true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNamespaces(0)
			n.limit.Bytes = 20 << 10
			ctx := genericapirequest.WithUser(genericapirequest.WithNamespace(t.Context(), "team"), &user.DefaultInfo{Name: test.user})
			_, err := n.beginUpdate(ctx, sized(test.is, ""), sized(test.was, test.creator), &metav1.UpdateOptions{DryRun: test.dryRun})
			if test.want {
				assert.NoError(t, err)
			} else {
				assert.True(t, apierrors.IsForbidden(err), "%v", err)
			}
		})
	}
	t.Run("growth counts until the update has failed", func(t *testing.T) {
		n := newNamespaces(0)
		n.limit.Bytes = 50 << 10
		ctx := genericapirequest.WithNamespace(t.Context(), "team")
		grow := func() (func(context.Context, bool), error) {
			return n.beginUpdate(ctx, sized(30<<10, ""), sized(0, ""), &metav1.UpdateOptions{})
		}
		finish, err := grow()
		require.NoError(t, err)
		_, err = grow()
		require.Error(t, err)
		finish(ctx, false)
		_, err = grow()
		require.NoError(t, err)
	})
}
