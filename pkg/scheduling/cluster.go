// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/taints"
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

func instant(nanoseconds int64) time.Time {
	if nanoseconds == forever {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds).UTC()
}

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
		equality.Semantic.DeepEqual(a.Conditions, b.Conditions) && equality.Semantic.DeepEqual(a.Taints, b.Taints) &&
		maps.EqualFunc(a.Scores, b.Scores, func(x, y *Figures) bool { return sameFigures(x, y, now) })
}

// NewCluster returns the Cluster for a ClusterProfile and the ClusterScores that name it. It
// returns an error if the taints in the annotation are invalid.
func NewCluster(profile *inventoryv1alpha1.ClusterProfile, scores []*v1alpha1.ClusterScore) (Cluster, error) {
	allTaints := impliedTaints(profile)
	// Another server may have stored the annotation without validation.
	if annotation := profile.Annotations[v1alpha1.AnnotationTaints]; annotation != "" {
		own, err := taints.Parse(annotation)
		if err != nil {
			return Cluster{}, fmt.Errorf("read annotation %s of ClusterProfile %s/%s: %w",
				v1alpha1.AnnotationTaints, profile.Namespace, profile.Name, err)
		}
		allTaints = append(own, allTaints...)
	}
	c := Cluster{
		NamespacedName:    types.NamespacedName{Namespace: profile.Namespace, Name: profile.Name},
		Labels:            profile.Labels,
		Annotations:       profile.Annotations,
		Properties:        make(map[string]string, len(profile.Status.Properties)),
		KubernetesVersion: profile.Status.Version.Kubernetes,
		Conditions:        profile.Status.Conditions,
		Taints:            allTaints,
		Scores:            make(map[string]*Figures, len(scores)),
	}
	for i := range profile.Status.Properties {
		c.Properties[profile.Status.Properties[i].Name] = profile.Status.Properties[i].Value
	}
	oldestFirst := slices.SortedFunc(slices.Values(scores), func(a, b *v1alpha1.ClusterScore) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	for _, score := range oldestFirst {
		if c.Scores[score.Spec.ResourceName] == nil {
			c.Scores[score.Spec.ResourceName] = newFigures(&score.Status)
		}
	}
	return c, nil
}

// NewDecision returns the decision of a placement. moved is when it last changed, nil if unknown.
func NewDecision(clusters []types.NamespacedName, moved *metav1.MicroTime) Decision {
	return Decision{Clusters: clusters, MovedAt: ptr.Deref(moved, metav1.MicroTime{}).Time}
}

// Feed adds or updates the cluster of a ClusterProfile with its ClusterScores, like Set. If the
// ClusterProfile is being deleted or is invalid, Feed removes the cluster, like Delete. The error
// says why it is invalid.
func (f *Fleet) Feed(profile *inventoryv1alpha1.ClusterProfile, scores []*v1alpha1.ClusterScore, now time.Time) (*Change, error) {
	name := types.NamespacedName{Namespace: profile.Namespace, Name: profile.Name}
	if profile.DeletionTimestamp != nil {
		return f.Delete(name), nil
	}
	cluster, err := NewCluster(profile, scores)
	if err != nil {
		return f.Delete(name), err
	}
	return f.Set(cluster, now), nil
}

// ClusterSetLabel is the label of a namespace with the name of its cluster set (KEP-4322).
const ClusterSetLabel = "multicluster.x-k8s.io/clusterset"

// ClusterSetOf returns the cluster set of a namespace. It is empty for none, and for a namespace
// that is being deleted.
func ClusterSetOf(namespace *corev1.Namespace) string {
	if namespace.DeletionTimestamp != nil {
		return ""
	}
	return namespace.Labels[ClusterSetLabel]
}

// MayList returns the right that the author of a placement needs to select clusters of another
// namespace.
func MayList(namespace string) authorizationv1.ResourceAttributes {
	return authorizationv1.ResourceAttributes{
		Namespace: namespace, Verb: "list", Group: inventoryv1alpha1.Group, Version: inventoryv1alpha1.Version, Resource: "clusterprofiles",
	}
}

func newFigures(status *v1alpha1.ClusterScoreStatus) *Figures {
	f := &Figures{
		Values:     make(map[string]resource.Quantity, len(status.Values)),
		Scores:     make(map[string]int32, len(status.Scores)),
		ValidUntil: ptr.Deref(status.ValidUntil, metav1.Time{}).Time,
	}
	for i := range status.Values {
		if value := status.Values[i].Value; value != nil {
			f.Values[status.Values[i].Name] = *value
		}
	}
	for i := range status.Scores {
		if score := status.Scores[i].Value; score != nil {
			f.Scores[status.Scores[i].Name] = *score
		}
	}
	return f
}

// impliedTaints returns the taints for the cluster's health, with the same meaning as in OCM.
func impliedTaints(profile *inventoryv1alpha1.ClusterProfile) []v1alpha1.ClusterTaint {
	taint := v1alpha1.ClusterTaint{Key: v1alpha1.TaintUnreachable, Effect: v1alpha1.TaintEffectNoSelect, TimeAdded: profile.CreationTimestamp}
	healthy := meta.FindStatusCondition(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	if healthy == nil {
		return []v1alpha1.ClusterTaint{taint}
	}
	taint.TimeAdded = healthy.LastTransitionTime
	switch healthy.Status {
	case metav1.ConditionTrue:
		return nil
	case metav1.ConditionFalse:
		taint.Key = v1alpha1.TaintUnavailable
	}
	return []v1alpha1.ClusterTaint{taint}
}
