// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

// The generation counts changes of the spec alone.
func TestInventory_Generation(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	client := profilesIn(t, namespace)
	profile := createProfile(t, namespace, testenv.NewProfile("counted", "update"))
	require.EqualValues(t, 1, profile.Generation)
	steps := []struct {
		name   string
		update func(*inventoryv1alpha1.ClusterProfile) (*inventoryv1alpha1.ClusterProfile, error)
		want   int64
	}{
		{"a label", func(p *inventoryv1alpha1.ClusterProfile) (*inventoryv1alpha1.ClusterProfile, error) {
			p.Labels = map[string]string{"a": "b"}
			return client.Update(ctx, p, metav1.UpdateOptions{})
		}, 1},
		{"the status", func(p *inventoryv1alpha1.ClusterProfile) (*inventoryv1alpha1.ClusterProfile, error) {
			p.Status.Version.Kubernetes = "v1.37.2"
			return client.UpdateStatus(ctx, p, metav1.UpdateOptions{})
		}, 1},
		{"a generation of its own", func(p *inventoryv1alpha1.ClusterProfile) (*inventoryv1alpha1.ClusterProfile, error) {
			p.Generation = 99
			return client.Update(ctx, p, metav1.UpdateOptions{})
		}, 1},
		{"the spec", func(p *inventoryv1alpha1.ClusterProfile) (*inventoryv1alpha1.ClusterProfile, error) {
			p.Spec.DisplayName = "changed"
			return client.Update(ctx, p, metav1.UpdateOptions{})
		}, 2},
	}
	for _, step := range steps {
		var err error
		profile, err = step.update(profile)
		require.NoError(t, err, step.name)
		assert.Equal(t, step.want, profile.Generation, step.name)
	}
}

// An update that changes nothing writes nothing.
func TestInventory_UpdateNothing(t *testing.T) {
	namespace := newNamespace(t)
	created := createProfile(t, namespace, testenv.NewProfile("same", "update"))
	type profile = *inventoryv1alpha1.ClusterProfile
	for name, update := range map[string]func(context.Context, profile, metav1.UpdateOptions) (profile, error){
		"the object": profilesIn(t, namespace).Update, "its status": profilesIn(t, namespace).UpdateStatus,
	} {
		t.Run(name, func(t *testing.T) {
			updated := testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(update(t.Context(), created.DeepCopy(), metav1.UpdateOptions{}))
			assert.Equal(t, created.ResourceVersion, updated.ResourceVersion)
		})
	}
}

