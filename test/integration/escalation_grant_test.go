// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	clusterpassclient "clusterpass.dev/pkg/generated/clientset/versioned/typed/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/testenv"
)

// grantsAs returns the client of a user for the grants in namespace default.
func grantsAs(t *testing.T, user *rest.Config) clusterpassclient.AuthTokenGrantInterface {
	t.Helper()
	return testenv.Clusterpass(t, user).ClusterpassV1alpha1().AuthTokenGrants("default")
}

func mayGrants(resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{"clusterpass.dev"}, Resources: []string{resource}, Verbs: verbs}
}

// tampering is what somebody tries to change of a grant.
var tampering = map[string]struct{ patch, subresource string }{
	"the roles":                     {`{"spec":{"clusterRoles":[{"name":"cluster-admin"}]}}`, ""},
	"the requester":                 {`{"spec":{"requester":{"username":"somebody-else"}}}`, ""},
	"the account":                   {`{"spec":{"serviceAccount":{"name":"powerful"}}}`, ""},
	"the labels of the server":      {`{"metadata":{"labels":{"clusterpass.dev/hub-id":"forged"}}}`, ""},
	"the annotations of the server": {`{"metadata":{"annotations":{"clusterpass.dev/grant":"forged"}}}`, ""},
	"the ceiling":                   {`{"status":{"expirationCeiling":null,"observedGeneration":0}}`, "status"},
	"the objects on the member":     {`{"status":{"memberObjects":[{"kind":"ClusterRoleBinding","name":"cluster-admin"}]}}`, "status"},
	"how the member is reached": {
		`{"status":{"accessProvider":{"name":"attackers-plugin","cluster":{"server":"https://attacker.example.com"}}}}`, "status",
	},
	"the roles, through the status":   {`{"spec":{"clusterRoles":[{"name":"cluster-admin"}]}}`, "status"},
	"that its member is abandoned":    {`{"metadata":{"annotations":{"clusterpass.dev/abandon-member":"true"}}}`, ""},
	"that it holds for no revocation": {`{"metadata":{"finalizers":null}}`, ""},
}

// Nobody tampers with a grant without the right.
func TestEscalation_TamperWithGrant(t *testing.T) {
	users := map[string]*rest.Config{
		"its requester":         climber(t, "tamper-requester"),
		"who may read grants":   climber(t, "tamper-reader", mayGrants("authtokengrants", "get", "list", "watch")),
		"who may delete grants": climber(t, "tamper-deleter", mayGrants("authtokengrants", "get", "delete", "deletecollection")),
		"who may read the status": climber(t, "tamper-status-reader", mayGrants("authtokengrants", "get"),
			mayGrants("authtokengrants/status", "get")),
	}
	name := mintFor(t, users["its requester"], request("bravelion", "tampered", "view")).Status.GrantName
	unchanged(t, func() {
		for who, user := range users {
			for what, attempt := range tampering {
				t.Run(who+" changes "+what, func(t *testing.T) {
					var subresources []string
					if attempt.subresource != "" {
						subresources = []string{attempt.subresource}
					}
					_, err := grantsAs(t, user).Patch(t.Context(), name, types.MergePatchType, []byte(attempt.patch), metav1.PatchOptions{},
						subresources...)
					expectRefusal(t, err, http.StatusForbidden, `cannot patch resource "authtokengrants`)
					apply := fmt.Sprintf(`{"apiVersion":"clusterpass.dev/v1alpha1","kind":"AuthTokenGrant",%s`, strings.TrimPrefix(attempt.patch, "{"))
					_, err = grantsAs(t, user).Patch(t.Context(), name, types.ApplyPatchType, []byte(apply),
						metav1.PatchOptions{FieldManager: "test", Force: ptr.To(true)}, subresources...)
					expectRefusal(t, err, http.StatusForbidden, `cannot patch resource "authtokengrants`)
				})
			}
			g := getGrant(t, name)
			g.Spec.ClusterRoles[0].Name = "cluster-admin"
			_, err := grantsAs(t, user).Update(t.Context(), g, metav1.UpdateOptions{})
			expectRefusal(t, err, http.StatusForbidden, `cannot update resource "authtokengrants"`)
			_, err = grantsAs(t, user).UpdateStatus(t.Context(), g, metav1.UpdateOptions{})
			expectRefusal(t, err, http.StatusForbidden, `cannot update resource "authtokengrants/status"`)
		}
	})
}

