// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/taints"
)

// NewCluster returns the Cluster for a ClusterProfile and the ClusterScores that name it. It
// returns an error if the taints in the annotation are invalid.
func NewCluster(profile *inventoryv1alpha1.ClusterProfile, scores []*v1alpha1.ClusterScore) (Cluster, error) {
	own, err := ownTaints(profile)
	if err != nil {
		return Cluster{}, err
	}
	c := Cluster{
		NamespacedName:    types.NamespacedName{Namespace: profile.Namespace, Name: profile.Name},
		Labels:            profile.Labels,
		Annotations:       profile.Annotations,
		Properties:        make(map[string]string, len(profile.Status.Properties)),
		KubernetesVersion: profile.Status.Version.Kubernetes,
		Conditions:        profile.Status.Conditions,
		Taints:            append(own, impliedTaints(profile)...),
		Scores:            make(map[string]*Figures, len(scores)),
	}
	for i := range profile.Status.Properties {
		c.Properties[profile.Status.Properties[i].Name] = profile.Status.Properties[i].Value
	}
	for _, score := range slices.SortedFunc(slices.Values(scores), compareAge) {
		if c.Scores[score.Spec.ResourceName] == nil {
			c.Scores[score.Spec.ResourceName] = newFigures(&score.Status)
		}
	}
	return c, nil
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

// compareAge orders by creation time, and those of the same second by name.
func compareAge(a, b *v1alpha1.ClusterScore) int {
	if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

func newFigures(status *v1alpha1.ClusterScoreStatus) *Figures {
	f := &Figures{
		Values: make(map[string]resource.Quantity, len(status.Values)),
		Scores: make(map[string]int32, len(status.Scores)),
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
	if status.ValidUntil != nil {
		f.ValidUntil = status.ValidUntil.Time
	}
	return f
}

// ownTaints returns the taints in the annotation of a ClusterProfile. Another server may have
// stored it without validation.
func ownTaints(profile *inventoryv1alpha1.ClusterProfile) ([]v1alpha1.ClusterTaint, error) {
	annotation := profile.Annotations[v1alpha1.AnnotationTaints]
	if annotation == "" {
		return nil, nil
	}
	own, err := taints.Parse(annotation)
	if err != nil {
		return nil, fmt.Errorf("read annotation %s of ClusterProfile %s/%s: %w", v1alpha1.AnnotationTaints, profile.Namespace, profile.Name, err)
	}
	return own, nil
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
