// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"

	"k8s.io/apimachinery/pkg/api/equality"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

const (
	fleetNamespace  = "fleet"
	warmUpNamespace = "warm-up"

	// serialShare and parallelShare are the hundredths of all objects that one round writes one by one
	// and in parallel: writeRounds rounds of both write them all.
	serialShare   = 1
	parallelShare = 9
	writeRounds   = 10
	// warmUpWrites bounds how many objects, in a namespace of their own, are written before it counts.
	warmUpWrites = 100

	// parallelLists is lower than parallel: a list of thousands of objects keeps a core busy for most
	// of a second.
	parallelLists = 4
	pageSize      = 500

	// The moments at which memory is looked at: before the first object, when all are stored, and at
	// the end.
	momentEmpty  = "empty"
	momentStored = "stored"
	momentRead   = "read"

	// readOrder is how many names a round of GETs goes through before it starts over.
	readOrder = 4096
)

// inventory compares ClusterProfiles served by clusterpass-apiserver, through the hub, with the
// same served by a kube-apiserver from upstream's CRD.
type inventory struct {
	settings
	clients   [2]*client
	processes processes
}

// inventoryResult is what was found.
type inventoryResult struct {
	Objects     int          `json:"objects"`
	Comparisons []comparison `json:"comparisons"`
	// ListBytes is the length of a list of all objects, uncompressed: ours, theirs.
	ListBytes [2]int    `json:"listBytes"`
	Memory    processes `json:"memory"`
}

func measureInventory(ctx context.Context, s settings, env *environment) (*inventoryResult, error) {
	s.progress("inventory: starting a hub with clusterpass-apiserver and a kube-apiserver with upstream's CRD")
	b, err := startInventory(ctx, s, env)
	if err != nil {
		return nil, err
	}
	result := &inventoryResult{Objects: s.objects}
	if err := b.processes.observe(momentEmpty); err != nil {
		return nil, err
	}
	if err := b.measure(ctx, result, b.writes()); err != nil {
		return nil, err
	}
	if result.ListBytes, err = b.verifyStored(ctx); err != nil {
		return nil, err
	}
	if err := b.processes.observe(momentStored); err != nil {
		return nil, err
	}
	if err := b.measure(ctx, result, b.reads()); err != nil {
		return nil, err
	}
	if err := b.processes.observe(momentRead); err != nil {
		return nil, err
	}
	result.Memory = b.processes
	return result, nil
}

func (b *inventory) measure(ctx context.Context, result *inventoryResult, measurements []measurement) error {
	for _, m := range measurements {
		b.progress("inventory: %s at concurrency %d", m.name, m.concurrency)
		c, err := m.run(ctx)
		if err != nil {
			return err
		}
		result.Comparisons = append(result.Comparisons, c)
	}
	return nil
}

// writes returns what fills both sides: first all objects are created, then each gets its status.
func (b *inventory) writes() []measurement {
	return []measurement{
		b.write("CREATE", 1, 0, serialShare, b.createRequest),
		b.write("CREATE", parallel, serialShare*writeRounds, parallelShare, b.createRequest),
		b.write("PATCH status", 1, 0, serialShare, b.statusRequest),
		b.write("PATCH status", parallel, serialShare*writeRounds, parallelShare, b.statusRequest),
	}
}

// write returns the measurement that does one request for each of share hundredths of the objects
// per round, from the object at first hundredths on.
func (b *inventory) write(
	name string, concurrency, first, share int, build func(namespace string, i int) request,
) measurement {
	size := b.objects * share / 100
	from := b.objects * first / 100
	chunk := func(c *client, namespace string, from int) call {
		requests := make([]request, size)
		for i := range requests {
			requests[i] = build(namespace, from+i)
		}
		return c.discarding(func(i int) request { return requests[i] })
	}
	return measurement{
		name: name, concurrency: concurrency, rounds: writeRounds,
		slice: limit{calls: size}, warmUp: limit{calls: min(size, warmUpWrites)},
		sides: b.both(func(c *client) workload {
			return workload{
				warmUp: chunk(c, warmUpNamespace, from),
				round:  func(round int) call { return chunk(c, fleetNamespace, from+round*size) },
			}
		}),
	}
}

