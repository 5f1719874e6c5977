// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// Cluster is what placements know of one cluster. It is not changed once a Fleet has it.
type Cluster struct {
	// NamespacedName is that of the ClusterProfile.
	types.NamespacedName
	// Labels and Annotations are those of the ClusterProfile.
	Labels, Annotations map[string]string
	// Properties are those in its status, by name.
	Properties map[string]string
	// KubernetesVersion is the one in its status.
	KubernetesVersion string
	// Conditions are those in its status.
	Conditions []metav1.Condition
	// Taints are those of its annotation, and those that its conditions imply.
	Taints []v1alpha1.ClusterTaint
	// Scores are its ClusterScores by their resource names.
	Scores map[string]*Figures
}

// forever is the instant of what never happens, in nanoseconds since 1970 as all instants here.
const forever int64 = math.MaxInt64

// compareNames orders clusters by name, and those of one name by namespace.
func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Namespace, b.Namespace))
}

// sameMeaning returns whether no placement decides otherwise for b than for a. Figures that were valid at now and have
// only been renewed mean the same: an expiry that is put off is found out when it would have come.
func sameMeaning(a, b *Cluster, now time.Time) bool {
	return maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) && maps.Equal(a.Properties, b.Properties) &&
		a.KubernetesVersion == b.KubernetesVersion &&
		slices.EqualFunc(a.Conditions, b.Conditions, func(x, y metav1.Condition) bool { return equality.Semantic.DeepEqual(x, y) }) &&
		slices.EqualFunc(a.Taints, b.Taints, func(x, y v1alpha1.ClusterTaint) bool { return equality.Semantic.DeepEqual(x, y) }) &&
		maps.EqualFunc(a.Scores, b.Scores, func(x, y *Figures) bool { return sameFigures(x, y, now) })
}
