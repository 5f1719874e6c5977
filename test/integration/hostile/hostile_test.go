// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/pkg/words"
	"clusterpass.dev/test/testenv"
)

const (
	// maxHeap bounds what a program has in use while its members lie, in MiB.
	maxHeap = 300
	// parallel is how many tokens are asked for at once.
	parallel = 8
	// maxAnswer bounds the error that a requester gets, in bytes.
	maxAnswer = 8 << 10
)

func TestHostileMembers(t *testing.T) {
	f := startFleet(t)
	server := testenv.Must[*rest.Config](t)(f.server.DirectConfig("prometheus", "system:masters"))
	t.Run("to the server", func(t *testing.T) { f.testServer(t, server) })
	p := buildPrograms(t)
	t.Run("to an ordinary user", func(t *testing.T) { f.testUsers(t, p) })
	t.Run("as a hub would to the plugins", func(t *testing.T) { f.testHub(t, p) })

	f.manager = testenv.StartControllerManager(t, f.hub, testenv.ControllerManagerConfig{Args: []string{
		"--v=4", "--member-probe-period=2s", "--cluster-profile-write-interval=4s", "--score-period=2s", "--member-sweep-period=2s",
	}})
	manager := testenv.Must[*rest.Config](t)(f.manager.DirectConfig("prometheus", "system:masters"))
	t.Run("to the controller manager", func(t *testing.T) { f.testManager(t, manager) })
	t.Run("leave no trace in metrics and logs", func(t *testing.T) {
		for program, config := range map[string]*rest.Config{f.server.Log(): server, f.manager.Log(): manager} {
			text, _, err := testenv.Metrics(t.Context(), config)
			require.NoError(t, err)
			assert.NotContains(t, text, marker, "%s has a metric with a member's words", program)
			log := testenv.Must[[]byte](t)(os.ReadFile(program))
			assert.NotContains(t, string(log), "\x1b", "%s steers a terminal", program)
			assert.NotContains(t, string(log), "\nroot# ", "%s has a line that a member has written", program)
		}
	})
}

// ask asks for a token of an account of its own on a member, once: client-go would try again for as
// long as the answer says.
func (f *fleet) ask(ctx context.Context, client versioned.Interface, cluster string, i int) error {
	ctx, cancel := context.WithTimeout(ctx, testenv.WaitTimeout)
	defer cancel()
	request := &multiclusterv1alpha1.AuthTokenRequest{
		Spec: multiclusterv1alpha1.AuthTokenRequestSpec{
			TargetClusterProfile: multiclusterv1alpha1.ClusterProfileReference{Name: cluster},
			ServiceAccountName:   fmt.Sprintf("%s-%d", cluster, i), ServiceAccountNamespace: "default",
			ClusterRoles: []multiclusterv1alpha1.ClusterRole{{Name: "view"}},
		},
	}
	return client.MulticlusterV1alpha1().RESTClient().Post().Namespace("default").Resource("authtokenrequests").
		MaxRetries(0).Body(request).Do(ctx).Error()
}

// testServer has tokens of all members asked for at once, and of the honest one all the time.
func (f *fleet) testServer(t *testing.T, config *rest.Config) {
	t.Helper()
	client := f.hub.Clusterpass(t)
	heap := watchHeap(t.Context(), config)
	honestCtx, stop := context.WithCancel(t.Context())
	var honestly sync.WaitGroup
	asked := 0
	honestly.Go(func() {
		for ; honestCtx.Err() == nil; asked++ {
			if err := f.ask(honestCtx, client, honest, asked%5); honestCtx.Err() == nil {
				assert.NoError(t, err, "the honest member")
			}
		}
	})

	var mu sync.Mutex
	var given []string
	var group errgroup.Group
	group.SetLimit(parallel)
	for what := range about {
		for lie := range f.liar.lies {
			group.Go(func() error {
				name := nameOf(what, lie)
				began := time.Now()
				err := f.ask(t.Context(), client, name, 0)
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					given = append(given, name)
					return nil
				}
				status := apierrors.APIStatus(nil)
				if !assert.ErrorAs(t, err, &status, name) {
					return nil
				}
				encoded := fmt.Sprint(status.Status())
				assert.Equal(t, words.Clean(err.Error(), maxAnswer), err.Error(), "%s: the error is one line of text", name)
				assert.Less(t, len(encoded), maxAnswer, name)
				assert.NotContains(t, encoded, "\x1b", name)
				assert.Less(t, time.Since(began), time.Minute, name)
				return nil
			})
		}
	}
	require.NoError(t, group.Wait())
	stop()
	honestly.Wait()
	used := testenv.Must[float64](t)(heap.mib())
	t.Logf("%d tokens of the honest member meanwhile; at most %.0f MiB in use", asked, used)
	assert.Positive(t, asked)
	assert.Less(t, used, float64(maxHeap))
	slices.Sort(given)
	assert.Empty(t, given, "tokens were given although the member lied about what they rest on")
}

// testManager has all members probed, swept and counted until each was found to be what it is.
func (f *fleet) testManager(t *testing.T, config *rest.Config) {
	t.Helper()
	heap := watchHeap(t.Context(), config)
	found, wrong := sets.New[string](), map[string]error{}
	err := wait.PollUntilContextTimeout(t.Context(), poll, testenv.WaitTimeout, true, func(ctx context.Context) (bool, error) {
		list, err := f.profiles.List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		for i := range list.Items {
			profile := &list.Items[i]
			if err := clean(profile); err != nil {
				return false, err
			}
			if err := told(profile); err != nil {
				wrong[profile.Name] = err
				continue
			}
			found.Insert(profile.Name)
			delete(wrong, profile.Name)
		}
		return found.Len() == len(list.Items), nil
	})
	require.NoError(t, err, "%v", slices.Collect(maps.Values(wrong)))
	used := testenv.Must[float64](t)(heap.mib())
	t.Logf("at most %.0f MiB in use", used)
	assert.Less(t, used, float64(maxHeap))

	grants := testenv.List(t, f.hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants("default"), metav1.ListOptions{})
	for i := range grants.Items {
		text := fmt.Sprint(grants.Items[i].Status)
		assert.NotContains(t, text, "\x1b", grants.Items[i].Name)
	}
	events := testenv.List(t, f.admin.EventsV1().Events("default"), metav1.ListOptions{})
	for i := range events.Items {
		assert.NotContains(t, events.Items[i].Note, "\x1b", events.Items[i].Name)
		assert.NotContains(t, events.Items[i].Note, "\n", events.Items[i].Name)
	}
}

// told returns nil where a profile says what its member is: the liars about everything are not
// healthy, but for those that answer all questions, /readyz among them, by a 200; all others are.
func told(profile *inventoryv1alpha1.ClusterProfile) error {
	condition := meta.FindStatusCondition(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	healthy := condition != nil && condition.Status == metav1.ConditionTrue
	isReady := !strings.HasPrefix(profile.Name, "all-") || profile.Name == nameOf("all", "none") || profile.Name == nameOf("all", "kind")
	if condition == nil || healthy != isReady {
		return fmt.Errorf("%s: %v", profile.Name, condition)
	}
	return nil
}

// clean returns nil where the status of a profile is what a terminal can show.
func clean(profile *inventoryv1alpha1.ClusterProfile) error {
	if text := fmt.Sprint(profile.Status); strings.ContainsAny(text, "\x1b\x07") || len(text) > 64<<10 {
		return fmt.Errorf("%s: the status has %d bytes, or what steers a terminal", profile.Name, len(text))
	}
	return nil
}
