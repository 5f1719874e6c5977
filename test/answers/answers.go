// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package answers has what the member of a test answers by HTTP: bodies as they are, compressed or
// in protobuf, and one without an end. Package fakemember answers as an API server does.
package answers

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

// Send answers with a body of a content type. header has names and values by turns.
func Send(contentType string, body []byte, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		_, _ = w.Write(body)
	}
}

// Endless never ends its answer.
func Endless(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
	for chunk := make([]byte, 1<<20); ; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// Protobuf returns an object of Kubernetes in protobuf.
func Protobuf(t testing.TB, object runtime.Object) []byte {
	t.Helper()
	body, err := runtime.Encode(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), object)
	require.NoError(t, err)
	return body
}

// Gzip returns a body compressed.
func Gzip(t testing.TB, body []byte) []byte {
	t.Helper()
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	_, err := w.Write(body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return compressed.Bytes()
}
