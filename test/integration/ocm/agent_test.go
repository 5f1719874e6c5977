// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	coordinationv1ac "k8s.io/client-go/applyconfigurations/coordination/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"clusterpass.dev/hack/openapi-inventory/crd"
	"clusterpass.dev/test/testenv"
)

const (
	// clusterSet is the set of all clusters.
	clusterSet = "fleet"
	// leaseDuration is how often agents are expected to renew their Lease; heartbeat is how often they
	// do.
	leaseDuration, heartbeat = 60, 5 * time.Second
	// region is a claim of both clusters.
	regionClaim, region = "region.open-cluster-management.io", "eu-1"
)

var managedClusters = schema.GroupVersionResource{Group: "cluster.open-cluster-management.io", Version: "v1", Resource: "managedclusters"}

// prepareExternal creates what External mode needs that OCM does not bring along: upstream's CRD of
// PlacementDecision, and the policy about who writes these.
func (f *fleet) prepareExternal(t *testing.T) {
	t.Helper()
	testenv.MustKubectl(t, f.kubeconfig, "", "apply", "--server-side", "-f",
		filepath.Join(testenv.Root(t), "artifacts", "deploy", "components", "external-inventory", "decision-writers.yaml"))
	client := testenv.Must[apiextensions.Interface](t)(apiextensions.NewForConfig(f.hub.RESTConfig()))
	for _, c := range testenv.Must[[]*apiextensionsv1.CustomResourceDefinition](t)(crd.Load(t.Context())) {
		if c.Spec.Names.Kind == "PlacementDecision" {
			testenv.Create(t, client.ApiextensionsV1().CustomResourceDefinitions(), c)
		}
	}
}

// register makes the set, its binding in namespace team, and both ManagedClusters, and has their
// agents report.
func (f *fleet) register(t *testing.T) {
	t.Helper()
	f.apply(t, `
apiVersion: cluster.open-cluster-management.io/v1beta2
kind: ManagedClusterSet
metadata: {name: `+clusterSet+`}
spec: {clusterSelector: {selectorType: ExclusiveClusterSetLabel}}
`)
	f.bind(t, team)
	f.agent = startAgent(t, f.hub)
	for _, name := range []string{bravelion, smartfish} {
		f.apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: cluster.open-cluster-management.io/v1
kind: ManagedCluster
metadata:
  name: %[1]s
  labels: {cluster.open-cluster-management.io/clusterset: %[2]s}
spec:
  hubAcceptsClient: true
  leaseDurationSeconds: %[3]d
  managedClusterClientConfigs: [{url: %[4]q, caBundle: %[5]s}]
`, name, clusterSet, leaseDuration, f.member.Server(), base64.StdEncoding.EncodeToString(f.member.CA())))
	}
	f.agent.join(t, bravelion, metav1.ConditionTrue)
	f.agent.join(t, smartfish, metav1.ConditionUnknown)
}

// bind binds the set of all clusters in a namespace, as its admin does who wants its
// ClusterProfiles there.
func (f *fleet) bind(t *testing.T, namespace string) {
	t.Helper()
	f.apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: cluster.open-cluster-management.io/v1beta2
kind: ManagedClusterSetBinding
metadata: {name: %[2]s, namespace: %[1]s}
spec: {clusterSet: %[2]s}
`, namespace, clusterSet))
}

func (f *fleet) unbind(t *testing.T, namespace string) {
	t.Helper()
	testenv.MustKubectl(t, f.kubeconfig, "", "-n", namespace, "delete", "managedclustersetbindings", clusterSet)
}

// agent plays OCM's agents on the members: what they report to the hub.
type agent struct {
	hub     kubernetes.Interface
	managed dynamic.ResourceInterface

	mu sync.Mutex
	// cpu is what each healthy cluster has to allocate, in milliseconds. It changes with each
	// heartbeat, so that OCM reconciles the cluster.
	cpu     map[string]int
	errs    []error
	beating int
}

// startAgent returns one that reports until the test ends.
func startAgent(t *testing.T, hub *testenv.Cluster) *agent {
	t.Helper()
	a := &agent{
		hub: hub.Kube(t), cpu: map[string]int{},
		managed: testenv.Must[dynamic.Interface](t)(dynamic.NewForConfig(hub.RESTConfig())).Resource(managedClusters),
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { wait.UntilWithContext(ctx, a.report, heartbeat) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		require.NoError(t, errors.Join(a.errs...))
	})
	return a
}

// join reports what an agent does once its cluster has been accepted, and that the cluster is
// available or not. That of a cluster that is goes on reporting.
func (a *agent) join(t *testing.T, name string, available metav1.ConditionStatus) {
	t.Helper()
	var conditions []string
	for _, condition := range []struct{ kind, reason string }{
		{"HubAcceptedManagedCluster", "HubClusterAdminAccepted"}, {"ManagedClusterJoined", "ManagedClusterJoined"},
		{"ManagedClusterConditionAvailable", "ManagedClusterAvailable"},
	} {
		status := metav1.ConditionTrue
		if condition.kind == "ManagedClusterConditionAvailable" {
			status = available
		}
		conditions = append(conditions, fmt.Sprintf(`{"type":%q,"status":%q,"reason":%q,"message":"by its agent","lastTransitionTime":%q}`,
			condition.kind, status, condition.reason, metav1.Now().UTC().Format(time.RFC3339)))
	}
	a.patch(t, name, fmt.Sprintf(`{"version":{"kubernetes":"v1.37.2"},"conditions":[%s]}`, strings.Join(conditions, ",")))
	a.claim(t, name, region)
	if available == metav1.ConditionTrue {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.cpu[name] = 8000
	}
}

// claim reports the claims of a cluster, among them the region.
func (a *agent) claim(t *testing.T, name, region string) {
	t.Helper()
	a.patch(t, name, fmt.Sprintf(`{"clusterClaims":[{"name":"id.k8s.io","value":"%s-id"},{"name":%q,"value":%q}]}`, name, regionClaim, region))
}

// patch writes a part of a ManagedCluster's status.
func (a *agent) patch(t *testing.T, name, status string) {
	t.Helper()
	require.NoError(t, a.write(t.Context(), name, status))
}

func (a *agent) write(ctx context.Context, name, status string) error {
	patch := []byte(`{"status":` + status + `}`)
	_, err := a.managed.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "agent"}, "status")
	return err
}

// report renews the Leases of the clusters that have joined, and says what they have left.
func (a *agent) report(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range a.cpu {
		a.cpu[name]--
		lease := coordinationv1ac.Lease("managed-cluster-lease", name).
			WithLabels(map[string]string{"open-cluster-management.io/cluster-name": name}).
			WithSpec(coordinationv1ac.LeaseSpec().WithHolderIdentity("managed-cluster-lease").WithLeaseDurationSeconds(leaseDuration).
				WithRenewTime(metav1.NowMicro()))
		_, err := a.hub.CoordinationV1().Leases(name).Apply(ctx, lease, metav1.ApplyOptions{FieldManager: "agent", Force: true})
		if err == nil {
			err = a.write(ctx, name, fmt.Sprintf(`{"allocatable":{"cpu":"%dm"},"capacity":{"cpu":"8"}}`, a.cpu[name]))
		}
		if err != nil && ctx.Err() == nil {
			a.errs = append(a.errs, err)
		}
	}
	a.beating++
}

// beats returns how often the agents have reported.
func (a *agent) beats() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.beating
}
