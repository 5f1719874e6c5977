// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// caSize keeps a profile at 1.3 KB: a certificate authority's PEM is twice as long or more. The
// bytes are random: like a certificate, they do not compress.
const caSize = 256

// observed is when every profile was last looked at. It is fixed, so that both sides store the same
// bytes in every run.
var observed = metav1.NewTime(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC))

// profileName returns the name of the i-th profile.
func profileName(i int) string { return fmt.Sprintf("cluster-%05d", i) }

// newProfile returns the i-th profile of a fleet that seed decides on, as a cluster manager creates
// it. Its status, which a server drops at creation, is what the manager reports afterwards. Both
// together are about 1.3 KB of JSON.
func newProfile(seed uint64, i int) *inventoryv1alpha1.ClusterProfile {
	random := rand.New(rand.NewPCG(seed, uint64(i)))
	name := profileName(i)
	region := fmt.Sprintf("region-%d", random.IntN(12))
	return &inventoryv1alpha1.ClusterProfile{
		TypeMeta: metav1.TypeMeta{APIVersion: inventoryv1alpha1.GroupVersion.String(), Kind: "ClusterProfile"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				inventoryv1alpha1.LabelClusterManagerKey: "bench",
				"topology.kubernetes.io/region":          region,
			},
		},
		Spec: inventoryv1alpha1.ClusterProfileSpec{
			DisplayName:    strings.ToUpper(name),
			ClusterManager: inventoryv1alpha1.ClusterManager{Name: "bench"},
		},
		Status: inventoryv1alpha1.ClusterProfileStatus{
			Version: inventoryv1alpha1.ClusterVersion{Kubernetes: fmt.Sprintf("v1.37.%d", random.IntN(5))},
			Conditions: []metav1.Condition{{
				Type: inventoryv1alpha1.ClusterConditionControlPlaneHealthy, Status: metav1.ConditionTrue,
				Reason: "Ready", Message: "/readyz answered ok", LastTransitionTime: observed,
			}},
			Properties: []inventoryv1alpha1.Property{
				{Name: "cluster.clusterset.k8s.io", Value: name, LastObservedTime: observed},
				{Name: "region", Value: region, LastObservedTime: observed},
			},
			AccessProviders: []inventoryv1alpha1.AccessProvider{newAccessProvider(random, name)},
		},
	}
}

func newAccessProvider(random *rand.Rand, name string) inventoryv1alpha1.AccessProvider {
	ca := make([]byte, caSize)
	for i := range ca {
		ca[i] = byte(random.Uint32())
	}
	return inventoryv1alpha1.AccessProvider{
		Name: "kubeconfig-secretreader",
		Cluster: clientcmdv1.Cluster{
			Server:                   fmt.Sprintf("https://%s.example.com:6443", name),
			CertificateAuthorityData: ca,
			Extensions: []clientcmdv1.NamedExtension{{
				Name: "client.authentication.k8s.io/exec", Extension: runtime.RawExtension{
					Raw: fmt.Appendf(nil, `{"name":%q,"key":"kubeconfig","namespace":"clusterpass-system"}`, name),
				},
			}},
		},
	}
}
