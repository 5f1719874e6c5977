// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/kueue"
)

const (
	// maxNominated is Kueue's limit for the nominated clusters of a Workload.
	maxNominated = 20
	// pending is the state of an AdmissionCheck that a Workload is waiting for.
	pending = "Pending"
	// quotaReserved and finished are conditions of a Workload.
	quotaReserved = "QuotaReserved"
	finished      = "Finished"
)

const (
	// byPlacement is the index of Workloads and LocalQueues by NAMESPACE/NAME of the Placement that
	// they name.
	byPlacement = "placement"
	// byQueue is the index of Workloads by NAMESPACE/NAME of their LocalQueue.
	byQueue = "queue"
	// byOwner is the index of Workloads by their namespace and the UID of the object that they are
	// for.
	byOwner = "owner"
)

// Kueue's types, with only the fields that are used here.
type (
	workload struct {
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			QueueName string `json:"queueName"`
		} `json:"spec"`
		Status struct {
			Conditions            []metav1.Condition `json:"conditions"`
			AdmissionChecks       []checkState       `json:"admissionChecks"`
			ClusterName           string             `json:"clusterName"`
			NominatedClusterNames []string           `json:"nominatedClusterNames"`
		} `json:"status"`
	}
	checkState struct {
		Name  string `json:"name"`
		State string `json:"state"`
	}
	localQueue struct {
		metav1.ObjectMeta `json:"metadata"`
	}
	admissionCheck struct {
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			ControllerName string `json:"controllerName"`
			Parameters     struct {
				Name string `json:"name"`
			} `json:"parameters"`
		} `json:"spec"`
	}
	multiKueueConfig struct {
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Clusters []string `json:"clusters"`
		} `json:"spec"`
	}
	multiKueueCluster struct {
		metav1.ObjectMeta `json:"metadata"`
	}
)

// waits returns whether a Workload is waiting for a cluster.
func (w *workload) waits() bool {
	return w.DeletionTimestamp == nil && w.Status.ClusterName == "" &&
		meta.IsStatusConditionTrue(w.Status.Conditions, quotaReserved) && !meta.IsStatusConditionTrue(w.Status.Conditions, finished)
}

// placement returns the name of the Placement that a Workload or a LocalQueue names, or "" if it
// names none.
func placement(object metav1.Object) string { return object.GetLabels()[v1alpha1.LabelPlacement] }

// watched has informers of the objects of Kueue.
type watched struct {
	workloads, queues, checks, configs, clusters cache.SharedIndexInformer
}

func newWatched(objects dynamic.Interface) (*watched, error) {
	informer := func(resource string, indexers cache.Indexers) cache.SharedIndexInformer {
		of := kueue.GroupVersion.WithResource(resource)
		return dynamicinformer.NewFilteredDynamicInformer(objects, of, metav1.NamespaceAll, 0, indexers, nil).Informer()
	}
	k := &watched{
		workloads: informer(kueue.Workloads, cache.Indexers{byPlacement: placementOf, byQueue: queueOf, byOwner: ownerOf}),
		queues:    informer(kueue.LocalQueues, cache.Indexers{byPlacement: placementOf}),
		checks:    informer(kueue.AdmissionChecks, cache.Indexers{}),
		configs:   informer(kueue.MultiKueueConfigs, cache.Indexers{}),
		clusters:  informer(kueue.MultiKueueClusters, cache.Indexers{}),
	}
	return k, errors.Join(keepAs[workload](k.workloads), keepAs[localQueue](k.queues), keepAs[admissionCheck](k.checks),
		keepAs[multiKueueConfig](k.configs), keepAs[multiKueueCluster](k.clusters))
}

// keepAs makes an informer convert objects to type T.
func keepAs[T any](informer cache.SharedIndexInformer) error {
	return informer.SetTransform(func(obj any) (any, error) {
		object, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return obj, nil
		}
		object.SetManagedFields(nil)
		typed := new(T)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed); err != nil {
			return nil, fmt.Errorf("%s %s: %w", object.GetKind(), cache.MetaObjectToName(object), err)
		}
		return typed, nil
	})
}

// get returns the object with a key from an informer's cache, or nil if there is none.
func get[T any](informer cache.SharedIndexInformer, key string) (*T, error) {
	obj, exists, err := informer.GetIndexer().GetByKey(key)
	if err != nil || !exists {
		return nil, err
	}
	object, ok := obj.(*T)
	if !ok {
		return nil, fmt.Errorf("%s is a %T", key, obj)
	}
	return object, nil
}

func placementOf(obj any) ([]string, error) {
	object, err := meta.Accessor(obj)
	if err != nil || placement(object) == "" {
		return nil, err
	}
	return []string{object.GetNamespace() + "/" + placement(object)}, nil
}

func queueOf(obj any) ([]string, error) {
	if w, ok := obj.(*workload); ok && w.Spec.QueueName != "" {
		return []string{w.Namespace + "/" + w.Spec.QueueName}, nil
	}
	return nil, nil
}

func ownerOf(obj any) ([]string, error) {
	if w, ok := obj.(*workload); ok {
		if owner := metav1.GetControllerOf(w); owner != nil {
			return []string{w.Namespace + "/" + string(owner.UID)}, nil
		}
	}
	return nil, nil
}
