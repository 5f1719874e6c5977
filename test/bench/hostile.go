// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"

	rbacv1 "k8s.io/api/rbac/v1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

const (
	// hostileUser may send requests for tokens and have none.
	hostileUser = "mallory"
	// hostileClients is how many requests of that user are under way at once, and hostileNames how many roles of each kind, and audiences,
	// each of them asks for.
	hostileClients = 8
	hostileNames   = 20
)

// measureHostile compares what one user gets while another sends requests that are refused, with the same alone.
func measureHostile(ctx context.Context, s settings, env *environment) ([]comparison, error) {
	s.progress("hostile: starting a hub, a member and clusterpass-apiserver")
	clusters, err := env.startClusters(ctx, "hub", memberName)
	if err != nil {
		return nil, err
	}
	hub := clusters[0]
	if _, err := env.startServer(ctx, hub); err != nil {
		return nil, err
	}
	if err := testenv.Join(ctx, hub, clusters[1], homeNamespace, memberName); err != nil {
		return nil, err
	}
	requester, err := newUser(ctx, hub, benchUser, append(requesterRules(),
		rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"clusterprofiles"}, Verbs: []string{"get"}})...)
	if err != nil {
		return nil, err
	}
	hostile, err := newUser(ctx, hub, hostileUser, requesterRules()[0])
	if err != nil {
		return nil, err
	}
	mint, err := mintRequest()
	if err != nil {
		return nil, err
	}
	if _, err := firstToken(ctx, requester, mint); err != nil {
		return nil, err
	}
	read := request{method: http.MethodGet, path: fmt.Sprintf("/apis/%s/namespaces/%s/clusterprofiles/%s", v1alpha1.SchemeGroupVersion, homeNamespace, memberName)}
	var comparisons []comparison
	for _, of := range []struct {
		name    string
		request request
	}{{"get", read}, {"token", mint}} {
		s.progress("hostile: %s at concurrency 1", of.name)
		do := requester.discarding(func(int) request { return of.request })
		b := &siege{client: hostile}
		c, err := s.timed(measurement{
			name: of.name, concurrency: 1, goal: goal{latencyAtMost: 2},
			sides: [2]workload{
				{warmUp: do, round: func(int) call { b.begin(ctx); return do }},
				{warmUp: do, round: func(int) call { b.end(); return do }},
			},
		}).run(ctx)
		b.end()
		if err != nil {
			return nil, err
		}
		s.progress("hostile: %d requests were refused meanwhile", b.refused)
		comparisons = append(comparisons, c)
	}
	return comparisons, nil
}

// siege is a user whose requests are all refused, several at once.
type siege struct {
	client  *client
	stop    context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	refused int
}

// begin has the user send requests until end.
func (b *siege) begin(ctx context.Context) {
	b.end()
	ctx, b.stop = context.WithCancel(ctx)
	for range hostileClients {
		b.running.Go(func() {
			for ctx.Err() == nil {
				r, err := hostileRequest()
				if err != nil {
					return
				}
				if b.client.send(ctx, r, io.Discard) != nil && ctx.Err() == nil {
					b.mu.Lock()
					b.refused++
					b.mu.Unlock()
				}
			}
		})
	}
}

// end ends what begin began, if anything.
func (b *siege) end() {
	if b.stop == nil {
		return
	}
	b.stop()
	b.running.Wait()
	b.stop = nil
}

// hostileRequest returns a request of names that no cache has an answer about.
func hostileRequest() (request, error) {
	object := v1alpha1.AuthTokenRequest{Spec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile: v1alpha1.ClusterProfileReference{Name: memberName},
		ServiceAccountName:   hostileUser, ServiceAccountNamespace: homeNamespace,
	}}
	object.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("AuthTokenRequest"))
	for range hostileNames {
		name := fmt.Sprintf("r%x", rand.Uint64())
		object.Spec.ClusterRoles = append(object.Spec.ClusterRoles, v1alpha1.ClusterRole{Name: name})
		object.Spec.Roles = append(object.Spec.Roles, v1alpha1.Role{Namespace: homeNamespace, Name: name})
		object.Spec.Audiences = append(object.Spec.Audiences, "https://"+name)
	}
	return post(fmt.Sprintf("/apis/%s/namespaces/%s/authtokenrequests", v1alpha1.SchemeGroupVersion, homeNamespace), object)
}
