// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// secretName is that of the Secret which leads to bravelion, where it is made by hand.
const secretName = "ocm-bravelion"

// awaitProfile waits until OCM has made a ClusterProfile and filled its status, and returns it.
func (f *fleet) awaitProfile(t *testing.T, namespace, name string) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	return testenv.Await(t, f.profiles(t, namespace), name, func(profile *inventoryv1alpha1.ClusterProfile) error {
		if !meta.IsStatusConditionTrue(profile.Status.Conditions, "Joined") || profile.Status.Version.Kubernetes == "" ||
			len(profile.Status.Properties) == 0 || profile.Labels["multicluster.x-k8s.io/clusterset"] != clusterSet {
			return fmt.Errorf("OCM has not filled the profile yet: %v %v", profile.Labels, profile.Status)
		}
		return nil
	})
}

// adopt has the profile of bravelion in a namespace adopted, by the command in Served mode, and by
// hand in the other. A namespace that comes later is added to the Secret.
func (f *fleet) adopt(t *testing.T, namespace string) {
	t.Helper()
	if f.mode == hub.InventoryServed {
		out, err := f.clusterpass(t.Context(), "join", bravelion, "--namespace="+namespace, "--member-context="+bravelion, "--adopt",
			"--timeout="+testenv.WaitTimeout.String())
		require.NoError(t, err, out)
		return
	}
	profiles := []string{team + "/" + bravelion}
	if namespace != team {
		profiles = append(profiles, namespace+"/"+bravelion)
	}
	f.adoptByHand(t, profiles...)
}

// adoptByHand does what a platform does that delivers artifacts/deploy/member by means of its own:
// it makes the Secret with the member's kubeconfig, which names ClusterProfiles.
func (f *fleet) adoptByHand(t *testing.T, profiles ...string) {
	t.Helper()
	testenv.MustKubectl(t, f.member.Kubeconfig(), "", "apply", "--server-side", "--kustomize",
		filepath.Join(testenv.Root(t), "artifacts", "deploy", "member"))
	bound := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: "clusterpass-credential"},
	}}
	token, err := f.member.Kube(t).CoreV1().ServiceAccounts(testenv.SystemNamespace).
		CreateToken(t.Context(), "clusterpass", bound, metav1.CreateOptions{})
	require.NoError(t, err)
	kubeconfig := testenv.Must[[]byte](t)(clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{bravelion: {Server: f.member.Server(), CertificateAuthorityData: f.member.CA()}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{bravelion: {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{bravelion: {Cluster: bravelion, AuthInfo: bravelion}},
		CurrentContext: bravelion,
	}))
	secret := corev1ac.Secret(secretName, testenv.SystemNamespace).WithType(corev1.SecretTypeOpaque).
		WithLabels(map[string]string{member.KubeconfigLabel: "true"}).
		WithAnnotations(map[string]string{
			member.ClusterProfileAnnotation: strings.Join(profiles, ", "),
			member.MemberUIDAnnotation:      string(testenv.Get(t, f.member.Kube(t).CoreV1().Namespaces(), metav1.NamespaceSystem).UID),
		}).
		WithData(map[string][]byte{"kubeconfig": kubeconfig})
	_, err = f.hub.Kube(t).CoreV1().Secrets(testenv.SystemNamespace).Apply(t.Context(), secret, metav1.ApplyOptions{FieldManager: "platform"})
	require.NoError(t, err)
}

// grants returns the grants of a namespace.
func (f *fleet) grants(t *testing.T, namespace string) []clusterpassv1alpha1.AuthTokenGrant {
	t.Helper()
	return testenv.List(t, f.hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(namespace), metav1.ListOptions{}).Items
}

// testAdopted has a profile of OCM's adopted by its name in a Secret, and nothing else.
func (f *fleet) testAdopted(t *testing.T) {
	t.Helper()
	f.entitle(t, team)
	_, err := f.create(t.Context(), t, team, "work")
	require.ErrorContains(t, err, "no Secret with label", "before it is adopted")
	before := f.awaitProfile(t, team, bravelion)

	f.adopt(t, team)
	token := f.expectToken(t, team, "work")

	after := testenv.Get(t, f.profiles(t, team), bravelion)
	assert.Equal(t, before.UID, after.UID)
	assert.Empty(t, after.Status.AccessProviders, "nothing of ours is in it")
	for _, entry := range after.ManagedFields {
		assert.NotContains(t, entry.Manager, "clusterpass")
	}
	grants := f.grants(t, team)
	require.Len(t, grants, 1)
	assert.Equal(t, after.UID, grants[0].Spec.ClusterProfile.UID)
	require.NotNil(t, grants[0].Status.AccessProvider)
	assert.Equal(t, f.member.Server(), grants[0].Status.AccessProvider.Cluster.Server, "for revocation")
	assert.NotEmpty(t, token)
}

// testSecondBinding binds the set in another namespace: the same Secret gives access there, too.
func (f *fleet) testSecondBinding(t *testing.T) {
	t.Helper()
	f.bind(t, partner)
	f.awaitProfile(t, partner, bravelion)
	f.entitle(t, partner)
	_, err := f.create(t.Context(), t, partner, "partner")
	require.ErrorContains(t, err, "no Secret with label", "a Secret is for the profiles that it names")

	f.adopt(t, partner)
	f.expectToken(t, partner, "partner")
	f.expectToken(t, team, "work")

	assert.Len(t, member.SecretProfiles(f.secret(t)), 2)
}

// secret returns the one Secret that leads to the member.
func (f *fleet) secret(t *testing.T) *corev1.Secret {
	t.Helper()
	client := f.hub.Kube(t).CoreV1().Secrets(testenv.SystemNamespace)
	secrets := testenv.List(t, client, metav1.ListOptions{LabelSelector: member.KubeconfigLabel})
	require.Len(t, secrets.Items, 1)
	return &secrets.Items[0]
}

// testBoundAgain unbinds the set, and binds it again: the profile is another one, and leads to the
// same member.
func (f *fleet) testBoundAgain(t *testing.T) {
	t.Helper()
	old, token := f.awaitProfile(t, partner, bravelion), f.expectToken(t, partner, "partner")
	oldGrants := f.grants(t, partner)
	require.Len(t, oldGrants, 1)

	f.unbind(t, partner)
	testenv.AwaitGone(t, f.profiles(t, partner), bravelion)
	f.expectUnauthorized(t, token)
	testenv.AwaitGone(t, f.hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(partner), oldGrants[0].Name)
	_, err := f.create(t.Context(), t, partner, "partner")
	require.ErrorContains(t, err, "NotFound")

	f.bind(t, partner)
	again := f.awaitProfile(t, partner, bravelion)
	require.NotEqual(t, old.UID, again.UID)
	f.expectToken(t, partner, "partner")
	grants := f.grants(t, partner)
	require.Len(t, grants, 1)
	assert.NotEqual(t, oldGrants[0].UID, grants[0].UID)
	assert.Equal(t, again.UID, grants[0].Spec.ClusterProfile.UID)
}