// A right to one part of a grant is none to another.
func TestEscalation_PartOfGrant(t *testing.T) {
	name := mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "parted", "view")).Status.GrantName
	before := getGrant(t, name)
	whole := grantsAs(t, grantTo(t, "part-whole", mayGrants("authtokengrants", "get", "update", "patch")))
	status := grantsAs(t, grantTo(t, "part-status", mayGrants("authtokengrants/status", "get", "update", "patch")))
	for what, attempt := range tampering {
		t.Run(what, func(t *testing.T) {
			if attempt.subresource == "status" {
				_, err := whole.Patch(t.Context(), name, types.MergePatchType, []byte(attempt.patch), metav1.PatchOptions{}, "status")
				expectRefusal(t, err, http.StatusForbidden, `cannot patch resource "authtokengrants/status"`)
				return
			}
			_, err := status.Patch(t.Context(), name, types.MergePatchType, []byte(attempt.patch), metav1.PatchOptions{})
			expectRefusal(t, err, http.StatusForbidden, `cannot patch resource "authtokengrants"`)
			// As with a custom resource, what is not of the status is left as it was.
			testenv.Patch(t, status, name, attempt.patch, "status")
		})
	}
	after := getGrant(t, name)
	assert.Equal(t, before.Spec, after.Spec)
	assert.Equal(t, before.Finalizers, after.Finalizers)
	assert.Equal(t, before.Annotations, after.Annotations)
	assert.Equal(t, before.Labels, after.Labels)
}

// A deleted grant stays until it is revoked, however it is deleted.
func TestEscalation_DeleteGrant(t *testing.T) {
	deleter := grantsAs(t, grantTo(t, "hasty", mayGrants("authtokengrants", "get", "delete", "deletecollection")))
	for name, options := range map[string]metav1.DeleteOptions{
		"at once":           {GracePeriodSeconds: ptr.To[int64](0)},
		"in the background": {PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)},
		"in the foreground": {PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)},
		"with its orphans":  {PropagationPolicy: ptr.To(metav1.DeletePropagationOrphan)},
	} {
		t.Run(name, func(t *testing.T) {
			grantName := mintFor(t, shared.Hub.RESTConfig(),
				request("bravelion", "hasty-"+strings.ReplaceAll(name, " ", "-"), "view")).Status.GrantName
			t.Cleanup(func() { forget(t, grantName) })
			for range 2 {
				require.NoError(t, deleter.Delete(t.Context(), grantName, options))
				g := getGrant(t, grantName)
				assert.NotNil(t, g.DeletionTimestamp)
				assert.Contains(t, g.Finalizers, clusterpassv1alpha1.GrantFinalizer)
			}
		})
	}
	t.Run("as if it were corrupt", func(t *testing.T) {
		grantName := mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "hasty-corrupt", "view")).Status.GrantName
		t.Cleanup(func() { forget(t, grantName) })
		// Where the hub knows the option, this is an error; where it does not, a deletion like any other.
		_ = grantsAs(t, shared.Hub.RESTConfig()).Delete(t.Context(), grantName,
			metav1.DeleteOptions{IgnoreStoreReadErrorWithClusterBreakingPotential: ptr.To(true)})
		assert.Contains(t, getGrant(t, grantName).Finalizers, clusterpassv1alpha1.GrantFinalizer)
	})
}

// Grants of similar names are not mixed up.
func TestEscalation_SimilarNames(t *testing.T) {
	t.Run("accounts that differ in the last of 253 letters", func(t *testing.T) {
		long := strings.Repeat("a", 252)
		admin := mintFor(t, shared.Hub.RESTConfig(), request("bravelion", long+"a", "cluster-admin"))
		viewer := mintFor(t, shared.Hub.RESTConfig(), request("bravelion", long+"b", "view"))
		require.NotEqual(t, viewer.Status.GrantName, admin.Status.GrantName)
		err := listsSecrets(t.Context(), testenv.Kube(t, fromKubeconfig(t, viewer)))
		assert.True(t, apierrors.IsForbidden(err), "the token of view lists Secrets: %v", err)
	})
	t.Run("clusters and accounts that read the same together", func(t *testing.T) {
		// A grant's name has 100 letters of the cluster's: here they end in dashes, which are cut off,
		// too.
		long := strings.Repeat("c", 98)
		names := map[string]string{}
		for _, pair := range [][2]string{
			{"mixed", "up-x"},
			{"mixed-up", "x"},
			{long + "--x", "y"},
			{long + "--z", "y"},
			{long, "y"},
		} {
			joinAlias(t, pair[0])
			name := grantNameOf(t, request(pair[0], pair[1], "view"))
			for other, taken := range names {
				assert.NotEqual(t, taken, name, "%v and %s", pair, other)
			}
			names[pair[0]] = name
		}
	})
}

