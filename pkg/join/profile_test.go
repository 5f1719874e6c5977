// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
)

func TestParseTaint(t *testing.T) {
	for written, want := range map[string]clusterpassv1alpha1.ClusterTaint{
		"example.com/new=true:NoSelect": {Key: "example.com/new", Value: "true", Effect: clusterpassv1alpha1.TaintEffectNoSelect},
		"new:PreferNoSelect":            {Key: "new", Effect: clusterpassv1alpha1.TaintEffectPreferNoSelect},
		"new=:NoSelectIfNew":            {Key: "new", Effect: clusterpassv1alpha1.TaintEffectNoSelectIfNew},
	} {
		taint, err := ParseTaint(written)
		require.NoError(t, err, written)
		assert.Equal(t, want, taint)
	}
	for _, written := range []string{"", "new", "new=true", ":NoSelect", "new:NoSchedule", "a b:NoSelect", "new=a:b:NoSelect"} {
		_, err := ParseTaint(written)
		require.ErrorContains(t, err, "is not KEY[=VALUE]:EFFECT", written)
	}
}

func TestMergeTaints(t *testing.T) {
	now := metav1.NewTime(time.Now().UTC())
	earlier := metav1.NewTime(now.Add(-time.Hour))
	type taints = []clusterpassv1alpha1.ClusterTaint
	taint := func(key, value string, added metav1.Time) clusterpassv1alpha1.ClusterTaint {
		return clusterpassv1alpha1.ClusterTaint{Key: key, Value: value, Effect: clusterpassv1alpha1.TaintEffectNoSelect, TimeAdded: added}
	}
	present := taints{taint("theirs", "", earlier), taint("same", "a", earlier), taint("changed", "a", earlier)}
	wanted := taints{taint("same", "a", metav1.Time{}), taint("changed", "b", metav1.Time{}), taint("new", "", metav1.Time{})}
	assert.Equal(t, taints{taint("theirs", "", earlier), taint("same", "a", earlier), taint("changed", "b", now), taint("new", "", now)},
		mergeTaints(present, wanted, now))
}
