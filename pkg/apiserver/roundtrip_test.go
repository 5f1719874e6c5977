// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"math/rand" //nolint:depguard // fuzzer.FuzzerFor takes a source of it.
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/apitesting/roundtrip"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/randfill"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

// fuzzerFuncs fill types with what the server makes of them: decoding sets defaults.
func fuzzerFuncs(serializer.CodecFactory) []any {
	return []any{
		filled(multiclusterv1alpha1.SetDefaults_AuthTokenRequest),
		filled(clusterpassv1alpha1.SetDefaults_ClusterCredentialSet),
		filled(clusterpassv1alpha1.SetDefaults_Placement),
		filled(func(status *inventoryv1alpha1.ClusterProfileStatus) {
			if status.Conditions == nil {
				status.Conditions = []metav1.Condition{}
			}
		}),
		func(extension *clientcmdv1.NamedExtension, c randfill.Continue) {
			extension.Name = c.String(0)
			extension.Extension = runtime.RawExtension{Raw: []byte(`{"key":"value"}`)}
		},
	}
}

func filled[T any](setDefaults func(*T)) func(*T, randfill.Continue) {
	return func(object *T, c randfill.Continue) {
		c.FillNoCustom(object)
		setDefaults(object)
	}
}

func newFiller(t *testing.T) *randfill.Filler {
	t.Helper()
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	return fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, fuzzerFuncs), rand.NewSource(seed), Codecs)
}

func TestScheme_RoundTrip(t *testing.T) {
	for gv, kinds := range servedKinds {
		for _, kind := range kinds {
			t.Run(gv.WithKind(kind).String(), func(t *testing.T) {
				internal := gv.WithKind(kind)
				internal.Version = runtime.APIVersionInternal
				filler := newFiller(t)
				roundtrip.RoundTripSpecificKindWithoutProtobuf(t, gv.WithKind(kind), Scheme, Codecs, filler, nil)
				roundtrip.RoundTripSpecificKindWithoutProtobuf(t, internal, Scheme, Codecs, filler, nil)
			})
		}
	}
}
