// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/credential"
	"clusterpass.dev/test/testenv"
)

// team is a second namespace with a profile of the member bravelion.
const team = "team"

// TestServed has a hub of ours pass all specs: of inventory, consumer and scheduler.
func TestServed(t *testing.T) {
	require.NoError(t, testenv.Join(t.Context(), shared.Hub, shared.Bravelion, team, "bravelion"))
	provide(t, shared.Bravelion, "default")
	provide(t, shared.Smartfish, "default")
	provide(t, shared.Bravelion, team)
	place(t)
	admin := fmt.Sprintf("'%s' --kubeconfig='%s' ", testenv.Must[string](t)(testenv.ToolPath("kubectl")), shared.Hub.Kubeconfig())
	report := run(t, shared.Hub, "--namespace=default", "--cluster-manager=clusterpass", "--other-namespaces",
		"--watch-for=20s", "--version=v1.2.3",
		"--provider-file="+providerFile(t, 5*time.Second),
		"--change-inventory="+admin+"label clusterprofile bravelion smartfish conformance=changed",
		"--change-decision="+admin+"patch clusterscore bravelion-order --subresource=status --type=merge "+
			`--patch='{"status":{"scores":[{"name":"order","value":90}]}}'`)
	report.expect(t, nil)
	assert.Zero(t, report.exit)
	assert.Equal(t, "v1.2.3", report.version)
	assert.Contains(t, report.html, "v1.2.3")
	assert.Contains(t, report.results["member-id-one-cluster"].Observed, "3 profiles reach 2 clusters")
	assert.Contains(t, report.results["access-authenticated"].Observed, "system:serviceaccount:default:conformance-default")

	verbs := map[string]bool{}
	shared.Hub.EachAuditEvent(t, func(event *auditv1.Event) {
		if event.User.Username == observer {
			verbs[event.Verb] = true
		}
	})
	assert.Equal(t, map[string]bool{"list": true, "watch": true, "get": true}, verbs, "the suite reads, and asks for discovery")
}

// Specs that need a plugin or a change are skipped where there is neither.
func TestServed_Observe(t *testing.T) {
	report := run(t, shared.Hub, "--namespace=default", "--watch-for=1s", "--decision-namespace=kube-public")
	for _, id := range []string{"access-provider", "access-credential", "access-authenticated", "expiry-reported", "credential-renewed"} {
		assert.Contains(t, report.results[id].Message, "no plugin is configured")
		assert.Equal(t, skipped, report.results[id].outcome(), id)
	}
	for _, id := range []string{
		"slice-size", "decision-key", "decision-index", "decision-index-unique", "decision-profiles", "decision-rewrite",
	} {
		assert.Contains(t, report.results[id].Message, "no PlacementDecision")
		assert.Equal(t, skipped, report.results[id].outcome(), id)
	}
	assert.Zero(t, report.exit)
}

// provide has the profile of a member say that it is reached through the hub, and waits until the
// controller manager has told what the inventory's specs ask for.
func provide(t *testing.T, member *testenv.Cluster, namespace string) {
	t.Helper()
	request := credential.Request{AuthTokenRequestSpec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    v1alpha1.ClusterProfileReference{Namespace: namespace, Name: member.Name()},
		ServiceAccountName:      "conformance-" + namespace,
		ServiceAccountNamespace: "default",
		ClusterRoles:            []v1alpha1.ClusterRole{{Name: "view"}},
	}}
	provider := inventoryv1alpha1.AccessProvider{Name: credential.ProviderName, Cluster: clientcmdv1.Cluster{
		Server: member.Server(), CertificateAuthorityData: member.CA(),
		Extensions: []clientcmdv1.NamedExtension{{
			Name: credential.ExecExtension, Extension: runtime.RawExtension{Raw: testenv.Must[[]byte](t)(json.Marshal(request))},
		}},
	}}
	profiles := shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles(namespace)
	require.NoError(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		profile := testenv.Get(t, profiles, member.Name())
		profile.Status.AccessProviders = append(profile.Status.AccessProviders, provider)
		_, err := profiles.UpdateStatus(t.Context(), profile, metav1.UpdateOptions{})
		return err
	}))
	testenv.Await(t, profiles, member.Name(), func(profile *inventoryv1alpha1.ClusterProfile) error {
		conditions := profile.Status.Conditions
		if !meta.IsStatusConditionTrue(conditions, v1alpha2.ConditionControlPlaneHealthy) ||
			meta.FindStatusCondition(conditions, "Joined") == nil || profile.Labels[v1alpha2.LabelInventoryMemberID] == "" {
			return fmt.Errorf("labels %v, conditions %v", profile.Labels, profile.Status.Conditions)
		}
		return nil
	})
}

// place has each member be a slice of one decision, smartfish before bravelion, whose score is then
// changed.
func place(t *testing.T) {
	t.Helper()
	ours := shared.Hub.Clusterpass(t).ClusterpassV1alpha1()
	for name, value := range map[string]int32{"bravelion": 10, "smartfish": 50} {
		score := testenv.Create(t, ours.ClusterScores("default"), &clusterpassv1alpha1.ClusterScore{
			ObjectMeta: metav1.ObjectMeta{Name: name + "-order"},
			Spec:       clusterpassv1alpha1.ClusterScoreSpec{ClusterProfileName: name, ResourceName: "order"},
		})
		score.Status.Scores = []clusterpassv1alpha1.ClusterScoreItem{{Name: "order", Value: ptr.To(value)}}
		score.Status.ValidUntil = &metav1.Time{Time: time.Now().Add(time.Hour)}
		testenv.UpdateStatus(t, ours.ClusterScores("default"), score)
	}
	placement := &clusterpassv1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: "ordered"}}
	placement.Spec.PrioritizerPolicy.Mode = clusterpassv1alpha1.PrioritizerPolicyExact
	addOn := &clusterpassv1alpha1.AddOnScore{ResourceName: "order", ScoreName: "order"}
	coordinate := clusterpassv1alpha1.ScoreCoordinate{Type: clusterpassv1alpha1.ScoreCoordinateAddOn, AddOn: addOn}
	placement.Spec.PrioritizerPolicy.Configurations = []clusterpassv1alpha1.PrioritizerConfig{{ScoreCoordinate: coordinate}}
	placement.Spec.DecisionStrategy.GroupStrategy.ClustersPerDecisionGroup = ptr.To(intstr.FromInt32(1))
	testenv.Create(t, ours.Placements("default"), placement)
	decisions := shared.Hub.Inventory(t).ApisV1alpha1().PlacementDecisions("default")
	testenv.Eventually(t, func(ctx context.Context) error {
		slice, err := decisions.Get(ctx, "ordered-decision-2", metav1.GetOptions{})
		if err == nil && slice.Decisions[0].ClusterProfileRef.Name != "bravelion" {
			err = errors.New("bravelion is not last")
		}
		return err
	})
}
