// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventorymodes

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	clusterpassjoin "clusterpass.dev/pkg/join"
	"clusterpass.dev/test/testenv"
)

// theirs is the cluster manager of profiles that are not ours.
const theirs = "open-cluster-management"

// withoutListKeys has a CRD declare its lists without keys, as that of Open Cluster Management
// does: who applies one entry replaces the list.
func withoutListKeys(c *apiextensionsv1.CustomResourceDefinition) {
	var strip func(schema *apiextensionsv1.JSONSchemaProps)
	strip = func(schema *apiextensionsv1.JSONSchemaProps) {
		schema.XListType, schema.XListMapKeys = nil, nil
		for name, property := range schema.Properties {
			strip(&property)
			schema.Properties[name] = property
		}
		if schema.Items != nil && schema.Items.Schema != nil {
			strip(schema.Items.Schema)
		}
	}
	for i := range c.Spec.Versions {
		strip(c.Spec.Versions[i].Schema.OpenAPIV3Schema)
	}
}

// joinOptions are those of `kubectl clusterpass join NAME`, with what it prints.
func joinOptions(name, manager string, out *bytes.Buffer) *clusterpassjoin.Options {
	return &clusterpassjoin.Options{
		Target: clusterpassjoin.Target{Hub: hub.RESTConfig(), Namespace: "default", Name: name, ClusterManager: manager,
			DryRun: clusterpassjoin.DryRunNone, Timeout: testenv.WaitTimeout, Out: out},
		Member: clusterpassjoin.Member{Config: bravelion.RESTConfig(),
			Endpoint: clientcmdapi.Cluster{Server: bravelion.Server(), CertificateAuthorityData: bravelion.CA()}},
		Allowed: clusterpassjoin.Allowed{ClusterRoles: []string{"cluster-admin", "edit", "view"}, Namespaces: []string{"default"}, Usage: true},
	}
}

// unjoined has a profile be taken out when the test ends.
func unjoined(t *testing.T, name, manager string) {
	t.Helper()
	t.Cleanup(func() {
		var out bytes.Buffer
		require.NoError(t, clusterpassjoin.Undo(context.WithoutCancel(t.Context()),
			&clusterpassjoin.UnjoinOptions{Target: joinOptions(name, manager, &out).Target}), out.String())
	})
}

// managed creates a profile of another manager, which reports its status.
func managed(t *testing.T, name string) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	client := hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
	testenv.Create(t, client, testenv.NewProfile(name, theirs))
	return reported(t, name)
}

// reported has another manager put an access provider and conditions into the status of a profile.
func reported(t *testing.T, name string) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	profile := getProfile(t, name)
	profile.Status.AccessProviders = append(profile.Status.AccessProviders, inventoryv1alpha1.AccessProvider{
		Name: theirs, Cluster: clientcmdv1.Cluster{Server: "https://cluster-proxy.example.com/" + name},
	})
	for condition, reason := range map[string]string{"Theirs": "Reported", inventoryv1alpha1.ClusterConditionControlPlaneHealthy: "Ready"} {
		apimeta.SetStatusCondition(&profile.Status.Conditions,
			metav1.Condition{Type: condition, Status: metav1.ConditionTrue, Reason: reason, Message: "by " + theirs})
	}
	return testenv.UpdateStatus(t, hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default"), profile)
}

// expectOthersKept looks for what reported has put into the status of a profile, beside ours.
func expectOthersKept(t *testing.T, profile *inventoryv1alpha1.ClusterProfile, ours ...string) {
	t.Helper()
	var names []string
	for i := range profile.Status.AccessProviders {
		names = append(names, profile.Status.AccessProviders[i].Name)
	}
	assert.ElementsMatch(t, append(ours, theirs), names)
	require.NotNil(t, apimeta.FindStatusCondition(profile.Status.Conditions, "Theirs"), "%+v", profile.Status.Conditions)
}

