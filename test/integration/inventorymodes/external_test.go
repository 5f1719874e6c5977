// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventorymodes

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/test/testenv"
)

// oursExternally is what we serve in clusterpass.dev/v1alpha1, in both modes.
var oursExternally = []string{"authtokengrants", "authtokenrequests", "clustercredentialsets", "clusterscores", "placements"}

func TestExternal_CRDsBefore(t *testing.T) {
	leaveHubClean(t)
	installProfileCRDs(t)
	installServiceCRDs(t, true)
	join(t, "external")
	s := startServer(t, external)
	s.register(t, clusterpass)

	expectBoth := func(t *testing.T) {
		t.Helper()
		expectDescribed(t, multicluster, allCRDs...)
		expectDescribed(t, clusterpass, oursExternally...)
		expectToken(t, hub.RESTConfig(), request("external", "external"))
	}
	t.Run("both sides work", expectBoth)
	t.Run("the Multi-Cluster Services API works", func(t *testing.T) {
		testenv.MustKubectl(t, hub.Kubeconfig(), fmt.Sprintf(anExport, multicluster, "external"), "create", "-f", "-")
		testenv.MustKubectl(t, hub.Kubeconfig(), "", "get", "--namespace=default", "svcex", "external")
		testenv.MustKubectl(t, hub.Kubeconfig(), "", "delete", "--namespace=default", "svcex", "external")
	})
	t.Run("the forms of the other mode are not there", func(t *testing.T) {
		for _, path := range []string{"authtokenrequests", "clusterprofiles/external/token"} {
			target := "/apis/" + multicluster.String() + "/namespaces/default/" + path
			_, err := testenv.Kubectl(t.Context(), hub.Kubeconfig(), "{}", "create", "--raw", target, "-f", "-")
			require.ErrorContains(t, err, "(NotFound)")
		}
	})
	t.Run("entitlement is the same", func(t *testing.T) { expectEntitlement(t, "jane") })
	t.Run("grants are revoked", func(t *testing.T) { expectGrantsAreRevoked(t) })
	t.Run("nobody writes decisions in the name of somebody else", func(t *testing.T) { expectDecisionWriters(t) })
	t.Run("profiles come and go", func(t *testing.T) { expectProfilesAreFollowed(t) })
	t.Run("a restart of the hub changes nothing", func(t *testing.T) {
		restartHub(t)
		expectBoth(t)
		s.expectReady(t)
	})
}

// expectEntitlement has a user ask before and after the rights that a person would grant.
func expectEntitlement(t *testing.T, name string) {
	t.Helper()
	user := hub.User(t, name)
	r := request("external", name)
	grantTo(t, name+"-asks", name,
		rbacv1.PolicyRule{APIGroups: []string{clusterpass.Group}, Resources: []string{"authtokenrequests"}, Verbs: []string{"create"}})
	before := memberObjects(t)

	_, err := ask(t.Context(), user, r)
	require.True(t, apierrors.IsForbidden(err), "%v", err)
	require.ErrorContains(t, err, "lacks: ", "a 403 names what is missing")
	on := `clusterprofiles.multicluster.x-k8s.io "external" in namespace "default"`
	token := `create on clusterprofiles/token.multicluster.x-k8s.io "external" in namespace "default"`
	require.Empty(t, cmp.Diff([]string{token, "bind:view on " + on, "in:default on " + on}, causes(err)))

	_, missing := ask(t.Context(), user, request("nowhere", name))
	require.True(t, apierrors.IsForbidden(missing), "a user without entitlement can tell whether a profile exists: %v", missing)
	require.Empty(t, cmp.Diff(before, memberObjects(t)), "a refusal changed the member")

	grantTo(t, name+"-may", name,
		rbacv1.PolicyRule{APIGroups: []string{multicluster.Group}, Resources: []string{"clusterprofiles/token"},
			ResourceNames: []string{"external"}, Verbs: []string{"create"}},
		rbacv1.PolicyRule{APIGroups: []string{multicluster.Group}, Resources: []string{"clusterprofiles"},
			ResourceNames: []string{"external"}, Verbs: []string{"bind:view", "in:default"}})
	expectToken(t, user, r)
}

// causes returns the messages of the causes in an API error.
func causes(err error) []string {
	var all []string
	if status, ok := err.(apierrors.APIStatus); ok && status.Status().Details != nil {
		for _, cause := range status.Status().Details.Causes {
			all = append(all, cause.Message)
		}
	}
	return all
}

