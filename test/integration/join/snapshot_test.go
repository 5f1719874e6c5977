// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"clusterpass.dev/test/testenv"
)

// everywhere are the resources that join and unjoin may touch, on any cluster.
var everywhere = []schema.GroupVersionResource{
	{Version: "v1", Resource: "namespaces"},
	{Version: "v1", Resource: "serviceaccounts"},
	{Version: "v1", Resource: "secrets"},
	{Version: "v1", Resource: "configmaps"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
}

var onHub = append([]schema.GroupVersionResource{
	{Group: "multicluster.x-k8s.io", Version: "v1alpha1", Resource: "clusterprofiles"},
	{Group: "clusterpass.dev", Version: "v1alpha1", Resource: "authtokengrants"},
}, everywhere...)

// snapshot returns the resourceVersion of every object of a cluster that join could touch, but for
// what Kubernetes itself puts into a new namespace.
func snapshot(t *testing.T, cluster *testenv.Cluster) map[string]string {
	t.Helper()
	client := testenv.Must[metadata.Interface](t)(metadata.NewForConfig(cluster.RESTConfig()))
	resources := everywhere
	if cluster == shared.Hub {
		resources = onHub
	}
	all := map[string]string{}
	for _, resource := range resources {
		list := testenv.List(t, client.Resource(resource), metav1.ListOptions{})
		for i := range list.Items {
			o := &list.Items[i]
			if o.Name != "kube-root-ca.crt" && (resource.Resource != "serviceaccounts" || o.Name != "default") {
				all[resource.Resource+" "+o.Namespace+"/"+o.Name] = o.ResourceVersion
			}
		}
	}
	return all
}

// snapshots are those of the hub and a member.
func snapshots(t *testing.T, member *testenv.Cluster) [2]map[string]string {
	t.Helper()
	return [2]map[string]string{snapshot(t, shared.Hub), snapshot(t, member)}
}

// waitNamespaceGone waits until a namespace that was deleted is gone, also when the test has ended.
func waitNamespaceGone(t *testing.T, cluster *testenv.Cluster, name string) {
	t.Helper()
	testenv.EventuallyIn(context.WithoutCancel(t.Context()), t, testenv.WaitTimeout, func(ctx context.Context) error {
		return gone(ctx, cluster.Kube(t).CoreV1().Namespaces(), name)
	})
}
