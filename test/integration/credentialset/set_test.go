// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

func TestCredentialSets(t *testing.T) {
	f := startFleet(t)
	t.Run("each selected cluster has a credential that works there", f.testCredentials)
	t.Run("clusters are selected by name", f.testNames)
	t.Run("clusters are selected by the decisions of those who count", f.testDecisions)
	t.Run("no message names clusters that the author may not see", f.testAuthorMayNotSee)
	t.Run("a label touches one Secret", f.testSelection)
	t.Run("a rotation that is asked for is done once, and the old token still works", f.testRotation)
	t.Run("what is lost is made again", f.testRepair)
	t.Run("what others add to a Secret stays", f.testOthers)
	t.Run("what others change of a set's own is mended without a token", f.testTampering)
	t.Run("sets that tell Argo CD of one cluster say so", f.testConflict)
	t.Run("an upgrade writes nothing", f.testUpgrade)
	t.Run("a restart mints nothing", f.testRestart)
	t.Run("a cluster that replaces another has a credential of its own", f.testReplacement)
	t.Run("nobody gets more than the author may have", f.testEntitlement)
	t.Run("who changes a set is its author", f.testAuthor)
	t.Run("who applies a set signs nothing that others have slipped into it", f.testAppliedByTwo)
	t.Run("tokens are for the controller manager", f.testTokenIsNotForUsers)
	t.Run("a Secret that is not the set's is left alone", f.testForeignSecret)
	t.Run("what a member's quota denies is in the status, and made later", f.testQuota)
	t.Run("a namespace has to allow it", f.testNamespace)
	t.Run("nothing stays of a set that is deleted", f.testDeletion)
	t.Run("a set is deleted where nobody may delete its Secrets", f.testDeletionWithoutRights)
	t.Run("nothing works on of a set that is orphaned", f.testOrphaning)
	t.Run("a set holds up no namespace that is deleted", f.testNamespaceDeletion)
}

func (f *fleet) testCredentials(t *testing.T) {
	set := f.createReady(t, newSet("fleet", "bravelion", "smartfish"))
	assert.Equal(t, int32(2), set.Status.Ready)
	require.Len(t, set.Status.Credentials, 2)
	testenv.Await(t, f.setsOf(t, author), "fleet", func(set *v1alpha1.ClusterCredentialSet) error {
		if next := set.Status.NextRotation; next == nil || time.Until(next.Time) < 42*time.Minute || time.Until(next.Time) > 48*time.Minute {
			return fmt.Errorf("the next rotation is at %v, want one after 72 to 80 %% of an hour", next)
		}
		return nil
	})
	for _, cluster := range []string{"bravelion", "smartfish"} {
		secret := f.secret(t, "fleet-"+cluster)
		assert.Equal(t, "fleet", secret.Labels["for"])
		_, err := holder(t, secret).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err, "it may view")
		_, err = holder(t, secret).CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{})
		require.True(t, apierrors.IsForbidden(err), "and nothing else: %v", err)
	}
	grants := testenv.List(t, f.as(t, author).ClusterpassV1alpha1().AuthTokenGrants(team), metav1.ListOptions{})
	require.Len(t, grants.Items, 2)
	for i := range grants.Items {
		assert.Equal(t, author, grants.Items[i].Spec.Requester.Username)
		assert.True(t, metav1.IsControlledBy(&grants.Items[i], set))
	}
	assert.NotContains(t, f.managerLog(t), "eyJ")
}

