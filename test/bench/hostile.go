// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"

	"golang.org/x/time/rate"
	rbacv1 "k8s.io/api/rbac/v1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

const (
	// hostileUser may send requests for tokens and have none.
	hostileUser = "mallory"
	// hostileClients is how many requests of that user are under way at once, and hostileNames how
	// many roles of each kind, and audiences, each of them asks for.
	hostileClients = 8
	hostileNames   = 20
)

// measureHostile compares what one user gets while another sends requests that are refused, with
// the same alone.
func measureHostile(ctx context.Context, s settings, env *environment) ([]comparison, error) {
	s.progress("hostile: starting a hub, a member and clusterpass-apiserver")
	hub, _, err := env.startFleet(ctx)
	if err != nil {
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
	mint := mintRequest()
	if _, err := firstToken(ctx, requester, mint); err != nil {
		return nil, err
	}
	read := request{method: http.MethodGet, path: profilesPath(homeNamespace) + "/" + memberName}
	var comparisons []comparison
	for _, of := range []struct {
		name    string
		request request
	}{{"get", read}, {"token", mint}} {
		s.progress("hostile: %s at concurrency 1", of.name)
		b := &siege{send: func(ctx context.Context) error { return hostile.send(ctx, hostileRequest(), io.Discard) }}
		c, err := b.beside(ctx, s, measurement{name: of.name, goal: goal{latencyAtMost: 2}}, requester.repeating(of.request))
		if err != nil {
			return nil, err
		}
		comparisons = append(comparisons, c)
	}
	return comparisons, nil
}

// siege is somebody who sends something again and again, several at once.
type siege struct {
	send func(ctx context.Context) error
	// pace is how often something is sent at most; zero for as often as it is answered.
	pace rate.Limit
	// clients is how many send at once; zero for hostileClients.
	clients int
	stop    context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	// sent counts what was sent, and refused what of it has failed.
	sent, refused int
}

// beside measures do beside the siege, which is ours, and alone.
func (b *siege) beside(ctx context.Context, s settings, m measurement, do call) (comparison, error) {
	defer b.end()
	m.concurrency = 1
	m.sides = [2]workload{
		{warmUp: do, round: func(int) call { b.begin(ctx); return do }},
		{warmUp: do, round: func(int) call { b.end(); return do }},
	}
	c, err := s.timed(m).run(ctx)
	b.end()
	s.progress("hostile: %d requests were sent meanwhile, and %d of them refused", b.sent, b.refused)
	return c, err
}

// begin has it send until end.
func (b *siege) begin(ctx context.Context) {
	b.end()
	ctx, b.stop = context.WithCancel(ctx)
	pace := rate.NewLimiter(cmp.Or(b.pace, rate.Inf), 1)
	for range cmp.Or(b.clients, hostileClients) {
		b.running.Go(func() {
			for pace.Wait(ctx) == nil {
				if err := b.send(ctx); ctx.Err() == nil {
					b.mu.Lock()
					b.sent++
					if err != nil {
						b.refused++
					}
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
func hostileRequest() request {
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
	return post(tokensPath, object)
}
