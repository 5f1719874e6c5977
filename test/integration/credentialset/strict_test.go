// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/cli"
	"clusterpass.dev/test/testenv"
)

// maxAuthorAge is that of the hub of TestCredentialSets_StrictHub.
const maxAuthorAge = 20 * time.Second

// TestCredentialSets_StrictHub is about a hub on which nobody in system:masters becomes the author
// of a set, others are authors for maxAuthorAge, and namespaces have small limits.
func TestCredentialSets_StrictHub(t *testing.T) {
	f := &fleet{hub: testenv.Start(t, testenv.Options{})}
	f.admin = f.hub.Kube(t)
	age := fmt.Sprint("--max-set-author-age=", maxAuthorAge)
	testenv.StartServer(t, f.hub, testenv.ServerConfig{Args: append([]string{age, "--set-author-masters=Refuse"}, limits...)})
	f.manager = testenv.StartControllerManager(t, f.hub, testenv.ControllerManagerConfig{Args: []string{age}})
	f.createNamespaces(t, team, consumers)
	f.allowSecrets(t, consumers)
	bravelion := testenv.NewProfile("bravelion", "test")
	bravelion.Labels = map[string]string{"cluster": "bravelion"}
	profile := testenv.Create(t, f.hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default"), bravelion)
	for _, user := range []string{author, "sam", "zoe"} {
		f.entitle(t, user, "view")
	}
	testenv.Bind(t, f.admin, team, "reader", testenv.UserSubject("reader"), "view")

	t.Run("nobody in system:masters becomes one", func(t *testing.T) {
		_, err := f.ours(t).Create(t.Context(), newSet("masters", "bravelion"), metav1.CreateOptions{})
		require.True(t, apierrors.IsInvalid(err), "%v", err)
		assert.ErrorContains(t, err, `spec.author: Forbidden: "admin" is in system:masters`)
	})
	created := f.create(t, author, newSet("aging", "bravelion"))
	command := "kubectl clusterpass renew-author aging -n team --generation=1 --uid=" + string(created.UID)
	token := func() error {
		request := &multiclusterv1alpha1.AuthTokenRequest{}
		request.Spec.TargetClusterProfile = multiclusterv1alpha1.ClusterProfileReference{Name: profile.Name, UID: profile.UID}
		_, err := f.ours(t).CreateToken(t.Context(), "aging", request, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	t.Run("before the end of an author's time, a set says so", func(t *testing.T) {
		f.untilExpiring(t, v1alpha1.CredentialSetReasonExpiresSoon)
	})
	t.Run("after it nothing is minted in that name", func(t *testing.T) {
		set := f.untilExpiring(t, v1alpha1.CredentialSetReasonExpired)
		assert.Contains(t, set.Status.Conditions[len(set.Status.Conditions)-1].Message, command)
		err := token()
		require.True(t, apierrors.IsForbidden(err), "%v", err)
		require.ErrorContains(t, err, `its author "kim" was recorded at`)
		testenv.Eventually(t, func(ctx context.Context) error {
			events, err := f.admin.EventsV1().Events(team).List(ctx, metav1.ListOptions{FieldSelector: "reason=AuthorExpiring,regarding.name=aging"})
			if err == nil && len(events.Items) == 0 {
				err = errors.New("there is no event")
			}
			return err
		})
	})
	sets := f.setsOf(t, "sam")
	t.Run("to apply it as it is renews nothing", func(t *testing.T) {
		same := testenv.Update(t, sets, testenv.Get(t, sets, "aging"))
		assert.Equal(t, created.Spec.Author, same.Spec.Author)
	})
	t.Run("who may not, renews nothing", func(t *testing.T) {
		of := func(uid types.UID, generation int64) *v1alpha1.ClusterCredentialSet {
			return &v1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{UID: uid, Generation: generation}}
		}
		_, err := f.renewAuthor(t, "reader", "aging", "--generation=1", "--uid="+string(created.UID))
		require.True(t, apierrors.IsForbidden(err), "%v", err)
		out, err := f.renewAuthor(t, "sam", "aging")
		require.ErrorContains(t, err, "To become the author: "+command)
		_, err = f.renewAuthor(t, "sam", "aging", "--generation=1")
		require.ErrorContains(t, err, "[uid]", "a set that has replaced another begins with generation 1, too")
		assert.Contains(t, out, "clusterRoles:\n  - name: view\n")
		_, err = f.ours(t).RenewAuthor(t.Context(), "aging", of(created.UID, 1), metav1.CreateOptions{})
		require.True(t, apierrors.IsInvalid(err), "a user in system:masters does: %v", err)
		_, err = sets.RenewAuthor(t.Context(), "aging", of("another", 1), metav1.CreateOptions{})
		require.True(t, apierrors.IsConflict(err), "%v", err)
		_, err = sets.RenewAuthor(t.Context(), "aging", of(created.UID, 7), metav1.CreateOptions{})
		require.True(t, apierrors.IsConflict(err), "%v", err)
		_, err = sets.RenewAuthor(t.Context(), "aging", of(created.UID, 0), metav1.CreateOptions{})
		require.ErrorContains(t, err, "metadata.generation: Required value")
		_, err = sets.RenewAuthor(t.Context(), "aging", of("", 1), metav1.CreateOptions{})
		require.ErrorContains(t, err, "metadata.uid: Required value")
		_, err = sets.RenewAuthor(t.Context(), "missing", of(created.UID, 1), metav1.CreateOptions{})
		require.True(t, apierrors.IsNotFound(err), "%v", err)
		tried, err := sets.RenewAuthor(t.Context(), "aging", of(created.UID, 1), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		require.NoError(t, err)
		assert.Equal(t, "sam", tried.Spec.Author.Username)
		assert.Equal(t, created.Spec.Author, testenv.Get(t, sets, "aging").Spec.Author)
	})
	t.Run("a policy on updates of sets holds for a new author, too", func(t *testing.T) { f.testAuthorPolicy(t, created) })
	t.Run("who may becomes the author, and nothing else changes", func(t *testing.T) {
		before := testenv.Get(t, sets, "aging")
		out, err := f.renewAuthor(t, "zoe", "aging", fmt.Sprint("--generation=", before.Generation), "--uid="+string(before.UID))
		require.NoError(t, err)
		assert.Equal(t, "clustercredentialset.clusterpass.dev/aging author is zoe\n", out)
		after := testenv.Get(t, sets, "aging")
		assert.Equal(t, before.Generation+1, after.Generation)
		assert.Equal(t, "zoe", after.Spec.Author.Username)
		assert.True(t, after.Spec.Author.Since.After(before.Spec.Author.Since.Time), "%v", after.Spec.Author)
		before.Spec.Author = after.Spec.Author
		assert.Equal(t, before.Spec, after.Spec)
		err = token()
		assert.False(t, apierrors.IsForbidden(err), "%v", err)
	})
	t.Run("namespaces are limited", f.testLimits)
}

// testAuthorPolicy has the hub refuse that mallory changes a set.
func (f *fleet) testAuthorPolicy(t *testing.T, set *v1alpha1.ClusterCredentialSet) {
	t.Helper()
	const mallory, name = "mallory", "not-mallory.example.com"
	testenv.Bind(t, f.admin, team, mallory, testenv.UserSubject(mallory), "edit")
	ctx, policies := t.Context(), f.admin.AdmissionregistrationV1()
	testenv.Create(t, policies.ValidatingAdmissionPolicies(), &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
					Rule: admissionregistrationv1.Rule{APIGroups: []string{v1alpha1.GroupName},
						APIVersions: []string{"*"}, Resources: []string{"clustercredentialsets"}},
				},
			}}},
			Validations: []admissionregistrationv1.Validation{{
				Expression: "object.spec.author.username != 'mallory' && oldObject.spec.author.username == 'kim'",
				Message:    "mallory is the author of nothing",
			}},
		},
	})
	testenv.Create(t, policies.ValidatingAdmissionPolicyBindings(), &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	})
	defer func() {
		require.NoError(t, policies.ValidatingAdmissionPolicyBindings().Delete(ctx, name, metav1.DeleteOptions{}))
		require.NoError(t, policies.ValidatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{}))
	}()
	sets := f.setsOf(t, mallory)
	testenv.Eventually(t, func(ctx context.Context) error {
		body := &v1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{UID: set.UID, Generation: set.Generation}}
		_, err := sets.RenewAuthor(ctx, set.Name, body, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil || !strings.Contains(err.Error(), "mallory is the author of nothing") {
			return fmt.Errorf("it is not refused: %w", err)
		}
		return nil
	})
}

// renewAuthor runs the plugin's command as a user, in team.
func (f *fleet) renewAuthor(t *testing.T, user, set string, args ...string) (string, error) {
	t.Helper()
	kubeconfig, err := f.hub.ClientCertKubeconfig(user)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, kubeconfig, 0o600))
	var out bytes.Buffer
	cmd := cli.NewCommand(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &out, ErrOut: &out})
	cmd.SetArgs(append([]string{"renew-author", set, "--kubeconfig", file, "-n", team}, args...))
	err = cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// untilExpiring waits until the condition AuthorExpiring of the set aging has a reason.
func (f *fleet) untilExpiring(t *testing.T, reason string) *v1alpha1.ClusterCredentialSet {
	t.Helper()
	return testenv.Await(t, f.ours(t), "aging", func(set *v1alpha1.ClusterCredentialSet) error {
		if is := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.CredentialSetAuthorExpiring); is == nil || is.Reason != reason {
			return fmt.Errorf("the status is %+v, want reason %s", set.Status, reason)
		}
		return nil
	})
}