func (f *fleet) testNames(t *testing.T) {
	named := newSet("named")
	named.Spec.Clusters = v1alpha1.ClusterSelection{Namespace: "default", Names: []string{"smartfish", "not-there"}}
	named.Spec.Secret.Format = v1alpha1.SecretFormatToken
	set := f.createReady(t, named)
	assert.Equal(t, int32(1), set.Status.Selected)
	secret := f.secret(t, "named-smartfish")
	assert.Equal(t, f.smartfish.Server(), string(secret.Data["server"]))
	config := rest.AnonymousClientConfig(&rest.Config{Host: string(secret.Data["server"]),
		TLSClientConfig: rest.TLSClientConfig{CAData: secret.Data["ca.crt"]}})
	config.BearerToken = string(secret.Data["token"])
	testenv.List(t, testenv.Kube(t, config).CoreV1().ConfigMaps("default"), metav1.ListOptions{})
}

func (f *fleet) testSelection(t *testing.T) {
	f.createReady(t, newSet("chosen", "bravelion", "smartfish"))
	kept, leaving := f.secret(t, "chosen-bravelion"), f.secret(t, "chosen-smartfish")

	f.label(t, "smartfish", "other")
	testenv.AwaitGone(t, f.admin.CoreV1().Secrets(consumers), leaving.Name)
	f.untilTokenEnds(t, leaving)
	assert.Equal(t, kept.ResourceVersion, f.secret(t, kept.Name).ResourceVersion)
	f.label(t, "smartfish", "smartfish")
	testenv.Await(t, f.admin.CoreV1().Secrets(consumers), leaving.Name, nil)
	assert.Equal(t, kept.ResourceVersion, f.secret(t, kept.Name).ResourceVersion)
}

// rotate asks for a rotation of a set.
func (f *fleet) rotate(t *testing.T, name, value string) {
	t.Helper()
	testenv.Patch(t, f.setsOf(t, author), name, fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRotate, value))
}

// changed waits until a Secret has another token than it had, and returns it.
func (f *fleet) changed(t *testing.T, before *corev1.Secret) *corev1.Secret {
	t.Helper()
	return testenv.Await(t, f.admin.CoreV1().Secrets(consumers), before.Name, func(now *corev1.Secret) error {
		if bytes.Equal(now.Data["kubeconfig"], before.Data["kubeconfig"]) {
			return errors.New("the Secret is unchanged")
		}
		return nil
	})
}

func (f *fleet) testRotation(t *testing.T) {
	f.createReady(t, newSet("rotated", "bravelion"))
	before := f.secret(t, "rotated-bravelion")
	f.rotate(t, "rotated", "1")
	after := f.changed(t, before)
	for _, secret := range []*corev1.Secret{before, after} {
		testenv.List(t, holder(t, secret).CoreV1().ConfigMaps("default"), metav1.ListOptions{})
	}
	// Whatever else is asked for comes after a second rotation would have.
	f.createReady(t, newSet("rotated-later", "bravelion"))
	assert.Equal(t, after.ResourceVersion, f.secret(t, after.Name).ResourceVersion)
}

func (f *fleet) testRepair(t *testing.T) {
	set := f.createReady(t, newSet("lost", "bravelion"))
	secrets := f.admin.CoreV1().Secrets(consumers)

	before := f.secret(t, "lost-bravelion")
	require.NoError(t, secrets.Delete(t.Context(), before.Name, metav1.DeleteOptions{}))
	again := f.changed(t, before)

	t.Run("also what was changed", func(t *testing.T) {
		tampered := again.DeepCopy()
		tampered.Data["kubeconfig"] = []byte("of somebody else")
		testenv.Update(t, secrets, tampered)
		again = f.changed(t, tampered)
		testenv.List(t, holder(t, again).CoreV1().ConfigMaps("default"), metav1.ListOptions{})
	})
	t.Run("also a grant that was revoked", func(t *testing.T) {
		grants := f.as(t, author).ClusterpassV1alpha1().AuthTokenGrants(team)
		require.NoError(t, grants.Delete(t.Context(), set.Status.Credentials[0].GrantName, metav1.DeleteOptions{}))
		next := f.changed(t, again)
		testenv.List(t, holder(t, next).CoreV1().ConfigMaps("default"), metav1.ListOptions{})
	})
}

