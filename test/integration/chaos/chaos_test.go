// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chaos tests that nothing is left over and nothing is missing on members after clusterpass
// was killed again and again in the middle of its work.
package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/metadata"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/testenv"
)

var (
	kills   = flag.Int("kills", 50, "how often a program of clusterpass is killed")
	created = flag.Int("grants", 500, "how many grants are created; about half of them are deleted again")
	seed    = flag.Uint64("seed", 1, "of what is killed when, and of what is deleted")
)

const (
	workers = 8
	// oneTry bounds one request; what is cut off is asked for again.
	oneTry = 15 * time.Second
	// longest bounds everything that is waited for.
	longest = 10 * time.Minute
	poll    = 200 * time.Millisecond
)

var roles = []string{"view", "edit", "cluster-admin"}

// Members hold exactly the objects of the live grants.
func TestChaos(t *testing.T) {
	fleet := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()

	var work errgroup.Group
	var next, done, killed atomic.Int64
	for worker := range workers {
		random := rand.New(rand.NewPCG(*seed, uint64(worker)))
		work.Go(func() error {
			for i := next.Add(1); i <= int64(*created); i = next.Add(1) {
				if err := keepPace(ctx, i, &killed); err != nil {
					return err
				}
				if err := fleet.createAndPerhapsDelete(ctx, i, random); err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
	}
	killing := make(chan error, 1)
	go func() { killing <- fleet.killAtRandom(ctx, t, &killed, &done) }()
	assert.NoError(t, work.Wait())
	require.NoError(t, <-killing)

	require.NoError(t, fleet.untilQuiet(ctx))
}

// fleet is a hub with two members; both programs of clusterpass may be dead at any moment.
type fleet struct {
	hub      *versioned.Clientset
	members  map[string]metadata.Interface
	programs []program
}

// program is what is killed.
type program interface {
	Kill() error
	Restart(ctx context.Context) error
}

func start(t *testing.T) *fleet {
	t.Helper()
	clusters := map[string]*testenv.Cluster{}
	for _, name := range []string{"hub", "bravelion", "smartfish"} {
		clusters[name] = testenv.Start(t, testenv.Options{Name: name})
	}
	hub := clusters["hub"]
	server := testenv.StartServer(t, hub, testenv.ServerConfig{})
	f := &fleet{members: map[string]metadata.Interface{}}
	for _, name := range []string{"bravelion", "smartfish"} {
		require.NoError(t, testenv.Join(t.Context(), hub, clusters[name], "default", name))
		f.members[name] = metadata.NewForConfigOrDie(clusters[name].RESTConfig())
	}
	config := hub.RESTConfig()
	config.QPS = -1
	f.hub = versioned.NewForConfigOrDie(config)
	manager := testenv.StartControllerManager(t, hub, testenv.ControllerManagerConfig{Args: []string{
		"--member-sweep-period=2s", "--max-orphan-removals=1000",
		"--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=500ms",
	}})
	f.programs = []program{server, manager}
	return f
}

// keepPace waits until there were enough kills for the grant number i, so that there is work until
// the last of them.
func keepPace(ctx context.Context, i int64, killed *atomic.Int64) error {
	return wait.PollUntilContextCancel(ctx, poll/10, true, func(context.Context) (bool, error) {
		return killed.Load() >= (i-1)*int64(*kills)/int64(*created)-1, nil
	})
}

// killAtRandom kills one program after the other, each time a little later, and starts it again.
func (f *fleet) killAtRandom(ctx context.Context, t *testing.T, killed, done *atomic.Int64) error {
	t.Helper()
	random := rand.New(rand.NewPCG(*seed, 1000))
	begin := time.Now()
	for range *kills {
		pause := time.NewTimer(time.Duration(random.IntN(1000)) * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		victim := f.programs[random.IntN(len(f.programs))]
		if err := victim.Kill(); err != nil {
			return err
		}
		killed.Add(1)
		if err := victim.Restart(ctx); err != nil {
			return err
		}
	}
	t.Logf("%d kills in %s; %d grants were made by then", *kills, time.Since(begin).Round(time.Second), done.Load())
	return nil
}

// createAndPerhapsDelete has a grant made, as its user would: it asks again until there is an
// answer.
func (f *fleet) createAndPerhapsDelete(ctx context.Context, i int64, random *rand.Rand) error {
	request := &v1alpha1.AuthTokenRequest{Spec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    v1alpha1.ClusterProfileReference{Name: []string{"bravelion", "smartfish"}[random.IntN(2)]},
		ServiceAccountNamespace: "default",
		ServiceAccountName:      fmt.Sprintf("chaos-%d", i),
		ClusterRoles:            []v1alpha1.ClusterRole{{Name: roles[random.IntN(len(roles))]}},
	}}
	var name string
	if err := again(ctx, func(ctx context.Context) error {
		answer, err := f.hub.MulticlusterV1alpha1().AuthTokenRequests("default").Create(ctx, request, metav1.CreateOptions{})
		if err == nil {
			name = answer.Status.GrantName
		}
		return err
	}); err != nil {
		return fmt.Errorf("%s: %w", request.Spec.ServiceAccountName, err)
	}
	if random.IntN(2) == 0 {
		return nil
	}
	return again(ctx, func(ctx context.Context) error {
		err := f.hub.ClusterpassV1alpha1().AuthTokenGrants("default").Delete(ctx, name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) && strings.Contains(err.Error(), name) {
			return nil
		}
		return err
	})
}

// again calls do until it returns nil: whatever else it returns, the hub or what is behind it may
// be dead just now.
func again(ctx context.Context, do func(ctx context.Context) error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, oneTry)
		defer cancel()
		last = do(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%w; last: %w", err, last)
	}
	return nil
}

// untilQuiet waits until no grant is being deleted and both members hold exactly what the grants
// own.
func (f *fleet) untilQuiet(ctx context.Context) error {
	return again(ctx, func(ctx context.Context) error {
		list, err := f.hub.ClusterpassV1alpha1().AuthTokenGrants("default").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for name, member := range f.members {
			wanted, err := owned(list.Items, name)
			if err != nil {
				return err
			}
			found, err := labelled(ctx, member)
			if err != nil {
				return err
			}
			if diff := cmp.Diff(wanted, found); diff != "" {
				return fmt.Errorf("%s, with %d grants (-what they own +what is there):\n%s", name, len(list.Items), diff)
			}
		}
		return nil
	})
}

// owned returns what the grants for a cluster own there.
func owned(grants []clusterpassv1alpha1.AuthTokenGrant, cluster string) ([]string, error) {
	var all []string
	for i := range grants {
		g := &grants[i]
		if g.DeletionTimestamp != nil {
			return nil, fmt.Errorf("grant %s is still being revoked: %v", g.Name, g.Status.Conditions)
		}
		if g.Spec.ClusterProfile.Name != cluster {
			continue
		}
		for _, o := range grant.Objects(g) {
			all = append(all, o.Kind+" "+o.Namespace+"/"+o.Name)
		}
	}
	slices.Sort(all)
	return all, nil
}

// labelled returns the objects of clusterpass on a member.
func labelled(ctx context.Context, member metadata.Interface) ([]string, error) {
	options := metav1.ListOptions{LabelSelector: grant.LabelManagedBy + "=" + grant.ManagedBy + "," + grant.LabelGrantUID}
	var all []string
	for kind, resource := range map[string]schema.GroupVersionResource{
		"ServiceAccount":     corev1.SchemeGroupVersion.WithResource("serviceaccounts"),
		"Secret":             corev1.SchemeGroupVersion.WithResource("secrets"),
		"ClusterRoleBinding": rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings"),
		"ClusterRole":        rbacv1.SchemeGroupVersion.WithResource("clusterroles"),
		"RoleBinding":        rbacv1.SchemeGroupVersion.WithResource("rolebindings"),
		"Role":               rbacv1.SchemeGroupVersion.WithResource("roles"),
	} {
		objects, err := member.Resource(resource).List(ctx, options)
		if err != nil {
			return nil, err
		}
		for _, o := range objects.Items {
			all = append(all, kind+" "+o.Namespace+"/"+o.Name)
		}
	}
	slices.Sort(all)
	return all, nil
}
