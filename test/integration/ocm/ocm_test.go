// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/test/testenv"
)

// ocmUser is the account of the controllers that make ClusterProfiles.
const ocmUser = "system:serviceaccount:open-cluster-management-hub:registration-controller-sa"

// quietFor is how long OCM reconciles without a change, and nobody writes.
const quietFor = 2 * time.Minute

// OCM writes its ClusterProfiles into our API.
func TestOCM_Served(t *testing.T) {
	f := startFleet(t, hub.InventoryServed)
	t.Run("a ManagedCluster is a profile in both versions", f.testBothVersions)
	f.testHub(t)
}

// The ClusterProfiles are objects of OCM's CustomResourceDefinition.
func TestOCM_External(t *testing.T) {
	f := startFleet(t, hub.InventoryExternal)
	f.testHub(t)
}

// testHub tells the story of a hub. Each part goes on from where the one before has left it.
func (f *fleet) testHub(t *testing.T) {
	t.Helper()
	for _, part := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"an ordinary user gets a token once a Secret names the profile", f.testAdopted},
		{"another binding shares the Secret", f.testSecondBinding},
		{"a profile that is made again leads to the same member, and old grants end", f.testBoundAgain},
		{"labels of somebody else's cluster give nothing", f.testForeignLabel},
		{"Placement and sets use its profiles", f.testPlacementAndSet},
		{"a credential that the member refuses is an event, and no write", f.testRefusedCredential},
		{"nothing flaps", f.testQuiet},
		{"doctor finds nothing wrong", f.testDoctor},
	} {
		if !t.Run(part.name, part.test) {
			return
		}
	}
}

// testBothVersions reads a profile that OCM has written in v1alpha1.
func (f *fleet) testBothVersions(t *testing.T) {
	t.Helper()
	written := f.awaitProfile(t, team, bravelion)
	out := testenv.MustKubectl(t, f.kubeconfig, "", "-n", team, "get", "-o", "json",
		"clusterprofiles.v1alpha2.multicluster.x-k8s.io", bravelion)
	var read v1alpha2.ClusterProfile
	require.NoError(t, json.Unmarshal([]byte(out), &read))
	assert.Equal(t, v1alpha2.SchemeGroupVersion.String(), read.APIVersion)
	assert.Equal(t, written.UID, read.UID)
	assert.Equal(t, "open-cluster-management", read.Spec.ClusterManager.Name)
	assert.Equal(t, written.Status.Version.Kubernetes, read.Status.Version.Kubernetes)
	assert.Equal(t, written.Status.Conditions, read.Status.Conditions)
	assert.Len(t, read.Status.Properties, len(written.Status.Properties))
}

// testQuiet watches the profiles while OCM reconciles them again and again, and while clusterpass
// probes the member. Then it has OCM write once.
func (f *fleet) testQuiet(t *testing.T) {
	t.Helper()
	before, beats := f.writes(t), f.agent.beats()
	list := testenv.List(t, f.profiles(t, ""), metav1.ListOptions{})
	require.NotEmpty(t, list.Items)
	watcher, err := f.profiles(t, "").Watch(t.Context(), metav1.ListOptions{
		ResourceVersion: list.ResourceVersion, TimeoutSeconds: ptr.To(int64(quietFor.Seconds())),
	})
	require.NoError(t, err)
	defer watcher.Stop()
	began := time.Now()
	for event := range watcher.ResultChan() {
		t.Errorf("after %s: %s %+v", time.Since(began), event.Type, event.Object)
	}
	require.InDelta(t, quietFor.Seconds(), time.Since(began).Seconds(), quietFor.Seconds()/10, "the watch has ended early")
	assert.Equal(t, before, f.writes(t), "somebody has written what was there already")
	assert.Greater(t, f.agent.beats()-beats, int(quietFor/heartbeat/2), "OCM had no reason to reconcile")

	f.agent.claim(t, bravelion, "eu-2")
	for _, namespace := range []string{team, partner} {
		testenv.Await(t, f.profiles(t, namespace), bravelion, func(profile *inventoryv1alpha1.ClusterProfile) error {
			for _, property := range profile.Status.Properties {
				if property.Name == regionClaim && property.Value == "eu-2" {
					return nil
				}
			}
			return fmt.Errorf("OCM has not written the claim: %v", profile.Status.Properties)
		})
	}
	after := f.writes(t)
	assert.Greater(t, after[ocmUser], before[ocmUser])
	assert.LessOrEqual(t, after[ocmUser], before[ocmUser]+4, "a write for each profile, and each may have met a conflict")
	f.agent.claim(t, bravelion, region)
	f.expectToken(t, team, "work")
}

// writes returns how often each user has written to ClusterProfiles, whether that has changed
// anything or not.
func (f *fleet) writes(t *testing.T) map[string]int {
	t.Helper()
	writes := map[string]int{}
	f.hub.EachAuditEvent(t, func(event *auditv1.Event) {
		if event.ObjectRef == nil || event.ObjectRef.Resource != "clusterprofiles" || event.ObjectRef.Subresource == "token" {
			return
		}
		switch event.Verb {
		case "create", "update", "patch", "delete", "deletecollection":
			writes[event.User.Username]++
		}
	})
	for user := range writes {
		require.NotContains(t, user, "clusterpass", "it has written to a profile of OCM's")
	}
	return writes
}

// testDoctor runs `kubectl clusterpass doctor` for the profiles that are adopted. It also mints.
func (f *fleet) testDoctor(t *testing.T) {
	t.Helper()
	adopted := []string{team + "/" + bravelion, partner + "/" + bravelion}
	out, err := f.clusterpass(t.Context(), append([]string{"doctor", "--mint=" + adopted[0]}, adopted...)...)
	require.NoError(t, err, out)
	t.Log(out)
	for _, check := range []string{"access", "crds", "apiservices", "health", "grants", "mint", "secrets"} {
		assert.Regexp(t, `(?m)^ok +`+check+":", out)
	}
}
