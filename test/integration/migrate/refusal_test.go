// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/pkg/migrate"
	"clusterpass.dev/test/testenv"
)

// few is enough where the number of objects does not matter.
const few = 3

// versions returns the resource versions of all that a migration could change on the hub.
func (c clients) versions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	found := c.list(t)
	for name, profile := range found.profiles {
		all["profile "+name] = profile.ResourceVersion
	}
	for name, decision := range found.decisions {
		all["decision "+name] = decision.ResourceVersion
	}
	for _, crd := range testenv.List(t, c.crds.ApiextensionsV1().CustomResourceDefinitions(), metav1.ListOptions{}).Items {
		all["definition "+crd.Name] = string(crd.UID) + crd.ResourceVersion
	}
	service := c.apiService(t)
	all["registration"] = string(service.UID) + fmt.Sprint(service.Spec)
	return all
}

// A dry run changes nothing.
func TestMigrate_DryRun(t *testing.T) {
	c, port := newHub(t)
	c.fill(t, few)
	before := c.versions(t)
	a := newAttempt(t, port)
	a.options.DryRun = true
	a.mustRun(t)

	assert.Empty(t, cmp.Diff(before, c.versions(t)))
	require.NoDirExists(t, a.options.Dir)
	assert.Regexp(t, `^preflight +3 ClusterProfiles and 2 PlacementDecisions of hub \S+
export +would write 3 ClusterProfiles and 2 PlacementDecisions to \S+
remove +would delete CustomResourceDefinitions `+profilesCRD+` and `+decisionsCRD+`, and so all their objects
register +would have APIServices `+laterAPI+` and `+inventoryAPI+` lead to Service clusterpass-system/clusterpass-apiserver:\d+
import +would create 3 ClusterProfiles and 2 PlacementDecisions where they are missing, with their status
$`, a.out.String())
}

// requireWords makes sure that an error has all words.
func requireWords(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		require.ErrorContains(t, err, word)
	}
}

// requireRefused runs a and makes sure that it names all words and changes nothing.
func (c clients) requireRefused(t *testing.T, a *attempt, words ...string) {
	t.Helper()
	before := c.versions(t)
	requireWords(t, a.run(t), append(words, "This run has changed nothing on the hub")...)
	assert.Empty(t, cmp.Diff(before, c.versions(t)))
	assert.NoDirExists(t, a.options.Dir)
}

// What is in the way is named.
func TestMigrate_InTheWay(t *testing.T) {
	c, port := newHub(t)
	c.fill(t, few)

	t.Run("a definition of the Multi-Cluster Services API", func(t *testing.T) {
		definition := otherCRD("serviceexports", "ServiceExport")
		c.createCRD(t, definition)
		c.requireRefused(t, newAttempt(t, port), "serviceexports.multicluster.x-k8s.io", "multicluster.x-k8s.io/v1alpha1",
			"spec.versions[].served: false", "--inventory=External")
		deleteCRD(t, c, definition.Name)
	})
	t.Run("ClusterProfiles of a version that clusterpass does not know", func(t *testing.T) {
		before := c.list(t).profiles
		c.serveUnknown(t, true)
		err := newAttempt(t, port).run(t)
		require.ErrorContains(t, err, "clusterprofiles.multicluster.x-k8s.io does not serve v1alpha1 or v1alpha2")
		require.ErrorContains(t, err, "This run has changed nothing on the hub")
		c.serveUnknown(t, false)
		assert.Empty(t, cmp.Diff(before, c.list(t).profiles))
	})
	t.Run("no Service", func(t *testing.T) {
		a := newAttempt(t, port)
		a.options.Service.Name = "elsewhere"
		c.requireRefused(t, a, "Service clusterpass-system/elsewhere is not there")
	})
	t.Run("a CA that is none", func(t *testing.T) {
		a := newAttempt(t, port)
		a.options.CAFile = "/dev/null"
		c.requireRefused(t, a, "no CA for clusterpass-apiserver", "--ca-file")
	})
	t.Run("a server that leaves the inventory alone", func(t *testing.T) {
		c.createDeployment(t, "--secure-port=8443", "--inventory=External")
		c.requireRefused(t, newAttempt(t, port), "runs with --inventory=External", "has no Pods of its current template")
	})
	t.Run("a ClusterProfile that is being deleted", func(t *testing.T) {
		profiles := c.inventory.ApisV1alpha1().ClusterProfiles("default")
		profile := c.createProfile(t, "default", "leaving", 0)
		c.setFinalizers(t, profile.Name, "example.com/detach")
		require.NoError(t, profiles.Delete(t.Context(), profile.Name, metav1.DeleteOptions{}))
		c.requireRefused(t, newAttempt(t, port), "1 ClusterProfile being deleted: default/leaving")
		c.setFinalizers(t, profile.Name)
	})
}