func (f *fleet) testRestart(t *testing.T) {
	f.createReady(t, newSet("kept", "bravelion", "smartfish"))
	before := f.secret(t, "kept-bravelion")
	f.manager.Stop()
	require.NoError(t, f.manager.Restart(t.Context()))
	f.rotate(t, "kept", "")
	f.createReady(t, newSet("after", "bravelion"))
	assert.Equal(t, before.ResourceVersion, f.secret(t, before.Name).ResourceVersion)
}

func (f *fleet) testReplacement(t *testing.T) {
	f.createReady(t, newSet("replaced", "smartfish"))
	before := f.secret(t, "replaced-smartfish")
	require.NoError(t, f.profiles.Delete(t.Context(), "smartfish", metav1.DeleteOptions{}))
	f.join(t, f.smartfish, "smartfish")
	profile := testenv.Get(t, f.profiles, "smartfish")
	testenv.Await(t, f.admin.CoreV1().Secrets(consumers), before.Name, func(secret *corev1.Secret) error {
		if uid := secret.Annotations["clusterpass.dev/credential-cluster-uid"]; uid != string(profile.UID) {
			return fmt.Errorf("the Secret is for UID %s", uid)
		}
		_, err := holder(t, secret).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
		return err
	})
	f.untilTokenEnds(t, before)
}

func (f *fleet) testEntitlement(t *testing.T) {
	greedy := newSet("greedy", "bravelion")
	greedy.Spec.Template.ClusterRoles = []multiclusterv1alpha1.ClusterRole{{Name: "edit"}}
	f.create(t, author, greedy)
	set := f.until(t, "greedy", v1alpha1.CredentialSetReasonNotReady)
	require.Len(t, set.Status.Credentials, 1)
	assert.Equal(t, "Forbidden", set.Status.Credentials[0].Reason)
	assert.Contains(t, set.Status.Credentials[0].Message,
		`user "kim" lacks: bind:edit on clusterprofiles.multicluster.x-k8s.io "bravelion" in namespace "default"`)
	_, err := f.admin.CoreV1().Secrets(consumers).Get(t.Context(), "greedy-bravelion", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err))

	t.Run("also where the author may not write the Secret", func(t *testing.T) {
		f.allowSecrets(t, "default")
		elsewhere := newSet("elsewhere", "bravelion")
		elsewhere.Spec.Secret.Namespace = "default"
		f.create(t, author, elsewhere)
		set := f.until(t, "elsewhere", v1alpha1.CredentialSetReasonNotReady)
		require.Len(t, set.Status.Credentials, 1)
		assert.Contains(t, set.Status.Credentials[0].Message,
			`its author "kim" lacks: create on secrets "elsewhere-bravelion" in namespace "default"; update on`)
	})
	t.Run("also one who has lost it gets no renewal", func(t *testing.T) {
		f.entitle(t, "ann", "view")
		f.create(t, "ann", newSet("anns", "bravelion"))
		f.until(t, "anns", "Ready")
		before := f.secret(t, "anns-bravelion")
		require.NoError(t, f.admin.RbacV1().ClusterRoles().Delete(t.Context(), "ann", metav1.DeleteOptions{}))
		// The server may have asked shortly before.
		testenv.Eventually(t, func(ctx context.Context) error {
			f.rotate(t, "anns", metav1.Now().String())
			set, err := f.setsOf(t, author).Get(ctx, "anns", metav1.GetOptions{})
			if err != nil || len(set.Status.Conditions) == 0 || set.Status.Conditions[0].Reason != v1alpha1.CredentialSetReasonNotRenewed {
				return fmt.Errorf("the set is %+v: %w", set.Status, err)
			}
			return nil
		})
		_, err := holder(t, before).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err, "what is there lives on")
	})
}