// What a request cannot set.
func TestInventory_ForgedFields(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	client := profilesIn(t, namespace)

	t.Run("a create sets no status, uid, creation time, generation or deletion time", func(t *testing.T) {
		forged := testenv.NewProfile("forged", "update")
		forged.UID, forged.Generation = "forged", 42
		forged.CreationTimestamp = metav1.NewTime(time.Unix(0, 0))
		forged.DeletionTimestamp, forged.DeletionGracePeriodSeconds = ptr.To(metav1.NewTime(time.Unix(1, 0))), ptr.To[int64](1)
		forged.Status.Version.Kubernetes = "forged"
		forged.Status.Conditions = []metav1.Condition{condition("Forged", metav1.ConditionTrue)}
		created := createProfile(t, namespace, forged)
		assert.NotEqualValues(t, "forged", created.UID)
		assert.EqualValues(t, 1, created.Generation)
		assert.WithinDuration(t, time.Now(), created.CreationTimestamp.Time, time.Hour)
		assert.Nil(t, created.DeletionTimestamp)
		assert.Empty(t, created.Status.Version.Kubernetes)
		assert.Empty(t, created.Status.Conditions)
	})
	t.Run("a create with a resourceVersion is refused", func(t *testing.T) {
		profile := testenv.NewProfile("versioned", "update")
		profile.ResourceVersion = "1"
		_, err := client.Create(ctx, profile, metav1.CreateOptions{})
		assert.Error(t, err)
	})
	t.Run("an update of the spec sets no status, one of the status no spec and no labels", func(t *testing.T) {
		profile := createProfile(t, namespace, testenv.NewProfile("apart", "update"))
		profile.Status.Version.Kubernetes, profile.Spec.DisplayName = "by spec", "by spec"
		profile = testenv.Update(t, client, profile)
		assert.Empty(t, profile.Status.Version.Kubernetes)
		assert.Equal(t, "by spec", profile.Spec.DisplayName)
		profile.Status.Version.Kubernetes, profile.Spec.DisplayName = "by status", "by status"
		profile.Labels, profile.Annotations, profile.Finalizers = map[string]string{"a": "b"}, map[string]string{"a": "b"},
			[]string{"example.com/hold"}
		profile = testenv.UpdateStatus(t, client, profile)
		assert.Equal(t, "by status", profile.Status.Version.Kubernetes)
		assert.Equal(t, "by spec", profile.Spec.DisplayName)
		assert.Empty(t, profile.Labels)
		assert.Empty(t, profile.Annotations)
		assert.Empty(t, profile.Finalizers)
	})
	t.Run("another uid is a conflict, another creation time is not taken", func(t *testing.T) {
		profile := createProfile(t, namespace, testenv.NewProfile("born", "update"))
		replaced := profile.DeepCopy()
		replaced.UID = "another"
		_, err := client.Update(ctx, replaced, metav1.UpdateOptions{})
		assert.True(t, apierrors.IsConflict(err), "another uid: %v", err)
		aged := profile.DeepCopy()
		aged.CreationTimestamp = metav1.NewTime(time.Unix(0, 0))
		aged.Spec.DisplayName = "aged"
		updated, err := client.Update(ctx, aged, metav1.UpdateOptions{})
		if err == nil {
			assert.True(t, updated.CreationTimestamp.Equal(&profile.CreationTimestamp), "the creation time became %s", updated.CreationTimestamp)
		}
	})
	t.Run("a resourceVersion that is not the latest is a conflict", func(t *testing.T) {
		old := createProfile(t, namespace, testenv.NewProfile("raced", "update"))
		newer := old.DeepCopy()
		newer.Spec.DisplayName = "newer"
		testenv.Update(t, client, newer)
		_, err := client.Update(ctx, old, metav1.UpdateOptions{})
		assert.True(t, apierrors.IsConflict(err), "%v", err)
		_, err = client.UpdateStatus(ctx, old, metav1.UpdateOptions{})
		assert.True(t, apierrors.IsConflict(err), "%v", err)
	})
	t.Run("a name that exists, and one that does not", func(t *testing.T) {
		createProfile(t, namespace, testenv.NewProfile("twice", "update"))
		_, err := client.Create(ctx, testenv.NewProfile("twice", "update"), metav1.CreateOptions{})
		assert.True(t, apierrors.IsAlreadyExists(err), "%v", err)
		_, err = client.UpdateStatus(ctx, testenv.NewProfile("never", "update"), metav1.UpdateOptions{})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
	})
}

// A dry run stores nothing.
func TestInventory_DryRun(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	client, dry := profilesIn(t, namespace), []string{metav1.DryRunAll}
	stored := createProfile(t, namespace, testenv.NewProfile("stored", "dry"))
	changed := stored.DeepCopy()
	changed.Spec.DisplayName, changed.Status.Version.Kubernetes = "changed", "changed"

	created := testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(client.Create(ctx, testenv.NewProfile("created", "dry"),
		metav1.CreateOptions{DryRun: dry}))
	assert.NotEmpty(t, created.UID)
	assert.EqualValues(t, 1, created.Generation)
	updated := testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(client.Update(ctx, changed.DeepCopy(), metav1.UpdateOptions{DryRun: dry}))
	assert.EqualValues(t, 2, updated.Generation)
	testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(client.UpdateStatus(ctx, changed.DeepCopy(), metav1.UpdateOptions{DryRun: dry}))
	testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(client.Patch(ctx, "stored", types.MergePatchType,
		[]byte(`{"spec":{"displayName":"p"}}`), metav1.PatchOptions{DryRun: dry}))
	assert.NoError(t, client.Delete(ctx, "stored", metav1.DeleteOptions{DryRun: dry}))
	assert.NoError(t, client.DeleteCollection(ctx, metav1.DeleteOptions{DryRun: dry}, metav1.ListOptions{}))
	_, err := client.Create(ctx, testenv.NewProfile("refused", ""), metav1.CreateOptions{DryRun: dry})
	assert.True(t, apierrors.IsInvalid(err), "%v", err)

	found := list(t, namespace, metav1.ListOptions{})
	assert.Empty(t, cmp.Diff([]inventoryv1alpha1.ClusterProfile{*stored}, found.Items), "-want +got")
}