// serveUnknown has the definition of ClusterProfile serve v1beta1 alone, with the schema of
// v1alpha1, or v1alpha1 alone again.
func (c clients) serveUnknown(t *testing.T, unknown bool) {
	t.Helper()
	definitions := c.crds.ApiextensionsV1().CustomResourceDefinitions()
	definition := testenv.Get(t, definitions, "clusterprofiles.multicluster.x-k8s.io")
	stored := &definition.Spec.Versions[0]
	stored.Served = !unknown
	definition.Spec.Versions = definition.Spec.Versions[:1]
	served := stored.Name
	if unknown {
		next := *stored.DeepCopy()
		next.Name, next.Served, next.Storage = "v1beta1", true, false
		definition.Spec.Versions, served = append(definition.Spec.Versions, next), next.Name
	}
	testenv.Update(t, definitions, definition)
	testenv.Eventually(t, func(ctx context.Context) error {
		return c.kube.Discovery().RESTClient().Get().AbsPath("/apis/multicluster.x-k8s.io", served, "clusterprofiles").Do(ctx).Error()
	})
}

// otherCRD returns a CustomResourceDefinition in the group-version that does not move.
func otherCRD(plural, kind string) *apiextensionsv1.CustomResourceDefinition {
	const group = "multicluster.x-k8s.io"
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{
			Name:        plural + "." + group,
			Annotations: map[string]string{"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/1645"},
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plural, Kind: kind},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1alpha1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object"}},
			}},
		},
	}
}

func deleteCRD(t *testing.T, c clients, name string) {
	t.Helper()
	crds := c.crds.ApiextensionsV1().CustomResourceDefinitions()
	require.NoError(t, crds.Delete(t.Context(), name, metav1.DeleteOptions{}))
	testenv.AwaitGone(t, crds, name)
}

// createDeployment creates that of a server with arguments, until the test ends.
func (c clients) createDeployment(t *testing.T, args ...string) {
	t.Helper()
	labels := map[string]string{"app": "clusterpass-apiserver"}
	deployments := c.kube.AppsV1().Deployments(testenv.SystemNamespace)
	deployment := testenv.Create(t, deployments, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "clusterpass-apiserver"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "server", Image: "clusterpass-apiserver", Args: args}}},
			},
		},
	})
	t.Cleanup(func() {
		require.NoError(t, deployments.Delete(context.WithoutCancel(t.Context()), deployment.Name, metav1.DeleteOptions{}))
	})
}

// setFinalizers sets those of a ClusterProfile of namespace default.
func (c clients) setFinalizers(t *testing.T, name string, finalizers ...string) {
	t.Helper()
	list := testenv.Must[[]byte](t)(json.Marshal(finalizers)) // null, which removes them, where there are none
	testenv.Patch(t, c.inventory.ApisV1alpha1().ClusterProfiles("default"), name, fmt.Sprintf(`{"metadata":{"finalizers":%s}}`, list))
}

