// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package paged

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"

	"clusterpass.dev/test/fakemember"
)

// page returns a list of nodes in protobuf.
func page(t testing.TB, token string, names ...string) []byte {
	t.Helper()
	list := &corev1.NodeList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}, ListMeta: metav1.ListMeta{Continue: token}}
	for _, name := range names {
		list.Items = append(list.Items, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	var body bytes.Buffer
	require.NoError(t, protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(list, &body))
	return body.Bytes()
}

// raw returns a list of fields that are encoded already.
func raw(t testing.TB, fields []byte) []byte {
	t.Helper()
	list := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "NodeList"}, Raw: fields}
	body, err := list.Marshal()
	require.NoError(t, err)
	return append(bytes.Clone(prefix), body...)
}

// each returns the names of the nodes of a member that answers as handler does, and how many pages it was asked for.
func each(t *testing.T, handler func(call int) []byte) (names []string, calls int, err error) {
	t.Helper()
	m := fakemember.New(t, clock.RealClock{})
	m.Answer("/api/v1/nodes", func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, strconv.Itoa(size), r.URL.Query().Get("limit"))
		calls++
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		_, _ = w.Write(handler(calls))
	})
	client, err := m.For(t.Context(), m.Profile())
	require.NoError(t, err)
	err = Each(t.Context(), client.Kubernetes().CoreV1().RESTClient(), "nodes", metav1.ListOptions{}, func(item []byte) error {
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

func TestAListIsReadPageByPage(t *testing.T) {
	pages := [][]byte{page(t, "2", "a", "b"), page(t, "3"), page(t, "", "c")}
	names, calls, err := each(t, func(call int) []byte { return pages[call-1] })
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b", "c"}, names)
	assert.Equal(t, 3, calls)
}

func TestWhatAMemberAnswersIsBounded(t *testing.T) {
	whole := page(t, "", "a", "b")
	for name, test := range map[string]struct {
		answer func(call int) []byte
		words  string
		calls  int
	}{
		"the number of pages":            {func(call int) []byte { return page(t, strconv.Itoa(call)) }, "more than 2000 pages", maxPages},
		"the number of items":            {func(int) []byte { return raw(t, bytes.Repeat([]byte{2<<3 | 2, 0}, maxItems+1)) }, "more than 1000000 items", 1},
		"the size of an item":            {func(int) []byte { return page(t, "", strings.Repeat("a", maxItem)) }, "an item has more than 1572864 bytes", 1},
		"the length of the token":        {func(int) []byte { return page(t, strings.Repeat("a", maxToken+1)) }, "its token to continue a list with has more than 4096 bytes", 1},
		"the size of an answer":          {func(int) []byte { return make([]byte, 33<<20) }, "its answer has more than 33554432 bytes", 1},
		"that it is what was asked for":  {func(int) []byte { return []byte(`{"items": []}`) }, "not in protobuf", 1},
		"that it is there to its end":    {func(int) []byte { return whole[:len(whole)-20] }, "unexpected EOF", 1},
		"that its fields are fields":     {func(int) []byte { return raw(t, []byte{2<<3 | 2, 200}) }, "its nodes: ", 1},
		"that its items are what it has": {func(int) []byte { return raw(t, []byte{2<<3 | 2, 2, 1<<3 | 2, 9}) }, "its nodes: ", 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, calls, err := each(t, test.answer)
			require.ErrorContains(t, err, test.words)
			assert.Less(t, len(err.Error()), 2048)
			assert.Equal(t, test.calls, calls)
		})
	}
}

func TestTheStatusOfARefusalIsKept(t *testing.T) {
	m := fakemember.New(t, clock.RealClock{})
	m.Answer("/api/v1/nodes", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	client, err := m.For(t.Context(), m.Profile())
	require.NoError(t, err)
	err = Each(t.Context(), client.Kubernetes().CoreV1().RESTClient(), "nodes", metav1.ListOptions{}, func([]byte) error { return nil })
	assert.True(t, apierrors.IsForbidden(err), err)
}
