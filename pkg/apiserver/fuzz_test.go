// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"clusterpass.dev/pkg/bounds"
)

// FuzzBody has the body of a request be anything: what passes the bounds is decoded as any kind, and checked.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"multicluster.x-k8s.io/v1alpha1","kind":"AuthTokenRequest","spec":{"clusterRoles":[{"name":"a","rules":[{}]}]}}`), "application/json")
	f.Add([]byte("apiVersion: clusterpass.dev/v1alpha1\nkind: Placement\nspec: {numberOfClusters: 1}\n"), "application/yaml")
	f.Add([]byte("apiVersion: multicluster.x-k8s.io/v1alpha1\nkind: ClusterProfile\nmetadata: &a {labels: {a: b}}\nstatus: *a\n"), "application/apply-patch+yaml")
	f.Add([]byte(`{"apiVersion":"clusterpass.dev/v1alpha1","kind":"ClusterCredentialSet","spec":{"secret":{"argoCD":{}}}}`), "application/json")
	f.Add([]byte(`{"apiVersion":"clusterpass.dev/v1alpha1","kind":"ClusterScore","status":{"scores":[{"name":"a","value":1e99}]}}`), "application/json")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		if err := checkBody(body, contentType, bodyLimit{entries: bounds.MaxEntries}); err != nil {
			require.NotEmpty(t, apierrors.ReasonForError(err), err)
			return
		}
		object, _, err := Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil {
			return
		}
		Scheme.Default(object)
		_ = bounds.Limit(bounds.Check(object, nil))
		_, _ = runtime.Encode(Codecs.LegacyCodec(groupVersions...), object)
	})
}