// Rights that are missing are listed.
func TestMigrate_Forbidden(t *testing.T) {
	c, port := newHub(t)
	c.fill(t, few)
	jane := hub.User(t, "jane")

	t.Run("all of them", func(t *testing.T) {
		a := newAttempt(t, port)
		a.config = jane
		c.requireRefused(t, a, "rights on the hub are missing:",
			`- get namespaces "kube-system"`,
			`- delete customresourcedefinitions.apiextensions.k8s.io "clusterprofiles.multicluster.x-k8s.io"`,
			`- create apiservices.apiregistration.k8s.io "v1alpha1.multicluster.x-k8s.io"`,
			`- create apiservices.apiregistration.k8s.io "v1alpha2.multicluster.x-k8s.io"`,
			"- create clusterprofiles.multicluster.x-k8s.io\n",
			"- update clusterprofiles/status.multicluster.x-k8s.io\n")
	})
	t.Run("the one that is missing", func(t *testing.T) {
		everything := []string{"*"}
		c.grantTo(t, "jane",
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces", "services"}, Verbs: everything},
			rbacv1.PolicyRule{APIGroups: []string{"apps", "apiregistration.k8s.io", "multicluster.x-k8s.io"},
				Resources: everything, Verbs: everything},
			rbacv1.PolicyRule{APIGroups: []string{"apiextensions.k8s.io"}, Resources: everything, Verbs: []string{"get", "list"}},
			rbacv1.PolicyRule{APIGroups: []string{"apiextensions.k8s.io"}, Resources: everything,
				ResourceNames: []string{profilesCRD}, Verbs: []string{"delete"}})
		a := newAttempt(t, port)
		a.config = jane
		c.requireRefused(t, a, "missing:\n- delete customresourcedefinitions.apiextensions.k8s.io \""+decisionsCRD+"\"\nThis run")
	})
	c.requireCRDs(t)
}

// grantTo binds rules on the whole hub to a user until the test ends.
func (c clients) grantTo(t *testing.T, user string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	rbac := c.kube.RbacV1()
	testenv.Grant(t, c.kube, "", user, testenv.UserSubject(user), rules...)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		assert.NoError(t, rbac.ClusterRoles().Delete(ctx, user, metav1.DeleteOptions{}))
		assert.NoError(t, rbac.ClusterRoleBindings().Delete(ctx, user, metav1.DeleteOptions{}))
	})
}

// answering does something before it answers yes.
type answering struct {
	before func()
	answer io.Reader
}

func (a *answering) Read(p []byte) (int, error) {
	if a.before != nil {
		a.before()
		a.before = nil
	}
	return a.answer.Read(p)
}

// Nothing is removed that was not confirmed, or has changed.
func TestMigrate_NotConfirmed(t *testing.T) {
	c, port := newHub(t)
	namespace := c.fill(t, few)
	a := newAttempt(t, port)
	a.options.Yes = false

	for name, answer := range map[string]string{"nothing": "", "no": "no\n", "an empty line": "\n"} {
		t.Run("the answer is "+name, func(t *testing.T) {
			next := a.again()
			next.answer = strings.NewReader(answer)
			require.ErrorContains(t, next.run(t), "not confirmed: answer yes, or use --yes")
			assert.Contains(t, next.errOut.String(), "3 ClusterProfiles and 2 PlacementDecisions")
			c.requireCRDs(t)
		})
	}
	t.Run("the cluster manager writes until the answer", func(t *testing.T) {
		profiles := c.inventory.ApisV1alpha1().ClusterProfiles(namespace)
		next := a.again()
		next.answer = &answering{answer: strings.NewReader("yes\n"), before: func() {
			c.createProfile(t, namespace, "added", 1)
			testenv.Patch(t, profiles, "cluster-00", `{"metadata":{"labels":{"tier":"changed"}}}`)
			require.NoError(t, profiles.Delete(t.Context(), "cluster-02", metav1.DeleteOptions{}))
		}}
		requireWords(t, next.run(t), "/added is new", "/cluster-00 has changed", "/cluster-02 is gone", "This run has changed nothing on the hub")
		c.requireCRDs(t)
	})
	t.Run("the next run takes that along", func(t *testing.T) {
		before := c.list(t)
		next := a.again()
		next.answer = strings.NewReader("yes\n")
		next.mustRun(t)
		c.requireMoved(t, before)
		assert.Equal(t, "changed", before.profiles[namespace+"/cluster-00"].Labels["tier"])
	})
}

