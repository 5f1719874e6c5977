// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventorymodes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/cli"
	"clusterpass.dev/pkg/doctor"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/integration/parity"
	"clusterpass.dev/test/testenv"
)

// serve has a CRD of upstream's, which has v1alpha1 and v1alpha2, serve these versions alone.
func serve(versions ...string) func(*apiextensionsv1.CustomResourceDefinition) {
	return func(c *apiextensionsv1.CustomResourceDefinition) {
		if len(c.Spec.Versions) == 1 {
			parity.ServeV1alpha2(c)
		}
		for i := range c.Spec.Versions {
			version := &c.Spec.Versions[i]
			version.Served = false
			for _, name := range versions {
				version.Served = version.Served || version.Name == name
			}
		}
	}
}

// TestExternal_V1alpha2 is about a hub whose CRDs serve v1alpha2 alone, as upstream's may do.
func TestExternal_V1alpha2(t *testing.T) {
	leaveHubClean(t)
	installProfileCRDs(t, serve("v1alpha2"))
	s := startServer(t, external)
	s.register(t, clusterpass)
	s.expectReady(t)
	testenv.StartControllerManager(t, hub, testenv.ControllerManagerConfig{Args: []string{
		"--member-probe-period=1s", "--cluster-profile-write-interval=1s", "--member-sweep-period=2s",
	}})
	kubeconfig := bothClusters(t)
	// It waits until the controller manager has written that the member is healthy.
	out := clusterpassCLI(t, kubeconfig, "join", "external", "--member-context=bravelion")
	assert.Contains(t, out, "hub: created clusterprofile.multicluster.x-k8s.io/external in default")

	t.Run("join changes nothing the second time", func(t *testing.T) {
		out := clusterpassCLI(t, kubeconfig, "join", "external", "--member-context=bravelion", "--dry-run=client")
		assert.NotContains(t, out, "hub: configured clusterprofile")
	})
	t.Run("health and facts are written", func(t *testing.T) {
		profile := testenv.Get(t, hub.Clusterpass(t).MulticlusterV1alpha2().ClusterProfiles("default"), "external")
		assert.True(t, apimeta.IsStatusConditionTrue(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy))
		assert.NotEmpty(t, profile.Status.Version.Kubernetes)
		assert.NotEmpty(t, profile.Labels["multicluster.x-k8s.io/inventory-member-id"])
	})
	t.Run("an ordinary user gets a token", func(t *testing.T) {
		expectEntitlement(t, "june")
	})
	t.Run("a grant is revoked", func(t *testing.T) {
		grants := hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants("default")
		require.NotEmpty(t, accounts(t))
		require.NoError(t, grants.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}))
		expectNoAccounts(t)
	})
	t.Run("a Placement is decided", func(t *testing.T) { expectPlacement(t, kubeconfig) })
	t.Run("a credential set is filled", func(t *testing.T) { expectCredentialSet(t) })
	t.Run("doctor finds nothing", func(t *testing.T) { expectHealthy(t) })
	t.Run("the hub may change the version", func(t *testing.T) {
		for _, version := range []string{"v1alpha1", "v1alpha2"} {
			changeCRDs(t, serve(version))
			expectToken(t, hub.RESTConfig(), request("external", "after-"+version))
			expectHealthy(t)
			expectFollowed(t, "after-"+version)
		}
	})
	t.Run("a hub that serves no version any more is told", func(t *testing.T) {
		changeCRDs(t, serve())
		expectFinding(t, "crds", "does not serve v1alpha1 or v1alpha2")
		changeCRDs(t, serve("v1alpha2"))
		expectHealthy(t)
	})
	t.Run("unjoin leaves nothing", func(t *testing.T) {
		clusterpassCLI(t, kubeconfig, "unjoin", "external", "--member-context=bravelion")
		_, err := hub.Clusterpass(t).MulticlusterV1alpha2().ClusterProfiles("default").Get(t.Context(), "external", metav1.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
		expectNoAccounts(t)
		testenv.Eventually(t, func(ctx context.Context) error {
			namespace, err := bravelion.Kube(t).CoreV1().Namespaces().Get(ctx, testenv.SystemNamespace, metav1.GetOptions{})
			if err == nil && namespace.DeletionTimestamp != nil {
				return errors.New("the namespace on the member is being deleted")
			}
			return nil
		})
	})
}

