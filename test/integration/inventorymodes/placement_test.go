// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventorymodes

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/hack/openapi-inventory/crd"
	"clusterpass.dev/pkg/doctor"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

const (
	decisionsCRD = "placementdecisions.multicluster.x-k8s.io"
	placed       = "placed"
)

// A hub that has upstream's CRD of ClusterProfile, and not that of PlacementDecision.
func TestExternal_NoPlacementDecisions(t *testing.T) {
	leaveHubClean(t)
	installCRD(t, "clusterprofiles.multicluster.x-k8s.io")
	join(t, placed)
	s := startServer(t, external)
	s.register(t, clusterpass)
	testenv.StartControllerManager(t, hub, testenv.ControllerManagerConfig{})
	client := hub.Clusterpass(t).ClusterpassV1alpha1()
	assert.Equal(t, doctor.OK, decisionsFinding(t).Verdict, "nothing needs them")

	placements, sets := client.Placements("default"), client.ClusterCredentialSets("default")
	testenv.Create(t, placements, &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: placed}})
	set := &v1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{Name: placed}}
	set.Spec.Clusters.DecisionKey = placed
	set.Spec.Consumer.MultiKueue = &v1alpha1.MultiKueueConsumer{ClusterSource: v1alpha1.MultiKueueClusterSourceClusterProfile}
	testenv.Create(t, sets, set)

	awaitPlacement := func(t *testing.T, reason string) {
		t.Helper()
		testenv.Await(t, placements, placed, func(placement *v1alpha1.Placement) error {
			return expectReason(placement.Status.Conditions, v1alpha1.PlacementSatisfied, reason)
		})
	}
	awaitSet := func(t *testing.T, reason string) {
		t.Helper()
		testenv.Await(t, sets, placed, func(set *v1alpha1.ClusterCredentialSet) error {
			return expectReason(set.Status.Conditions, v1alpha1.CredentialSetReady, reason)
		})
	}
	t.Run("placements, sets by decisions and doctor say so", func(t *testing.T) {
		awaitPlacement(t, v1alpha1.PlacementReasonNotServed)
		awaitSet(t, v1alpha1.CredentialSetReasonDecisionsNotServed)
		found := decisionsFinding(t)
		assert.Equal(t, doctor.Fail, found.Verdict)
		assert.Equal(t, "CustomResourceDefinition "+decisionsCRD, found.About)
		written := testenv.MustKubectl(t, hub.Kubeconfig(), "", "get", "-n=default", "placement.clusterpass.dev", placed, "-o=yaml")
		assert.Contains(t, written, "the hub serves PlacementDecisions in no version of multicluster.x-k8s.io")
	})
	t.Run("they go on without a restart when it comes", func(t *testing.T) {
		installCRD(t, decisionsCRD)
		awaitPlacement(t, v1alpha1.PlacementReasonAllDecisionsScheduled)
		decision := testenv.Get(t, hub.Inventory(t).ApisV1alpha1().PlacementDecisions("default"), placed+"-decision-1")
		assert.Equal(t, placed, decision.Decisions[0].ClusterProfileRef.Name)
		awaitSet(t, v1alpha1.CredentialSetReasonNoneKept)
		assert.Equal(t, doctor.OK, decisionsFinding(t).Verdict)
	})
	t.Run("when it goes, placements say so again", func(t *testing.T) {
		removeCRD(t.Context(), t, decisionsCRD)
		awaitPlacement(t, v1alpha1.PlacementReasonNotServed)
	})
}

// installCRD creates one of upstream's CRDs.
func installCRD(t *testing.T, name string) {
	t.Helper()
	for _, c := range testenv.Must[[]*apiextensionsv1.CustomResourceDefinition](t)(crd.Load(t.Context())) {
		if c.Name == name {
			createCRD(t, c)
		}
	}
}

func expectReason(conditions []metav1.Condition, of, reason string) error {
	if is := meta.FindStatusCondition(conditions, of); is == nil || is.Reason != reason {
		return fmt.Errorf("%s is %v, not %s", of, is, reason)
	}
	return nil
}

// decisionsFinding returns what doctor finds about PlacementDecisions.
func decisionsFinding(t *testing.T) doctor.Finding {
	t.Helper()
	clients := testenv.Must[*doctor.Clients](t)(doctor.NewClients(hub.RESTConfig()))
	var all []string
	for _, finding := range doctor.Run(t.Context(), clients, doctor.Options{Inventory: external, Access: member.DefaultConfig()}) {
		if finding.Check == "decisions" {
			return finding
		}
		all = append(all, finding.Check)
	}
	t.Fatalf("no check of decisions in %s", strings.Join(all, ", "))
	return doctor.Finding{}
}
