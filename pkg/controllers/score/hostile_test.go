// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package score

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/fakemember"
)

// listOf answers with nodes, and a token to continue with that is another each time.
func listOf(t *testing.T, more bool, nodes ...*corev1.Node) http.HandlerFunc {
	t.Helper()
	calls := 0
	return func(w http.ResponseWriter, _ *http.Request) {
		calls++
		list := &corev1.NodeList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}}
		if more {
			list.Continue = strconv.Itoa(calls)
		}
		for _, node := range nodes {
			list.Items = append(list.Items, *node)
		}
		var body bytes.Buffer
		assert.NoError(t, protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(list, &body))
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		_, _ = w.Write(body.Bytes())
	}
}

// endless never ends its answer.
func endless(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
	for {
		if _, err := w.Write(bytes.Repeat([]byte("k8s\x00"), 1<<18)); err != nil {
			return
		}
	}
}

// withResources returns a node with as many resources more, whose numbers begin with first.
func withResources(node *corev1.Node, first, count int) *corev1.Node {
	for i := range count {
		node.Status.Allocatable[corev1.ResourceName(fmt.Sprintf("a.example.com/r%d", first+i))] = resource.MustParse("1")
	}
	return node
}

// An event names a member that answers too much.
func TestController_HostileAnswers(t *testing.T) {
	megabyte := strings.Repeat("a", 1<<20)
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		words  string
	}{
		"pages without end":     {listOf(t, true, newNode("a", "4")), "more than 2000 pages"},
		"an answer without end": {endless, "more than 8388608 bytes"},
		"a refusal without end": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusConflict)
			endless(w, r)
		}, "could not list nodes and pods"},
		"a node of two megabytes":            {listOf(t, false, newNode(megabyte+megabyte, "4")), "more than 1572864 bytes"},
		"a node with a name of a megabyte":   {listOf(t, false, newNode(megabyte, "4")), "the name of a node has more than 253 bytes"},
		"something else than a list of them": {answer(http.StatusOK, `{"kind": "NodeList", "apiVersion": "v1", "items": []}`), "not in protobuf"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.member.Answer(nodes, test.answer)
			_, err := f.syncOnce(t)
			require.ErrorContains(t, err, test.words)
			require.ErrorContains(t, err, "cluster default/bravelion: could not list nodes and pods")
			assert.Less(t, len(err.Error()), 2048)
			assert.Empty(t, f.writes())
		})
	}
}

// The score of a member is bounded.
func TestController_ScoreBounds(t *testing.T) {
	megabyte := strings.Repeat("a", 1<<20)
	labelled := newNode("a", "4")
	labelled.Labels = map[string]string{"type": megabyte}
	labelled.Status.Allocatable["nvidia.com/gpu"] = resource.MustParse("1")
	named := newNode("a", "4")
	named.Status.Allocatable[corev1.ResourceName(megabyte)] = resource.MustParse("1")
	var spread []*corev1.Node
	for i := range 100 {
		spread = append(spread, withResources(newNode(strconv.Itoa(i), "4"), 1000*i, 1000))
	}
	for name, test := range map[string]struct {
		nodes  []*corev1.Node
		reason string
	}{
		"20,000 resources of one node":         {[]*corev1.Node{withResources(newNode("a", "4"), 0, 20_000)}, v1alpha1.ScoreReasonTooMany},
		"100,000 resources of a hundred nodes": {spread, v1alpha1.ScoreReasonTooMany},
		"a resource's name of a megabyte":      {[]*corev1.Node{named}, v1alpha1.ScoreReasonTooMany},
		"a device's type of a megabyte":        {[]*corev1.Node{labelled}, v1alpha1.ScoreReasonCollected},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.member.Answer(nodes, listOf(t, false, test.nodes...))
			_, err := f.syncOnce(t)
			require.NoError(t, err)
			score := f.stored(t)
			require.NotNil(t, score)
			assert.LessOrEqual(t, len(score.Status.Values), v1alpha1.MaxScores)
			assert.LessOrEqual(t, len(score.Status.Scores), v1alpha1.MaxScores)
			assert.NotEmpty(t, valueOf(score, "cpu"))
			assert.Equal(t, test.reason, score.Status.Conditions[0].Reason)
			for _, value := range score.Status.Values {
				assert.Less(t, len(value.Name), 512)
			}
			f.writes()
			_, err = f.syncOnce(t)
			require.NoError(t, err)
			assert.Empty(t, f.writes(), "the same are kept each time")
		})
	}
}

// membersFunc are Members that a function hands out.
type membersFunc func(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*member.Client, error)

func (f membersFunc) Cached(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*member.Client, error) {
	return f(ctx, profile)
}

// A hostile member does not stop the others.
func TestController_HostileMember(t *testing.T) {
	f := newFixture(t, newNode("a", "4"))
	hostile := fakemember.New(t, f.clock)
	hostile.Answer(nodes, endless)
	other := f.profile.DeepCopy()
	other.Name, other.UID = "hostile", "profile-2"
	require.NoError(t, f.Profiles.Informer().GetIndexer().Add(other))
	f.Members = membersFunc(func(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*member.Client, error) {
		if profile.Name == other.Name {
			return hostile.Cached(ctx, hostile.Profile())
		}
		return f.member.Cached(ctx, profile)
	})
	f.queue.Add(cache.MetaObjectToName(other))
	require.True(t, loop.Next(t.Context(), f.queue, "cluster", f.reconcile))
	assert.Equal(t, 1, f.queue.NumRequeues(cache.MetaObjectToName(other)))
	assert.Equal(t, "4", valueOf(f.collectOnce(t.Context(), t), "cpu"))
}
