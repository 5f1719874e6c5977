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

// Cluster has the data of one cluster that placements use. It must not be changed after it was
// added to a Fleet.
type Cluster struct {
	// NamespacedName is the namespace and name of the ClusterProfile.
	types.NamespacedName
	// Labels and Annotations are the ones of the ClusterProfile.
	Labels, Annotations map[string]string
	// Properties are the properties in its status, by name.
	Properties map[string]string
	// KubernetesVersion is the version in its status.
	KubernetesVersion string
	// Conditions are the conditions in its status.
	Conditions []metav1.Condition
	// Taints are the taints in its annotation and those that its conditions imply.
	Taints []v1alpha1.ClusterTaint
	// Scores has its ClusterScores by resource name.
	Scores map[string]*Figures
}

// forever is the instant of events that never happen. Like all instants here, it is in nanoseconds
// since 1970.
const forever int64 = math.MaxInt64

// compareNames orders clusters by name, and those of one name by namespace.
func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Namespace, b.Namespace))
}

// sameMeaning returns whether all placements decide the same for a and b. This includes figures
// that were valid at now and have only been renewed: a plan notices the later expiry when the
// earlier one is due.
func sameMeaning(a, b *Cluster, now time.Time) bool {
	return maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) && maps.Equal(a.Properties, b.Properties) &&
		a.KubernetesVersion == b.KubernetesVersion &&
		slices.EqualFunc(a.Conditions, b.Conditions, func(x, y metav1.Condition) bool { return equality.Semantic.DeepEqual(x, y) }) &&
		slices.EqualFunc(a.Taints, b.Taints, func(x, y v1alpha1.ClusterTaint) bool { return equality.Semantic.DeepEqual(x, y) }) &&
		maps.EqualFunc(a.Scores, b.Scores, func(x, y *Figures) bool { return sameFigures(x, y, now) })
}