// What exists and differs is never written over.
func TestMigrate_Different(t *testing.T) {
	c, port := newHub(t)
	namespace := c.fill(t, few)
	before := c.list(t)
	a := newAttempt(t, port)
	require.ErrorIs(t, a.endsAfter(migrate.StepRegister).run(t), context.Canceled)

	mine := c.createProfile(t, namespace, "cluster-00", 7)
	exported := before.profiles[namespace+"/cluster-02"]
	exported.ResourceVersion, exported.UID = "", ""
	bare := testenv.Create(t, c.inventory.ApisV1alpha1().ClusterProfiles(namespace), &exported)

	refused := a.again()
	err := refused.run(t)
	require.ErrorContains(t, err, "1 objects were not imported, all others were:\n"+
		"- ClusterProfile "+namespace+"/cluster-00: 409 it exists and differs from the export, in annotations, labels, spec, status\n")
	require.ErrorContains(t, err, "--keep-existing")
	after := c.list(t)
	assert.Empty(t, cmp.Diff(mine.ResourceVersion, after.profiles[namespace+"/cluster-00"].ResourceVersion), "it was written over")
	assert.Len(t, after.profiles, few)

	t.Run("one that was created without its status gets it", func(t *testing.T) {
		assert.Equal(t, bare.UID, after.profiles[namespace+"/cluster-02"].UID)
		assert.Empty(t, cmp.Diff(before.profiles[namespace+"/cluster-02"].Status, after.profiles[namespace+"/cluster-02"].Status))
	})
	t.Run("it may be kept", func(t *testing.T) {
		next := a.again()
		next.options.KeepExisting = true
		next.mustRun(t)
		assert.Contains(t, next.out.String(), "of which 1 exist and differ and were kept: ClusterProfile "+namespace+"/cluster-00")
		assert.Empty(t, cmp.Diff(mine.ResourceVersion, c.list(t).profiles[namespace+"/cluster-00"].ResourceVersion))
	})
}

// The removal waits for finalizers.
func TestMigrate_Finalizers(t *testing.T) {
	c, port := newHub(t)
	c.createProfile(t, "default", "held", 1)
	c.setFinalizers(t, "held", "example.com/detach")
	before := c.list(t)
	a := newAttempt(t, port)
	a.options.Timeout = 2 * time.Second
	requireWords(t, a.run(t), "default/held (finalizers: example.com/detach)", "CustomResourceDefinitions are being removed", a.options.Dir)
	assert.Contains(t, a.errOut.String(), "Warning: 1 ClusterProfile with finalizers: default/held (example.com/detach)")

	c.setFinalizers(t, "held")
	next := a.again()
	next.options.Timeout = testenv.WaitTimeout
	next.mustRun(t)
	c.requireMoved(t, before)
	c.setFinalizers(t, "held")
}

// A definition that comes back is not taken for the one that was exported.
func TestMigrate_DefinitionBack(t *testing.T) {
	c, port := newHub(t)
	c.fill(t, few)
	before := c.list(t)
	a := newAttempt(t, port)
	require.ErrorIs(t, a.endsAfter(migrate.StepRemove).run(t), context.Canceled)

	c.createCRDs(t)
	requireWords(t, a.again().run(t), profilesCRD, decisionsCRD, "is not the one that was exported", "This run has changed nothing on the hub")
	c.requireCRDs(t)
	deleteCRD(t, c, profilesCRD)
	deleteCRD(t, c, decisionsCRD)
	a.again().mustRun(t)
	c.requireMoved(t, before)
}