func (f *fleet) testAuthor(t *testing.T) {
	forged := newSet("forged", "bravelion")
	forged.Spec.Author = &v1alpha1.Author{Requester: v1alpha1.Requester{Username: "admin", Groups: []string{"system:masters"}}}
	set := f.create(t, author, forged)
	require.NotNil(t, set.Spec.Author)
	assert.Equal(t, author, set.Spec.Author.Username)
	assert.NotContains(t, set.Spec.Author.Groups, "system:masters")

	testenv.Bind(t, f.admin, team, "sam", testenv.UserSubject("sam"), "edit")
	testenv.Bind(t, f.admin, "default", "sam", testenv.UserSubject("sam"), "view")
	sets := f.setsOf(t, "sam")
	labelled := testenv.Patch(t, sets, "forged", `{"metadata":{"labels":{"a":"b"}},"spec":{"author":{"username":"sam"}}}`)
	assert.Equal(t, author, labelled.Spec.Author.Username, "nothing of the spec has changed")
	patch := []byte(`{"spec":{"rotation":{"expirationSeconds":7200}}}`)
	_, err := sets.Patch(t.Context(), "forged", types.MergePatchType, patch, metav1.PatchOptions{})
	require.True(t, apierrors.IsInvalid(err), "%v", err)
	require.ErrorContains(t, err,
		`spec: Forbidden: its author is user "kim", and a patch would put the fields that it leaves unchanged in your name`)
	require.ErrorContains(t, err, "kubectl clusterpass renew-author forged -n team")
	changed := update(t, sets, "forged", func(whole *v1alpha1.ClusterCredentialSet) {
		whole.Spec.Rotation.ExpirationSeconds = ptr.To(int64(7200))
	})
	assert.Equal(t, "sam", changed.Spec.Author.Username)
	set = f.until(t, "forged", v1alpha1.CredentialSetReasonNotReady)
	assert.Contains(t, set.Status.Credentials[0].Message, `"sam" lacks`)
}

// testAppliedByTwo has an editor slip a role into a set that somebody with more rights applies
// again and again.
func (f *fleet) testAppliedByTwo(t *testing.T) {
	apply := func(user, roles string, force bool) (*v1alpha1.ClusterCredentialSet, error) {
		body := fmt.Sprintf(`{"apiVersion":"clusterpass.dev/v1alpha1","kind":"ClusterCredentialSet","metadata":{"name":"shared"},"spec":{
			"clusters":{"namespace":"default","names":["bravelion"]},"template":{"clusterRoles":[%s]}}}`, roles)
		return f.setsOf(t, user).Patch(t.Context(), "shared", types.ApplyPatchType, []byte(body),
			metav1.PatchOptions{FieldManager: user, Force: &force})
	}
	_, err := apply(author, `{"name":"view"}`, false)
	require.NoError(t, err)
	_, err = apply("sam", `{"name":"cluster-admin"}`, false)
	require.True(t, apierrors.IsConflict(err), "a role beside another's spec: %v", err)
	slipped, err := apply("sam", `{"name":"cluster-admin"}`, true)
	require.NoError(t, err)
	assert.Equal(t, "sam", slipped.Spec.Author.Username, "what is forced is its sender's")
	_, err = apply(author, `{"name":"view"}`, false)
	require.True(t, apierrors.IsConflict(err), "%v", err)
	again, err := apply(author, `{"name":"view"}`, true)
	require.NoError(t, err)
	assert.Equal(t, author, again.Spec.Author.Username)
	require.Len(t, again.Spec.Template.ClusterRoles, 1, "the author signs what it has sent, and no more")
	assert.Equal(t, "view", again.Spec.Template.ClusterRoles[0].Name)
}