func TestInventory_Delete(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	client := profilesIn(t, namespace)

	t.Run("with preconditions", func(t *testing.T) {
		profile := createProfile(t, namespace, testenv.NewProfile("guarded", "delete"))
		tests := map[string]metav1.Preconditions{
			"another uid":             {UID: ptr.To[types.UID]("another")},
			"another resourceVersion": {ResourceVersion: ptr.To("1")},
		}
		for name, preconditions := range tests {
			err := client.Delete(ctx, "guarded", metav1.DeleteOptions{Preconditions: &preconditions})
			assert.True(t, apierrors.IsConflict(err), "%s: %v", name, err)
		}
		right := &metav1.Preconditions{UID: &profile.UID, ResourceVersion: &profile.ResourceVersion}
		assert.NoError(t, client.Delete(ctx, "guarded", metav1.DeleteOptions{Preconditions: right}))
		err := client.Delete(ctx, "guarded", metav1.DeleteOptions{})
		assert.True(t, apierrors.IsNotFound(err), "once more: %v", err)
	})
	t.Run("a collection, by selectors", func(t *testing.T) {
		for name, manager := range map[string]string{"a": "keep", "b": "drop", "c": "drop"} {
			profile := testenv.NewProfile(name, manager)
			profile.Labels = map[string]string{"name": name}
			createProfile(t, namespace, profile)
		}
		drop := metav1.ListOptions{FieldSelector: "spec.clusterManager.name=drop", LabelSelector: "name!=c"}
		require.NoError(t, client.DeleteCollection(ctx, metav1.DeleteOptions{}, drop))
		assert.Equal(t, []string{"a", "c"}, names(t, list(t, namespace, metav1.ListOptions{})), "what is left")
	})
	t.Run("with a finalizer, that must go first", func(t *testing.T) {
		profile := testenv.NewProfile("held", "delete")
		profile.Finalizers = []string{"example.com/hold"}
		createProfile(t, namespace, profile)
		require.NoError(t, client.Delete(ctx, "held", metav1.DeleteOptions{}))
		held := getProfile(t, namespace, "held")
		require.NotNil(t, held.DeletionTimestamp)
		held.Finalizers = append(held.Finalizers, "example.com/late")
		_, err := client.Update(ctx, held, metav1.UpdateOptions{})
		assert.True(t, apierrors.IsInvalid(err), "a new finalizer on what is being deleted: %v", err)
		held.Finalizers = nil
		_, err = client.Update(ctx, held, metav1.UpdateOptions{})
		require.NoError(t, err)
		_, err = client.Get(ctx, "held", metav1.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
	})
}

func TestInventory_KubectlWait(t *testing.T) {
	namespace := newNamespace(t)
	profile := createProfile(t, namespace, testenv.NewProfile("awaited", "wait"))
	waited := make(chan error, 1)
	go func() {
		_, err := testenv.Kubectl(t.Context(), shared.Hub.Kubeconfig(), "", "wait", "-n", namespace, "clusterprofile/awaited",
			"--for=condition=ControlPlaneHealthy", "--timeout=30s")
		waited <- err
	}()
	profile.Status.Conditions = []metav1.Condition{condition("ControlPlaneHealthy", metav1.ConditionTrue)}
	_, err := profilesIn(t, namespace).UpdateStatus(t.Context(), profile, metav1.UpdateOptions{})
	assert.NoError(t, err)
	assert.NoError(t, <-waited)
}