// expectProfilesAreFollowed creates, replaces and deletes a ClusterProfile through the CRD.
func expectProfilesAreFollowed(t *testing.T) {
	t.Helper()
	admin := hub.RESTConfig()
	client := hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
	status := getProfile(t, "external").Status

	create := func() types.UID { return testenv.Create(t, client, testenv.NewProfile("passing", "somebody")).UID }
	first := create()
	// At once: before any informer can know it.
	_, err := ask(t.Context(), admin, request("passing", "passing"))
	require.True(t, apierrors.IsServiceUnavailable(err), "a profile without an access provider: %v", err)

	require.NoError(t, client.Delete(t.Context(), "passing", metav1.DeleteOptions{}))
	expectRefused(t, request("passing", "passing"), metav1.StatusReasonNotFound)

	second := create()
	require.NotEqual(t, first, second)
	replaced := request("passing", "passing")
	replaced.Spec.TargetClusterProfile.UID = first
	expectRefused(t, replaced, metav1.StatusReasonConflict)

	// A status that its manager writes is followed: here it points at the Secret of another profile.
	profile := getProfile(t, "passing")
	profile.Status = status
	testenv.UpdateStatus(t, client, profile)
	_, err = ask(t.Context(), admin, request("passing", "passing"))
	require.ErrorContains(t, err, "is not for this cluster")
	require.NoError(t, client.Delete(t.Context(), "passing", metav1.DeleteOptions{}))

	// What was written a moment ago counts, whatever the informers have.
	for round := range 5 {
		name := fmt.Sprintf("fresh-%d", round)
		join(t, name)
		_, err := ask(t.Context(), admin, request(name, name))
		require.NoError(t, err, "round %d: refused by what was so before", round)
		require.NoError(t, client.Delete(t.Context(), name, metav1.DeleteOptions{}))
	}
}

// grantTo binds rules in namespace default of the hub to a user.
func grantTo(t *testing.T, name, user string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	testenv.Grant(t, hub.Kube(t), "default", name, testenv.UserSubject(user), rules...)
}

// memberObjects lists what clusterpass could have changed on the member.
func memberObjects(t *testing.T) []string {
	t.Helper()
	client := bravelion.Kube(t)
	var all []string
	const rbac = "/apis/rbac.authorization.k8s.io/v1/"
	for _, path := range []string{
		"/api/v1/namespaces", "/api/v1/serviceaccounts", "/api/v1/secrets",
		rbac + "roles", rbac + "rolebindings", rbac + "clusterroles", rbac + "clusterrolebindings",
	} {
		var list metav1.PartialObjectMetadataList
		require.NoError(t, client.CoreV1().RESTClient().Get().AbsPath(path).
			SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").Do(t.Context()).Into(&list))
		for _, item := range list.Items {
			all = append(all, fmt.Sprintf("%s %s/%s %s", path, item.Namespace, item.Name, item.ResourceVersion))
		}
	}
	return all
}

func TestExternal_WaitsForCRD(t *testing.T) {
	leaveHubClean(t)
	s := startServer(t, external)
	s.applyAPIService(t, clusterpass, "apply")
	s.expectNotReady(t, profilesCheck, "the hub has no ClusterProfiles", "clusterprofiles.multicluster.x-k8s.io",
		"v1alpha1", "--inventory=Served")
	expectUnavailable(t, grantsPath)

	t.Run("and is ready without a restart when it comes", func(t *testing.T) {
		installProfileCRDs(t)
		s.expectReady(t)
		installServiceCRDs(t, true)
		join(t, "waited")
		expectDescribed(t, multicluster, allCRDs...)
		expectDescribed(t, clusterpass, oursExternally...)
		expectToken(t, hub.RESTConfig(), request("waited", "waited"))
		testenv.MustKubectl(t, hub.Kubeconfig(), fmt.Sprintf(anExport, multicluster, "waited"), "create", "-f", "-")
	})

	t.Run("without it, later, nothing is found, and grants can still be seen and revoked", func(t *testing.T) {
		expectRefused(t, request("waited", "waited"), metav1.StatusReasonNotFound)
		require.NoError(t, s.check(t.Context(), ""))
		testenv.MustKubectl(t, hub.Kubeconfig(), "", "get", "authtokengrants", "--all-namespaces")
		testenv.MustKubectl(t, hub.Kubeconfig(), "", "delete", "--namespace=default", "--wait=false", "authtokengrants", "--all")
	})
}

func TestExternal_OtherAPIService(t *testing.T) {
	leaveHubClean(t)
	s := startServer(t, external)
	s.expectNotReady(t, profilesCheck, "the hub has no ClusterProfiles")
	s.applyAPIService(t, clusterpass, "apply")
	s.applyAPIService(t, multicluster, "apply")
	expectUnavailable(t, profilesPath)
	s.expectNotReady(t, profilesCheck, "ClusterProfiles")
	require.NoError(t, openAPIIsWhole(t.Context()))

	t.Run("it hides a CRD that comes later", func(t *testing.T) {
		installProfileCRDs(t)
		s.expectNotReady(t, profilesCheck, "ClusterProfiles")
		expectUnavailable(t, profilesPath)

		deleteAPIService(t.Context(), t, multicluster.Version+"."+multicluster.Group)
		s.expectReady(t)
		expectDescribed(t, multicluster, profiles...)
		expectDescribed(t, clusterpass, oursExternally...)
	})
}