func (f *fleet) testTokenIsNotForUsers(t *testing.T) {
	f.createReady(t, newSet("guarded", "bravelion"))
	profile := testenv.Get(t, f.profiles, "bravelion")
	request := &multiclusterv1alpha1.AuthTokenRequest{}
	request.Spec.TargetClusterProfile = multiclusterv1alpha1.ClusterProfileReference{Name: "bravelion", UID: profile.UID}
	_, err := f.setsOf(t, author).CreateToken(t.Context(), "guarded", request, metav1.CreateOptions{})
	require.True(t, apierrors.IsForbidden(err), "%v", err)

	// Who may ask gets nothing for a set as it was before.
	before := request.DeepCopy()
	before.Generation = 99
	_, err = f.ours(t).CreateToken(t.Context(), "guarded", before, metav1.CreateOptions{})
	require.True(t, apierrors.IsConflict(err), "%v", err)
	another := request.DeepCopy()
	another.UID = "another"
	_, err = f.ours(t).CreateToken(t.Context(), "guarded", another, metav1.CreateOptions{})
	require.True(t, apierrors.IsConflict(err), "%v", err)
	_, err = f.ours(t).CreateToken(t.Context(), "guarded", request, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	require.NoError(t, err)
}

func (f *fleet) testForeignSecret(t *testing.T) {
	secrets := f.admin.CoreV1().Secrets(consumers)
	theirs := testenv.Create(t, secrets, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "taken-bravelion"}, Data: map[string][]byte{"theirs": []byte("yes")},
	})
	f.create(t, author, newSet("taken", "bravelion"))
	set := f.until(t, "taken", v1alpha1.CredentialSetReasonNotReady)
	assert.Contains(t, set.Status.Credentials[0].Message, "is not this set's, and is left alone")
	f.remove(t, "taken")
	assert.Equal(t, theirs.ResourceVersion, f.secret(t, theirs.Name).ResourceVersion)
}

func (f *fleet) testNamespace(t *testing.T) {
	set := newSet("unheard-of", "bravelion")
	set.Spec.Secret.Namespace = team
	f.create(t, author, set)
	set = f.until(t, "unheard-of", v1alpha1.CredentialSetReasonNoSecrets)
	assert.Contains(t, set.Status.Conditions[0].Message,
		"kubectl -n team create rolebinding clusterpass-credential-sets --clusterrole=clusterpass:credential-sets")
	f.allowSecrets(t, team)
	f.until(t, "unheard-of", "Ready")
}

func (f *fleet) testDeletion(t *testing.T) {
	set := f.createReady(t, newSet("deleted", "bravelion", "smartfish"))
	before := f.secret(t, "deleted-bravelion")
	require.NoError(t, f.setsOf(t, author).Delete(t.Context(), set.Name, metav1.DeleteOptions{}))
	testenv.Eventually(t, func(ctx context.Context) error {
		list, err := f.admin.CoreV1().Secrets(consumers).List(ctx, metav1.ListOptions{LabelSelector: "for=deleted"})
		if err != nil || len(list.Items) > 0 {
			return fmt.Errorf("%d Secrets are there: %w", len(list.Items), err)
		}
		if _, err := holder(t, before).CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{}); err == nil {
			return errors.New("the token still works")
		}
		grants, err := f.as(t, author).ClusterpassV1alpha1().AuthTokenGrants(team).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range grants.Items {
			if metav1.IsControlledBy(&grants.Items[i], set) {
				return fmt.Errorf("grant %s is there", grants.Items[i].Name)
			}
		}
		return nil
	})
}

