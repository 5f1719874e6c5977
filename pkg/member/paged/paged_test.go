// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package paged_test

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"clusterpass.dev/pkg/member/paged"
	"clusterpass.dev/test/answers"
	"clusterpass.dev/test/fakemember"
)

// page returns a list of nodes in protobuf.
func page(t testing.TB, token string, names ...string) []byte {
	t.Helper()
	list := &corev1.NodeList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}, ListMeta: metav1.ListMeta{Continue: token}}
	for _, name := range names {
		list.Items = append(list.Items, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return answers.Protobuf(t, list)
}

// raw returns a list of fields that are encoded already.
func raw(t testing.TB, fields []byte) []byte {
	t.Helper()
	list := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "NodeList"}, Raw: fields}
	body, err := list.Marshal()
	require.NoError(t, err)
	return append([]byte("k8s\x00"), body...)
}

// each returns the names of the nodes of a member that answers as handler does, and how many pages
// it was asked for.
func each(t *testing.T, handler func(call int) []byte) (names []string, calls int, err error) {
	t.Helper()
	m := fakemember.New(t, clock.RealClock{})
	m.Answer("/api/v1/nodes", func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 1 {
			assert.Equal(t, strconv.Itoa(paged.Size), r.URL.Query().Get("limit"))
		}
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		_, _ = w.Write(handler(calls))
	})
	client, err := m.For(t.Context(), m.Profile())
	require.NoError(t, err)
	err = paged.Each(t.Context(), client.Kubernetes().CoreV1().RESTClient(), "nodes", metav1.ListOptions{}, func(item []byte) error {
		var node corev1.Node
		if err := node.Unmarshal(item); err != nil {
			return err
		}
		if node.Name != "" {
			names = append(names, node.Name)
		}
		return nil
	})
	return names, calls, client.Error(err, "list nodes")
}

func TestEach(t *testing.T) {
	pages := [][]byte{page(t, "2", "a", "b"), page(t, "3"), page(t, "", "c")}
	names, calls, err := each(t, func(call int) []byte { return pages[call-1] })
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b", "c"}, names)
	assert.Equal(t, 3, calls)
}

func TestEach_LargePage(t *testing.T) {
	m := fakemember.New(t, clock.RealClock{})
	var limits []string
	m.Answer("/api/v1/nodes", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		limits = append(limits, query.Get("limit"))
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		limit, err := strconv.Atoi(query.Get("limit"))
		assert.NoError(t, err)
		switch {
		case limit > 20:
			_, _ = w.Write(make([]byte, 9<<20))
		case query.Get("continue") == "":
			_, _ = w.Write(page(t, "next", "a", "b"))
		default:
			_, _ = w.Write(page(t, "", "c"))
		}
	})
	client, err := m.For(t.Context(), m.Profile())
	require.NoError(t, err)
	items := 0
	err = paged.Each(t.Context(), client.Kubernetes().CoreV1().RESTClient(), "nodes", metav1.ListOptions{}, func([]byte) error {
		items++
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"500", "100", "20", "20"}, limits)
	assert.Equal(t, 3, items)
}

func TestEach_Bounds(t *testing.T) {
	whole := page(t, "", "a", "b")
	always := func(body []byte) func(int) []byte { return func(int) []byte { return body } }
	for name, test := range map[string]struct {
		answer func(call int) []byte
		words  string
		calls  int
	}{
		"the number of pages": {func(call int) []byte { return page(t, strconv.Itoa(call)) }, "more than 2000 pages", paged.MaxPages},
		"the number of items": {always(raw(t, bytes.Repeat([]byte{2<<3 | 2, 0}, paged.MaxItems+1))), "more than 1000000 items", 1},
		"the size of an item": {always(page(t, "", strings.Repeat("a", paged.MaxItem))), "an item has more than 1572864 bytes", 1},
		"the length of the token": {always(page(t, strings.Repeat("a", paged.MaxToken+1))),
			"its continue token has more than 4096 bytes", 1},
		"the size of an answer": {always(make([]byte, 9<<20)), "its answer has more than 8388608 bytes", 5},
		"the fields of an item": {always(raw(t, protowire.AppendBytes([]byte{2<<3 | 2}, bytes.Repeat([]byte{2<<3 | 2, 0}, 100_001)))),
			"more than 100000 fields", 1},
		"the amounts of an item":        {always(raw(t, message(2, node("12345678901234567890e100000000")))), "a number that is too large", 1},
		"that it is what was asked for": {always([]byte(`{"items": []}`)), "not in protobuf", 1},
		"that it is a list": {always(bytes.Replace(whole, []byte("NodeList"), []byte("NodePool"), 1)),
			`of kind "NodePool", which is no list`, 1},
		"that it is there to its end":    {always(whole[:len(whole)-20]), "unexpected EOF", 1},
		"that its fields are fields":     {always(raw(t, []byte{2<<3 | 2, 200})), "its nodes: ", 1},
		"that its items are what it has": {always(raw(t, []byte{2<<3 | 2, 2, 1<<3 | 2, 9})), "its nodes: ", 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, calls, err := each(t, test.answer)
			require.ErrorContains(t, err, test.words)
			assert.Less(t, len(err.Error()), 2048)
			assert.Equal(t, test.calls, calls)
		})
	}
}

// message returns a message with one field.
func message(field protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), value)
}

// node returns a Node in protobuf with that amount of cpu as its capacity, which the encoder of
// Node does not take for one.
func node(amount string) []byte {
	return message(3, message(1, append(message(1, []byte("cpu")), message(2, message(1, []byte(amount)))...)))
}

// The Status of a refusal is kept.
func TestEach_Forbidden(t *testing.T) {
	m := fakemember.New(t, clock.RealClock{})
	m.Answer("/api/v1/nodes", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	client, err := m.For(t.Context(), m.Profile())
	require.NoError(t, err)
	err = paged.Each(t.Context(), client.Kubernetes().CoreV1().RESTClient(), "nodes", metav1.ListOptions{}, func([]byte) error { return nil })
	assert.True(t, apierrors.IsForbidden(err), err)
}

// FuzzItems has the answer of a member be anything.
func FuzzItems(f *testing.F) {
	f.Add(page(f, "next", "a", "b"))
	f.Add(raw(f, []byte{2<<3 | 2, 2, 1<<3 | 2, 9}))
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := paged.Items(body, func(item []byte) error {
			assert.LessOrEqual(t, len(item), paged.MaxItem)
			var node corev1.Node
			return node.Unmarshal(item)
		})
		if err == nil {
			assert.LessOrEqual(t, len(token), len(body))
		}
	})
}
