// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/member"
)

// system answers with a namespace kube-system of this UID.
func system(uid string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": %q}}`, uid)
	}
}

func TestController_Identify(t *testing.T) {
	for name, test := range map[string]struct {
		uid     string
		change  func(b *bench)
		refused error
		want    string
		writes  int
	}{
		"a ClusterProfile without the label gets the UID of its member, once": {uid: "member-uid", want: "member-uid", writes: 1},
		"a value that is there stays": {uid: "member-uid", want: "other", change: func(b *bench) {
			b.stored.Labels = map[string]string{v1alpha2.LabelInventoryMemberID: "other"}
		}},
		"a hostile member that claims to be another has no say where join has noted what it is": {
			uid: "uid-of-another", want: "noted", writes: 1,
			change: func(b *bench) { b.stored.Annotations = map[string]string{member.MemberUIDAnnotation: "noted"} },
		},
		"a member that is not healthy has no say": {uid: "member-uid", change: func(b *bench) {
			b.member.answer("/readyz", plain(http.StatusInternalServerError, "[-]etcd failed"))
		}},
		"a member that does not say": {change: func(b *bench) {
			b.member.answer(systemPath, plain(http.StatusForbidden, "no"))
		}},
		"a hostile member's UID that is no label value": {uid: "a b"},
		"a hostile member's UID that is too long":       {uid: strings.Repeat("a", 64)},
		"a hub that refuses it is not asked at every probe": {uid: "member-uid",
			refused: apierrors.NewForbidden(inventoryv1alpha1.Resource("clusterprofiles"), "bravelion", nil), writes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			b, writes := newBench(t), 0
			b.member.answer(systemPath, system(test.uid))
			if test.change != nil {
				test.change(b)
			}
			b.client.PrependReactor("patch", "clusterprofiles", func(action clienttesting.Action) (bool, runtime.Object, error) {
				patch, ok := action.(clienttesting.PatchAction)
				require.True(t, ok)
				if patch.GetSubresource() != "" {
					return false, nil, nil
				}
				writes++
				if test.refused != nil {
					return true, nil, test.refused
				}
				require.NoError(t, json.Unmarshal(patch.GetPatch(), b.stored))
				return true, b.stored, nil
			})
			b.probes(t.Context(), 10)
			assert.Equal(t, test.want, b.stored.Labels[v1alpha2.LabelInventoryMemberID])
			assert.Equal(t, test.writes, writes)

			delete(b.stored.Labels, v1alpha2.LabelInventoryMemberID)
			b.probes(t.Context(), 10)
			if test.writes > 0 {
				assert.Equal(t, test.writes, writes, "a label that somebody removed came back")
			}
		})
	}
}