// testNamespaceDeletion deletes namespaces with a set, and with its Secrets, after the controller
// manager has lost its rights there.
func (f *fleet) testNamespaceDeletion(t *testing.T) {
	namespaces := f.admin.CoreV1().Namespaces()
	f.createNamespaces(t, "with-set", "with-secrets")
	f.allowSecrets(t, "with-secrets")
	set := newSet("short-lived", "bravelion")
	set.Namespace, set.Spec.Secret.Namespace = "with-set", "with-secrets"
	testenv.Create(t, f.hub.Clusterpass(t).ClusterpassV1alpha1().ClusterCredentialSets(set.Namespace), set)
	testenv.Await(t, f.admin.CoreV1().Secrets("with-secrets"), "short-lived-bravelion", nil)
	require.NoError(t,
		f.admin.RbacV1().RoleBindings("with-secrets").Delete(t.Context(), "clusterpass-credential-sets", metav1.DeleteOptions{}))
	require.NoError(t, namespaces.Delete(t.Context(), "with-set", metav1.DeleteOptions{}))
	testenv.AwaitGone(t, namespaces, "with-set")
	left, err := f.admin.CoreV1().Secrets("with-secrets").Get(t.Context(), "short-lived-bravelion", metav1.GetOptions{})
	require.NoError(t, err, "nobody could delete the Secret")
	f.untilTokenEnds(t, left)
	require.NoError(t, namespaces.Delete(t.Context(), "with-secrets", metav1.DeleteOptions{}))
	testenv.AwaitGone(t, namespaces, "with-secrets")
}

// testDeletionWithoutRights deletes sets in whose namespaces the controller manager may not delete
// Secrets: it never could, or not any more.
func (f *fleet) testDeletionWithoutRights(t *testing.T) {
	f.createNamespaces(t, "never-allowed", "once-allowed")
	never := newSet("never-allowed", "bravelion")
	never.Spec.Secret.Namespace = "never-allowed"
	testenv.Create(t, f.ours(t), never)
	f.until(t, never.Name, v1alpha1.CredentialSetReasonNoSecrets)
	f.remove(t, never.Name)

	f.allowSecrets(t, "once-allowed")
	once := newSet("once-allowed", "bravelion")
	once.Spec.Secret.Namespace = "once-allowed"
	testenv.Create(t, f.ours(t), once)
	f.until(t, once.Name, "Ready")
	left := testenv.Get(t, f.admin.CoreV1().Secrets("once-allowed"), "once-allowed-bravelion")
	require.NoError(t,
		f.admin.RbacV1().RoleBindings("once-allowed").Delete(t.Context(), "clusterpass-credential-sets", metav1.DeleteOptions{}))
	f.remove(t, once.Name)
	f.untilTokenEnds(t, left)
	testenv.Eventually(t, func(ctx context.Context) error {
		events, err := f.admin.EventsV1().Events(team).List(ctx,
			metav1.ListOptions{FieldSelector: "reason=SecretsLeft,regarding.name=once-allowed"})
		if err != nil || len(events.Items) != 1 {
			return fmt.Errorf("%d events: %w", len(events.Items), err)
		}
		assert.Contains(t, events.Items[0].Note, "They are: once-allowed-bravelion")
		return nil
	})
}

// testOrphaning deletes a set so that the garbage collector leaves what it owns, after somebody has
// taken the owner off a grant.
func (f *fleet) testOrphaning(t *testing.T) {
	f.createReady(t, newSet("orphaned", "bravelion", "smartfish"))
	first, second := f.secret(t, "orphaned-bravelion"), f.secret(t, "orphaned-smartfish")
	grants, name := f.hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(team), first.Annotations["clusterpass.dev/credential-grant"]
	patch := []byte(`{"metadata":{"labels":{"clusterpass.dev/credential-set-uid":null}}}`)
	_, err := grants.Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
	require.True(t, apierrors.IsInvalid(err), "nobody takes the label off: %v", err)
	testenv.Patch(t, grants, name, `{"metadata":{"ownerReferences":null}}`)
	orphan := metav1.DeletePropagationOrphan
	require.NoError(t, f.ours(t).Delete(t.Context(), "orphaned", metav1.DeleteOptions{PropagationPolicy: &orphan}))
	f.untilTokenEnds(t, first)
	f.untilTokenEnds(t, second)
}

// untilTokenEnds waits until the member does not take the token in a Secret any more.
func (f *fleet) untilTokenEnds(t *testing.T, secret *corev1.Secret) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		if _, err := holder(t, secret).CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{}); err == nil {
			return errors.New("the token still works")
		}
		return nil
	})
}
