// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// fieldManager owns what is nominated. Kueue takes it over by its MutatingAdmissionPolicy for dispatchers, or ours.
const fieldManager = "clusterpass-multikueue-dispatcher"

// sync nominates clusters for a Workload that waits for some.
func (c *Controller) sync(ctx context.Context, name cache.ObjectName) error {
	w, err := get[workload](c.kueue.workloads, name.String())
	if err != nil {
		return err
	}
	if w == nil || !w.waits() {
		c.tell(name, "")
		return nil
	}
	config, err := c.configOf(w)
	if err != nil || config == nil {
		return err
	}
	want, err := c.nominate(w, config)
	if err != nil {
		return err
	}
	if !slices.Equal(want.clusters, w.Status.NominatedClusterNames) {
		if err := c.write(ctx, w, want.clusters); err != nil {
			return fmt.Errorf("nominating: %w", err)
		}
	}
	c.report(w, want)
	return nil
}

// write nominates clusters for a Workload, and nothing else. The UID has it fail for another one of the same name.
func (c *Controller) write(ctx context.Context, w *workload, clusters []string) error {
	nominated := make([]any, len(clusters))
	for i, name := range clusters {
		nominated[i] = name
	}
	patch := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"nominatedClusterNames": nominated}}}
	patch.SetGroupVersionKind(groupVersion.WithKind("Workload"))
	patch.SetNamespace(w.Namespace)
	patch.SetName(w.Name)
	patch.SetUID(w.UID)
	_, err := c.Objects.Resource(groupVersion.WithResource(workloads)).Namespace(w.Namespace).
		ApplyStatus(ctx, w.Name, patch, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if err == nil {
		nominations.Inc()
		klog.FromContext(ctx).V(2).Info("Nominated", "workload", klog.KObj(w), "clusters", clusters)
	}
	return err
}

// report tells the user of a Workload what it was nominated for, or why it was not, once.
func (c *Controller) report(w *workload, is nomination) {
	kind, reason, message := corev1.EventTypeNormal, "Nominated", strings.Join(is.clusters, ", ")+": "+is.why
	if len(is.clusters) == 0 {
		kind, reason, message = corev1.EventTypeWarning, "NotNominated", is.why
	}
	if c.tell(cache.MetaObjectToName(w), message) {
		c.Recorder.Eventf(&corev1.ObjectReference{
			APIVersion: groupVersion.String(), Kind: "Workload", Namespace: w.Namespace, Name: w.Name, UID: w.UID, ResourceVersion: w.ResourceVersion,
		}, nil, kind, reason, "Nominate", "%s", message)
	}
}

// tell says whether a message about a Workload is another than the last one, and remembers it. An empty one forgets the Workload.
func (c *Controller) tell(name cache.ObjectName, message string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told[name] == message {
		return false
	}
	if message == "" {
		delete(c.told, name)
		return false
	}
	c.told[name] = message
	return true
}
