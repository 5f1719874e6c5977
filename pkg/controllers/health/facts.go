// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/member/paged"
	"clusterpass.dev/pkg/words"
)

const (
	// factsTimeout bounds all calls for the facts of one member.
	factsTimeout = 30 * time.Second
	// maxVersion bounds the version of a cluster, in bytes: v1.37.2-some-vendor.1 has twenty.
	maxVersion = 128
	// maxLabelValues bounds the values of one label. A property has no room for more, even if each has
	// one byte.
	maxLabelValues = maxPropertyValue / 2
	// Limits of a ClusterProfile's properties. maxProperties is ours; the others are from upstream's
	// types.
	maxProperties    = 128
	maxPropertyName  = 253
	maxPropertyValue = 1024

	// maxClusterProperties bounds the answer with a member's ClusterProperties, in bytes: 128 with 8
	// KiB each.
	maxClusterProperties = 1 << 20

	// clusterPropertiesPath is the path of ClusterProperties (KEP-2149) on members that have them.
	clusterPropertiesPath = "/apis/about.k8s.io/v1alpha1/clusterproperties"
)

// nodeLabels are labels of nodes whose values become properties of their cluster, without
// duplicates: its location, and its accelerators.
var nodeLabels = []string{
	"topology.kubernetes.io/region",
	"topology.kubernetes.io/zone",
	"kubernetes.io/arch",
	"nvidia.com/gpu.product",
	"amd.com/gpu.product-name",
	"cloud.google.com/gke-accelerator",
	"cloud.google.com/gke-tpu-accelerator",
}

// facts are the version and the properties of a member cluster.
type facts struct {
	// version is the version of Kubernetes. It is empty if unknown.
	version string
	// nodes and cluster are properties by name, from nodeFacts and clusterProperties. An empty
	// value means that the property existed once and no longer does. They are nil until they have
	// been read.
	nodes, cluster map[string]string
}

// read updates the facts. Facts that cannot be read stay unchanged, because a member may not give
// clusterpass the rights. stored are the properties in the profile.
func (f *facts) read(ctx context.Context, client *member.Client, stored []inventoryv1alpha1.Property) {
	ctx, cancel := context.WithTimeoutCause(ctx, factsTimeout, fmt.Errorf("not all read within %s", factsTimeout))
	defer cancel()
	kubernetes := client.Kubernetes()
	failed := func(what string, err error) {
		klog.FromContext(ctx).V(2).Info("A fact of a member is not known", "fact", what, "reason", client.Error(err, "read its "+what))
	}
	if version, err := kubernetes.Discovery().ServerVersionWithContext(ctx); err == nil {
		f.version = words.Clean(version.GitVersion, maxVersion)
	} else {
		failed("version", err)
	}
	if found, err := nodeFacts(ctx, kubernetes.CoreV1().RESTClient()); err == nil {
		f.nodes = replace(f.nodes, found, stored)
	} else {
		failed("nodes", err)
	}
	if found, err := clusterProperties(ctx, kubernetes.Discovery().RESTClient()); err == nil {
		f.cluster = replace(f.cluster, found, stored)
	} else {
		failed("ClusterProperties", err)
	}
}

// replace returns found, plus an empty value for each name that old and the profile have and found
// does not. It keeps nothing else of old.
func replace(old, found map[string]string, stored []inventoryv1alpha1.Property) map[string]string {
	for _, property := range stored {
		_, had := old[property.Name]
		if _, still := found[property.Name]; had && !still {
			found[property.Name] = ""
		}
	}
	return found
}

// properties returns all properties. Those from ClusterProperties take precedence over those from
// nodes.
func (f *facts) properties() map[string]string {
	all := map[string]string{}
	maps.Copy(all, f.nodes)
	for name, value := range f.cluster {
		if value != "" || all[name] == "" {
			all[name] = value
		}
	}
	return all
}

// clusterProperties returns the member's ClusterProperties (KEP-2149). It returns none if the
// member does not have that API.
func clusterProperties(ctx context.Context, client rest.Interface) (map[string]string, error) {
	body, err := client.Get().AbsPath(clusterPropertiesPath).Param("limit", strconv.Itoa(maxProperties)).
		SetHeader("Accept", runtime.ContentTypeJSON).Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	if len(body) > maxClusterProperties {
		return nil, fmt.Errorf("its ClusterProperties have more than %d bytes", maxClusterProperties)
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Spec struct {
				Value string `json:"value"`
			} `json:"spec"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("its ClusterProperties: %w", err)
	}
	found := map[string]string{}
	for _, item := range list.Items {
		if len(found) < maxProperties && fits(item.Metadata.Name, maxPropertyName) && fits(item.Spec.Value, maxPropertyValue) {
			found[item.Metadata.Name] = item.Spec.Value
		}
	}
	return found, nil
}

// fits returns whether s is not empty, has no more than most bytes, and is one printable line.
func fits(s string, most int) bool { return s != "" && len(s) <= most && words.Clean(s, most) == s }

// nodeFacts returns the values of nodeLabels on the member's nodes by label, separated by commas.
// They are empty if there are none.
func nodeFacts(ctx context.Context, client rest.Interface) (map[string]string, error) {
	values := map[string]sets.Set[string]{}
	for _, label := range nodeLabels {
		values[label] = sets.New[string]()
	}
	err := paged.EachMetadata(ctx, client, "nodes", metav1.ListOptions{}, func(node *metav1.PartialObjectMetadata) {
		for label, seen := range values {
			if value := node.Labels[label]; fits(value, validation.LabelValueMaxLength) && len(seen) < maxLabelValues {
				seen.Insert(value)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for label, seen := range values {
		found[label] = join(sets.List(seen))
	}
	return found, nil
}

// join returns the values separated by commas. It leaves out the last ones if all together exceed
// the length of a property.
func join(values []string) string {
	joined := ""
	for i, value := range values {
		if i > 0 {
			value = "," + value
		}
		if len(joined)+len(value) > maxPropertyValue {
			break
		}
		joined += value
	}
	return joined
}

// merge returns the properties of a profile, updated with the facts. An unchanged property keeps
// its lastObservedTime. Properties of others are kept.
func (f *facts) merge(old []inventoryv1alpha1.Property, now metav1.Time) []inventoryv1alpha1.Property {
	properties := f.properties()
	known := map[string]inventoryv1alpha1.Property{}
	for _, property := range old {
		if value, ours := properties[property.Name]; !ours || value == property.Value {
			known[property.Name] = property
		}
	}
	// In a fixed order: if there are too many, the same ones are always left out.
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if _, kept := known[name]; !kept && properties[name] != "" && len(known) < maxProperties {
			known[name] = inventoryv1alpha1.Property{Name: name, Value: properties[name], LastObservedTime: now}
		}
	}
	return slices.SortedFunc(maps.Values(known), func(a, b inventoryv1alpha1.Property) int { return cmp.Compare(a.Name, b.Name) })
}