// Whatever the hub's CRD declares of the lists, join keeps what others have in them.
func TestExternal_Join(t *testing.T) {
	leaveHubClean(t)
	installProfileCRDs(t, withoutListKeys)
	s := startServer(t, external)
	s.register(t, clusterpass)
	var out bytes.Buffer

	t.Run("a profile that join makes", func(t *testing.T) {
		o := joinOptions("ours", clusterpassjoin.DefaultClusterManager, &out)
		require.NoError(t, clusterpassjoin.Run(t.Context(), o), out.String())
		unjoined(t, "ours", clusterpassjoin.DefaultClusterManager)
		reported(t, "ours")

		o.Consumers = &v1alpha1.AuthTokenRequestSpec{
			ServiceAccountNamespace: "default", ServiceAccountName: "work", ClusterRoles: []v1alpha1.ClusterRole{{Name: "view"}},
		}
		o.Member.Endpoint.TLSServerName = "kubernetes.default"
		require.NoError(t, clusterpassjoin.Run(t.Context(), o), out.String())
		changed := getProfile(t, "ours")
		expectOthersKept(t, changed, "kubeconfig-secretreader", "clusterpass")
		healthy := apimeta.FindStatusCondition(changed.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
		assert.Equal(t, "Rejoined", healthy.Reason)

		out.Reset()
		require.NoError(t, clusterpassjoin.Run(t.Context(), o), out.String())
		assert.Contains(t, out.String(), "hub: clusterprofile.multicluster.x-k8s.io/ours in default status unchanged\n")
		assert.Equal(t, changed.Status, getProfile(t, "ours").Status)
	})
	t.Run("one of another manager that is joined under its name", func(t *testing.T) {
		profile := managed(t, "named")
		require.NoError(t, clusterpassjoin.Run(t.Context(), joinOptions("named", theirs, &out)), out.String())
		expectOthersKept(t, getProfile(t, "named"), "kubeconfig-secretreader")
		out.Reset()
		require.NoError(t, clusterpassjoin.Undo(t.Context(),
			&clusterpassjoin.UnjoinOptions{Target: joinOptions("named", theirs, &out).Target}), out.String())
		assert.Contains(t, out.String(), `hub: clusterprofile default/named stays: it belongs to the cluster manager "open-cluster-management"`)
		assert.Equal(t, profile.UID, getProfile(t, "named").UID)
	})
	t.Run("one of another manager that is adopted", func(t *testing.T) {
		testenv.StartControllerManager(t, hub, testenv.ControllerManagerConfig{})
		profile := managed(t, "adopted")
		o := joinOptions("adopted", clusterpassjoin.DefaultClusterManager, &out)
		o.Adopt, o.Wait = true, true
		require.NoError(t, clusterpassjoin.Run(t.Context(), o), out.String())
		unjoined(t, "adopted", theirs)
		expectToken(t, hub.RESTConfig(), request("adopted", "adopted"))
		assert.Equal(t, profile.ResourceVersion, getProfile(t, "adopted").ResourceVersion, "somebody has written to it")
	})
}

// With upstream's CRD, whose lists have keys, entries of ours that are not wanted any more go.
func TestExternal_JoinApplies(t *testing.T) {
	leaveHubClean(t)
	installProfileCRDs(t)
	s := startServer(t, external)
	s.register(t, clusterpass)
	var out bytes.Buffer
	o := joinOptions("ours", clusterpassjoin.DefaultClusterManager, &out)
	o.Consumers = &v1alpha1.AuthTokenRequestSpec{
		ServiceAccountNamespace: "default", ServiceAccountName: "work", ClusterRoles: []v1alpha1.ClusterRole{{Name: "view"}},
	}
	require.NoError(t, clusterpassjoin.Run(t.Context(), o), out.String())
	unjoined(t, "ours", clusterpassjoin.DefaultClusterManager)
	reported(t, "ours")
	expectOthersKept(t, getProfile(t, "ours"), "kubeconfig-secretreader", "clusterpass")
	o.Consumers = nil
	require.NoError(t, clusterpassjoin.Run(t.Context(), o), out.String())
	expectOthersKept(t, getProfile(t, "ours"), "kubeconfig-secretreader")
}