// A grant that has the name of another is not taken for it.
func TestEscalation_NameOfAnotherGrant(t *testing.T) {
	user := climber(t, "collider", mayGrants("authtokengrants", "get", "update"))
	for name, change := range map[string]func(g *clusterpassv1alpha1.AuthTokenGrant){
		"another-account":   func(g *clusterpassv1alpha1.AuthTokenGrant) { g.Spec.ServiceAccount.Name = "another" },
		"another-namespace": func(g *clusterpassv1alpha1.AuthTokenGrant) { g.Spec.ServiceAccount.Namespace = "another" },
		"another-cluster":   func(g *clusterpassv1alpha1.AuthTokenGrant) { g.Spec.ClusterProfile.Name = "smartfish" },
		"another-uid":       func(g *clusterpassv1alpha1.AuthTokenGrant) { g.Spec.ClusterProfile.UID = "uid-of-another" },
	} {
		t.Run(name, func(t *testing.T) {
			r := request("bravelion", "collide-"+name, "view")
			bravelion := testenv.Get(t, grants(t), mintFor(t, user, request("bravelion", "collider", "view")).Status.GrantName)
			stored := storeGrant(t, "default", grantNameOf(t, r), func(g *clusterpassv1alpha1.AuthTokenGrant) {
				g.Spec = *bravelion.Spec.DeepCopy()
				g.Spec.ServiceAccount.Name = r.Spec.ServiceAccountName
				change(g)
			})
			unchanged(t, func() {
				for _, f := range forms {
					for _, roles := range [][]string{{"view"}, nil} {
						_, _, err := ask(t.Context(), user, f, request("bravelion", "collide-"+name, roles...), metav1.CreateOptions{})
						expectRefusal(t, err, http.StatusConflict, "its name belongs to a grant for another ServiceAccount or another cluster")
					}
				}
			})
			require.NoError(t, grants(t).Delete(t.Context(), stored.Name, metav1.DeleteOptions{}))
		})
	}
}

// A role made for one grant is bound by no other.
func TestEscalation_MadeRole(t *testing.T) {
	owner := request("bravelion", "role-owner")
	owner.Spec.ClusterRoles = []v1alpha1.ClusterRole{{Name: "made", Rules: everything}}
	owner.Spec.Roles = []v1alpha1.Role{{Namespace: "default", Name: "made", Rules: everything}}
	g := getGrant(t, mintFor(t, shared.Hub.RESTConfig(), owner).Status.GrantName)
	made := grant.BindingName(g.UID, "made")
	// Even who was given the verb for it by mistake.
	user := climber(t, "role-thief", mayUse("bravelion", "bind:"+made, "bind-role:default:"+made, "escalate"))
	rules := []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	tests := map[string]func(r *v1alpha1.AuthTokenRequest){
		"spec.clusterRoles[0].name":                            roleNamed(made),
		"spec.roles[0].name":                                   withRole("default", made),
		"spec.roles[0].name: Forbidden: names that begin with": withRole("default", made, rules...),
		"spec.clusterRoles[0].name: Forbidden": func(r *v1alpha1.AuthTokenRequest) {
			r.Spec.ClusterRoles = []v1alpha1.ClusterRole{{Name: made, Rules: rules}}
		},
	}
	for words, change := range tests {
		t.Run(words, func(t *testing.T) {
			unchanged(t, func() {
				for _, f := range forms {
					r := request("bravelion", "role-thief")
					change(r)
					_, _, err := ask(t.Context(), user, f, r, metav1.CreateOptions{})
					expectRefusal(t, err, http.StatusUnprocessableEntity, words)
				}
			})
		})
	}
	t.Run("the name that the role had in the request", func(t *testing.T) {
		unchanged(t, func() {
			_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), forms[0], request("bravelion", "role-thief", "made"), metav1.CreateOptions{})
			expectRefusal(t, err, http.StatusUnprocessableEntity, "has no such role")
		})
	})
}
