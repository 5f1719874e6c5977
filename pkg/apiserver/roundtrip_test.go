// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"math/rand" //nolint:depguard // fuzzer.FuzzerFor takes a source of it.
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/apitesting/roundtrip"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/randfill"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	multiclusterv1alpha2 "clusterpass.dev/apis/multicluster/v1alpha2"
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
		func(extension *multiclusterv1alpha2.NamedExtension, c randfill.Continue) {
			extension.Name = c.String(0)
			extension.Extension = runtime.RawExtension{Raw: []byte(`{"key":"value"}`)}
		},
	}
}

// legacyFuncs leave out of a ClusterProfile what v1alpha2 lacks.
func legacyFuncs(serializer.CodecFactory) []any {
	return []any{
		filled(func(status *inventoryv1alpha1.ClusterProfileStatus) {
			dropLegacy(status)
			if status.Conditions == nil {
				status.Conditions = []metav1.Condition{}
			}
		}),
	}
}

func dropLegacy(status *inventoryv1alpha1.ClusterProfileStatus) {
	status.CredentialProviders = nil
	for i := range status.AccessProviders {
		status.AccessProviders[i].Cluster.CertificateAuthority = ""
	}
}

func filled[T any](setDefaults func(*T)) func(*T, randfill.Continue) {
	return func(object *T, c randfill.Continue) {
		c.FillNoCustom(object)
		setDefaults(object)
	}
}

func newFiller(t *testing.T, more ...fuzzer.FuzzerFuncs) *randfill.Filler {
	t.Helper()
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	funcs := append([]fuzzer.FuzzerFuncs{metafuzzer.Funcs, fuzzerFuncs}, more...)
	return fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(funcs...), rand.NewSource(seed), Codecs)
}

func TestScheme_RoundTrip(t *testing.T) {
	for gv, kinds := range servedKinds {
		for _, kind := range kinds {
			t.Run(gv.WithKind(kind).String(), func(t *testing.T) {
				roundtrip.RoundTripSpecificKindWithoutProtobuf(t, gv.WithKind(kind), Scheme, Codecs, newFiller(t), nil)
				// To all versions, and back.
				internal := gv.WithKind(kind)
				internal.Version = runtime.APIVersionInternal
				roundtrip.RoundTripSpecificKindWithoutProtobuf(t, internal, Scheme, Codecs, newFiller(t, legacyFuncs), nil)
			})
		}
	}
}

func TestScheme_Convert(t *testing.T) {
	t.Run("v1alpha2 to v1alpha1 and back is lossless", func(t *testing.T) {
		convertAndBack[multiclusterv1alpha2.ClusterProfile, inventoryv1alpha1.ClusterProfile](t, nil)
	})
	t.Run("v1alpha1 to v1alpha2 and back loses credentialProviders and CA paths", func(t *testing.T) {
		convertAndBack[inventoryv1alpha1.ClusterProfile, multiclusterv1alpha2.ClusterProfile](t,
			func(profile *inventoryv1alpha1.ClusterProfile) { dropLegacy(&profile.Status) })
	})
	t.Run("PlacementDecisions lose nothing", func(t *testing.T) {
		convertAndBack[inventoryv1alpha1.PlacementDecision, multiclusterv1alpha2.PlacementDecision](t, nil)
	})
	t.Run("objects are stored in v1alpha1, where conditions are never null", func(t *testing.T) {
		profile := &multiclusterv1alpha2.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Name: "bravelion"}}
		data, err := runtime.Encode(Codecs.LegacyCodec(storedVersions...), profile)
		require.NoError(t, err)
		assert.Contains(t, string(data), `"apiVersion":"multicluster.x-k8s.io/v1alpha1"`)
		assert.Contains(t, string(data), `"conditions":[]`)
	})
}

// convertAndBack converts made-up objects to another version and back, and expects what is not
// lost.
func convertAndBack[From, To any](t *testing.T, lose func(*From)) {
	t.Helper()
	filler := newFiller(t)
	for range 200 {
		want, between, got := new(From), new(To), new(From)
		filler.Fill(want)
		require.NoError(t, Scheme.Convert(want, between, nil))
		require.NoError(t, Scheme.Convert(between, got, nil))
		if lose != nil {
			lose(want)
		}
		// An absent list and an empty one are the same.
		require.True(t, apiequality.Semantic.DeepEqual(want, got), cmp.Diff(want, got))
	}
}