// A CRD that serves neither version is no inventory.
func TestExternal_OtherVersion(t *testing.T) {
	leaveHubClean(t)
	installProfileCRDs(t, func(c *apiextensionsv1.CustomResourceDefinition) { c.Spec.Versions[0].Name = "v1beta1" })
	s := startServer(t, external)
	s.applyAPIService(t, clusterpass, "apply")
	s.expectNotReady(t, profilesCheck, "the hub has no ClusterProfiles", "v1alpha1 or v1alpha2", "have it serve one of these versions")
	expectFinding(t, "crds", "does not serve v1alpha1 or v1alpha2")

	out, err := clusterpassOf(t.Context(), bothClusters(t), "join", "external", "--member-context=bravelion")
	require.Error(t, err, out)
	assert.ErrorContains(t, err, "hub: it serves no ClusterProfiles in v1alpha1 or v1alpha2")
	assert.ErrorContains(t, err, "Nothing was changed on either cluster")
}

// changeCRDs changes the CRDs of ClusterProfile and PlacementDecision.
func changeCRDs(t *testing.T, change func(*apiextensionsv1.CustomResourceDefinition)) {
	t.Helper()
	for _, name := range crdNames(profiles...) {
		testenv.Eventually(t, func(ctx context.Context) error {
			c, err := crdClient(t).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			change(c)
			_, err = crdClient(t).Update(ctx, c, metav1.UpdateOptions{})
			return err
		})
	}
}

// bothClusters returns a kubeconfig with contexts for the hub, the current one, and the member.
func bothClusters(t *testing.T) string {
	t.Helper()
	rules := clientcmd.ClientConfigLoadingRules{Precedence: []string{hub.Kubeconfig(), bravelion.Kubeconfig()}}
	config, err := rules.Load()
	require.NoError(t, err)
	config.CurrentContext = hub.Name()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, path))
	return path
}

// clusterpassCLI runs `kubectl clusterpass`, which has to go well, and returns what it prints.
func clusterpassCLI(t *testing.T, kubeconfig string, args ...string) string {
	t.Helper()
	out, err := clusterpassOf(t.Context(), kubeconfig, args...)
	require.NoError(t, err, out)
	return out
}

func clusterpassOf(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := cli.NewCommand(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &out, ErrOut: &out})
	cmd.SetArgs(append([]string{"--kubeconfig=" + kubeconfig, "--cache-dir=" + filepath.Join(filepath.Dir(kubeconfig), "cache")}, args...))
	cmd.SetContext(ctx)
	cmd.SilenceErrors = true
	err := cmd.Execute()
	return out.String(), err
}

func expectNoAccounts(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, func(context.Context) error {
		if left := accounts(t); len(left) > 0 {
			return fmt.Errorf("ServiceAccounts on the member: %v", left)
		}
		return nil
	})
}

// expectPlacement has a Placement choose the member, follow a change, and go.
func expectPlacement(t *testing.T, kubeconfig string) {
	t.Helper()
	placements := hub.Clusterpass(t).ClusterpassV1alpha1().Placements("default")
	decisions := hub.Clusterpass(t).MulticlusterV1alpha2().PlacementDecisions("default")
	testenv.Create(t, placements, &clusterpassv1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: "any"}})
	chosen := func(want ...string) {
		t.Helper()
		testenv.Eventually(t, func(ctx context.Context) error {
			found, err := decisions.List(ctx, metav1.ListOptions{LabelSelector: inventoryv1alpha1.DecisionKeyLabel + "=any"})
			if err != nil {
				return err
			}
			var names []string
			for i := range found.Items {
				for _, decision := range found.Items[i].Decisions {
					names = append(names, decision.ClusterProfileRef.Name)
				}
			}
			if fmt.Sprint(names) != fmt.Sprint(want) {
				return fmt.Errorf("chosen: %v", names)
			}
			return nil
		})
	}
	chosen("external")
	assert.Contains(t, clusterpassCLI(t, kubeconfig, "explain", "placement", "any"), "external")

	const none = `{"requiredClusterSelector":{"labelSelector":{"matchLabels":{"none":"such"}}}}`
	testenv.Patch(t, placements, "any", `{"spec":{"predicates":[`+none+`]}}`)
	chosen()
	testenv.Patch(t, placements, "any", `{"spec":{"predicates":null}}`)
	chosen("external")
	require.NoError(t, placements.Delete(t.Context(), "any", metav1.DeleteOptions{}))
	testenv.Eventually(t, func(ctx context.Context) error {
		found, err := decisions.List(ctx, metav1.ListOptions{})
		if err == nil && len(found.Items) > 0 {
			err = errors.New("the PlacementDecision is still there")
		}
		return err
	})
}

