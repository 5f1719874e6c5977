// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"clusterpass.dev/pkg/member"
)

// TestJoiner_Stay is about an unjoin that is begun while the join is under way.
func TestJoiner_Stay(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: SystemNamespace, Name: "member-default-bravelion",
		Annotations: map[string]string{member.ClusterProfileAnnotation: "default/bravelion", member.LeavingAnnotation: "2026-05-04T12:00:00Z"},
	}}
	out := &report{out: io.Discard}
	j := &joiner{
		Target: Target{Namespace: "default", Name: "bravelion", Out: io.Discard, DryRun: DryRunNone},
		hub:    &side{name: "hub", kube: fake.NewClientset(secret), report: out}, report: out,
	}
	require.ErrorContains(t, j.checkStays(t.Context()), "marks it as leaving since 2026-05-04T12:00:00Z")
	require.NoError(t, j.stay(t.Context()))
	require.NoError(t, j.checkStays(t.Context()))
	now, err := j.hub.kube.CoreV1().Secrets(SystemNamespace).Get(t.Context(), secret.Name, metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotContains(t, now.Annotations, member.LeavingAnnotation)
	require.NoError(t, j.stay(t.Context()), "once more")
}