// reads returns what reads the full sides.
func (b *inventory) reads() []measurement {
	get := b.both(func(c *client) workload {
		return workload{warmUp: b.gets(c, 0), round: func(round int) call { return b.gets(c, round) }}
	})
	cached := b.both(func(c *client) workload {
		// Any version will do, as informers say: the answer comes from the watch cache.
		list := request{method: http.MethodGet, path: profilesPath(fleetNamespace) + "?resourceVersion=0"}
		return steady(c.repeating(list))
	})
	chunked := b.both(func(c *client) workload { return steady(c.listInPages) })
	pages := fmt.Sprintf("LIST by %d", pageSize)
	return []measurement{
		b.timed(measurement{name: "GET", concurrency: 1, sides: get}),
		b.timed(measurement{name: "GET", concurrency: parallel, sides: get}),
		b.timed(measurement{name: "LIST cached", concurrency: 1, sides: cached}),
		b.timed(measurement{name: "LIST cached", concurrency: parallelLists, sides: cached}),
		b.timed(measurement{name: pages, concurrency: 1, sides: chunked}),
	}
}

func (b *inventory) both(build func(*client) workload) [2]workload {
	return [2]workload{build(b.clients[ours]), build(b.clients[theirs])}
}

// gets returns calls that read objects in an order that the round decides on.
func (b *inventory) gets(c *client, round int) call {
	random := rand.New(rand.NewPCG(b.seed, uint64(round)))
	paths := make([]string, readOrder)
	for i := range paths {
		paths[i] = profilePath(fleetNamespace, random.IntN(b.objects))
	}
	return c.discarding(func(i int) request { return request{method: http.MethodGet, path: paths[i%len(paths)]} })
}

// listInPages is a call that reads all objects in pages, one after the other.
func (c *client) listInPages(ctx context.Context, _ int) error {
	first := fmt.Sprintf("%s?limit=%d", profilesPath(fleetNamespace), pageSize)
	var page bytes.Buffer
	for path := first; ; {
		page.Reset()
		if err := c.send(ctx, request{method: http.MethodGet, path: path}, &page); err != nil {
			return err
		}
		token := continueToken(page.Bytes())
		if token == "" {
			return nil
		}
		path = first + "&continue=" + token
	}
}

// continueToken returns the token of a page, empty for the last. It looks for it and decodes
// nothing, because decoding hundreds of objects would take about as long as serving them. No object
// here has a field of that name.
func continueToken(page []byte) string {
	_, rest, _ := bytes.Cut(page, []byte(`"continue":"`))
	token, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(token)
}

// verifyStored makes sure that both sides hold the same, and returns the length of a list of it.
func (b *inventory) verifyStored(ctx context.Context) (lengths [2]int, err error) {
	var lists [2]inventoryv1alpha1.ClusterProfileList
	for side, c := range b.clients {
		var body bytes.Buffer
		if err := c.send(ctx, request{method: http.MethodGet, path: profilesPath(fleetNamespace)}, &body); err != nil {
			return lengths, err
		}
		lengths[side] = body.Len()
		if err := json.Unmarshal(body.Bytes(), &lists[side]); err != nil {
			return lengths, fmt.Errorf("list of %s: %w", c.host, err)
		}
		if stored := len(lists[side].Items); stored != b.objects {
			return lengths, fmt.Errorf("%s has %d objects and not %d", c.host, stored, b.objects)
		}
	}
	for i := range lists[ours].Items {
		a, b := lists[ours].Items[i], lists[theirs].Items[i]
		if a.Name != b.Name || !equality.Semantic.DeepEqual(a.Spec, b.Spec) || !equality.Semantic.DeepEqual(a.Status, b.Status) {
			return lengths, fmt.Errorf("ClusterProfile %s is not the same on both sides", a.Name)
		}
		if len(a.Status.AccessProviders) == 0 {
			return lengths, errors.New("the status of ClusterProfile " + a.Name + " was not stored")
		}
	}
	return lengths, nil
}

func (b *inventory) createRequest(namespace string, i int) request {
	return post(profilesPath(namespace), newProfile(b.seed, i))
}

func (b *inventory) statusRequest(namespace string, i int) request {
	return merge(profilePath(namespace, i)+"/status", `{"status":%s}`, encode(newProfile(b.seed, i).Status))
}

// encode returns the JSON of an object of an API, which there always is.
func encode(object any) string {
	body, err := json.Marshal(object)
	utilruntime.Must(err)
	return string(body)
}

func profilesPath(namespace string) string {
	return fmt.Sprintf("/apis/%s/namespaces/%s/clusterprofiles", inventoryv1alpha1.GroupVersion, namespace)
}

func profilePath(namespace string, i int) string {
	return profilesPath(namespace) + "/" + profileName(i)
}