// expectFollowed has a Placement choose the member by a label that it gets now: the controllers see
// the label and write the decision, in whatever version.
func expectFollowed(t *testing.T, name string) {
	t.Helper()
	testenv.MustKubectl(t, hub.Kubeconfig(), "", "label", "clusterprofiles", "external", name+"=yes")
	placements := hub.Clusterpass(t).ClusterpassV1alpha1().Placements("default")
	labelled := metav1.LabelSelector{MatchLabels: map[string]string{name: "yes"}}
	testenv.Create(t, placements, &clusterpassv1alpha1.Placement{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: clusterpassv1alpha1.PlacementSpec{Predicates: []clusterpassv1alpha1.ClusterPredicate{{
			RequiredClusterSelector: clusterpassv1alpha1.ClusterSelector{LabelSelector: labelled},
		}}},
	})
	testenv.Eventually(t, func(ctx context.Context) error {
		out, err := testenv.Kubectl(ctx, hub.Kubeconfig(), "", "get", "placementdecisions", "-l", inventoryv1alpha1.DecisionKeyLabel+"="+name,
			"-o", "jsonpath={.items[*].decisions[*].clusterProfileRef.name}")
		if err == nil && out != "external" {
			err = fmt.Errorf("decided: %q", out)
		}
		return err
	})
	require.NoError(t, placements.Delete(t.Context(), name, metav1.DeleteOptions{}))
}

// expectCredentialSet has a set keep a Secret for the member, and end it.
func expectCredentialSet(t *testing.T) {
	t.Helper()
	kube, sets := hub.Kube(t), hub.Clusterpass(t).ClusterpassV1alpha1().ClusterCredentialSets("default")
	manager := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "clusterpass-controller-manager", Namespace: testenv.SystemNamespace}
	testenv.Bind(t, kube, "default", "clusterpass-credential-sets", manager, "clusterpass:credential-sets")
	testenv.Create(t, sets, &clusterpassv1alpha1.ClusterCredentialSet{
		ObjectMeta: metav1.ObjectMeta{Name: "viewers"},
		Spec: clusterpassv1alpha1.ClusterCredentialSetSpec{
			Clusters: clusterpassv1alpha1.ClusterSelection{LabelSelector: &metav1.LabelSelector{}},
			Template: clusterpassv1alpha1.CredentialTemplate{ClusterRoles: []v1alpha1.ClusterRole{{Name: "view"}}},
			Secret:   clusterpassv1alpha1.CredentialSecret{Namespace: "default", Labels: map[string]string{"for": "viewers"}},
		},
	})
	expect := func(want int) {
		t.Helper()
		testenv.Eventually(t, func(ctx context.Context) error {
			secrets, err := kube.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{LabelSelector: "for=viewers"})
			if err == nil && len(secrets.Items) != want {
				set, _ := sets.Get(ctx, "viewers", metav1.GetOptions{})
				err = fmt.Errorf("%d Secrets, and the set says %+v", len(secrets.Items), set.Status)
			}
			return err
		})
	}
	expect(1)
	require.NoError(t, sets.Delete(t.Context(), "viewers", metav1.DeleteOptions{}))
	expect(0)
	expectNoAccounts(t)
}

func diagnose(ctx context.Context) ([]doctor.Finding, error) {
	clients, err := doctor.NewClients(hub.RESTConfig())
	if err != nil {
		return nil, err
	}
	return doctor.Run(ctx, clients, doctor.Options{
		ServerUser: doctor.DefaultServerUser, ManagerUser: doctor.DefaultManagerUser, Namespace: "default", Access: member.DefaultConfig(),
		MintNamespace: "default", Mint: []types.NamespacedName{{Namespace: "default", Name: "external"}},
	}), nil
}

// expectHealthy waits until doctor finds nothing that fails, and gets a token.
func expectHealthy(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		found, err := diagnose(ctx)
		if err == nil && doctor.Worst(found) == doctor.Fail {
			var out bytes.Buffer
			err = errors.Join(doctor.Print(&out, found), errors.New(out.String()))
		}
		return err
	})
}

// expectFinding waits until a check of doctor fails with these words.
func expectFinding(t *testing.T, check, words string) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		found, err := diagnose(ctx)
		if err != nil {
			return err
		}
		for _, finding := range found {
			if finding.Check == check && finding.Verdict == doctor.Fail && strings.Contains(finding.Message, words) {
				return nil
			}
		}
		return fmt.Errorf("%s does not say %q: %+v", check, words, found)
	})
}
