// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/kueue"
	"clusterpass.dev/pkg/credentialset"
)

// kind is one of those of Kueue that are kept.
type kind struct {
	name     string
	resource schema.GroupVersionResource
}

var (
	clusterKind = kind{"MultiKueueCluster", kueue.GroupVersion.WithResource(kueue.MultiKueueClusters)}
	configKind  = kind{"MultiKueueConfig", kueue.GroupVersion.WithResource(kueue.MultiKueueConfigs)}
	checkKind   = kind{"AdmissionCheck", kueue.GroupVersion.WithResource(kueue.AdmissionChecks)}
	// kinds are in the order in which they are deleted: what refers to others goes first.
	kinds = []kind{checkKind, configKind, clusterKind}
)

const (
	// activeCondition is Kueue's, of a MultiKueueCluster.
	activeCondition = "Active"
	// annotationSet tells people whose object it is: NAMESPACE/NAME of the set.
	annotationSet = "clusterpass.dev/credential-set"
)

// Worker is a cluster for Kueue.
type Worker struct {
	// Name is that of its ClusterProfile.
	Name string
	// Secret is the name of the Secret with its kubeconfig; empty if Kueue is to go by the
	// ClusterProfile.
	Secret string
}

func newCluster(set *v1alpha1.ClusterCredentialSet, w Worker) *unstructured.Unstructured {
	source := map[string]any{"clusterProfileRef": map[string]any{"name": w.Name}}
	if w.Secret != "" {
		source = map[string]any{"kubeConfig": map[string]any{"locationType": "Secret", "location": w.Secret}}
	}
	cluster := newObject(set, clusterKind, w.Name, map[string]any{"clusterSource": source})
	cluster.SetAnnotations(labels.Merge(cluster.GetAnnotations(), labels.Set{
		v1alpha1.AnnotationClusterProfile: credentialset.ProfileNamespace(set) + "/" + w.Name,
	}))
	return cluster
}

func newConfig(set *v1alpha1.ClusterCredentialSet, clusters []string) *unstructured.Unstructured {
	names := make([]any, len(clusters))
	for i, name := range clusters {
		names[i] = name
	}
	return newObject(set, configKind, credentialset.ConfigName(set), map[string]any{"clusters": names})
}

func newCheck(set *v1alpha1.ClusterCredentialSet) *unstructured.Unstructured {
	return newObject(set, checkKind, credentialset.ConfigName(set), map[string]any{
		"controllerName": kueue.MultiKueue,
		"parameters":     map[string]any{"apiGroup": kueue.GroupVersion.Group, "kind": configKind.name, "name": credentialset.ConfigName(set)},
	})
}

func newObject(set *v1alpha1.ClusterCredentialSet, of kind, name string, spec map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	object.SetGroupVersionKind(kueue.GroupVersion.WithKind(of.name))
	object.SetName(name)
	object.SetLabels(map[string]string{v1alpha1.LabelCredentialSetUID: string(set.UID)})
	object.SetAnnotations(map[string]string{annotationSet: set.Namespace + "/" + set.Name})
	return object
}

// withSpec returns have with want's fields in its spec. Other fields are whoever's.
func withSpec(have, want *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	next := have.DeepCopy()
	spec, _, err := unstructured.NestedMap(want.Object, "spec")
	if err != nil {
		return nil, err
	}
	for field, value := range spec {
		if err := unstructured.SetNestedField(next.Object, value, "spec", field); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// connection returns what Kueue says of its connection to a cluster, nil if it says nothing yet.
func connection(cluster *unstructured.Unstructured) *metav1.Condition {
	var typed struct {
		Status struct {
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(cluster.Object, &typed); err != nil {
		return nil
	}
	return meta.FindStatusCondition(typed.Status.Conditions, activeCondition)
}
