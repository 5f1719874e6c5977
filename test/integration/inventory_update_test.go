// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
	profile := createProfile(t, namespace, newProfile("counted", "update"))
	if profile.Generation != 1 {
		t.Fatalf("a new object has generation %d", profile.Generation)
	}
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
		if profile, err = step.update(profile); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if profile.Generation != step.want {
			t.Errorf("after an update of %s: generation %d, want %d", step.name, profile.Generation, step.want)
		}
	}
}

// An update that changes nothing writes nothing.
func TestInventory_UpdateNothing(t *testing.T) {
	namespace := newNamespace(t)
	profile := createProfile(t, namespace, newProfile("same", "update"))
	for name, update := range map[string]func(context.Context, *inventoryv1alpha1.ClusterProfile, metav1.UpdateOptions) (*inventoryv1alpha1.ClusterProfile, error){
		"the object": profilesIn(t, namespace).Update, "its status": profilesIn(t, namespace).UpdateStatus,
	} {
		t.Run(name, func(t *testing.T) {
			updated := testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(update(t.Context(), profile.DeepCopy(), metav1.UpdateOptions{}))
			if updated.ResourceVersion != profile.ResourceVersion {
				t.Errorf("resourceVersion %s became %s", profile.ResourceVersion, updated.ResourceVersion)
			}
		})
	}
}

// What a request cannot set.
func TestInventory_ForgedFields(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	client := profilesIn(t, namespace)

	t.Run("a create sets no status, uid, creation time, generation or deletion time", func(t *testing.T) {
		forged := newProfile("forged", "update")
		forged.UID, forged.Generation = "forged", 42
		forged.CreationTimestamp = metav1.NewTime(time.Unix(0, 0))
		forged.DeletionTimestamp, forged.DeletionGracePeriodSeconds = ptr.To(metav1.NewTime(time.Unix(1, 0))), ptr.To[int64](1)
		forged.Status.Version.Kubernetes = "forged"
		forged.Status.Conditions = []metav1.Condition{condition("Forged", metav1.ConditionTrue)}
		created := createProfile(t, namespace, forged)
		if created.UID == "forged" || created.Generation != 1 || time.Since(created.CreationTimestamp.Time) > time.Hour || created.DeletionTimestamp != nil {
			t.Errorf("the metadata is forged: %+v", created.ObjectMeta)
		}
		if created.Status.Version.Kubernetes != "" || len(created.Status.Conditions) > 0 {
			t.Errorf("the status is set: %+v", created.Status)
		}
	})
	t.Run("a create with a resourceVersion is refused", func(t *testing.T) {
		profile := newProfile("versioned", "update")
		profile.ResourceVersion = "1"
		if _, err := client.Create(ctx, profile, metav1.CreateOptions{}); err == nil {
			t.Error("it was created")
		}
	})
	t.Run("an update of the spec sets no status, one of the status no spec and no labels", func(t *testing.T) {
		profile := createProfile(t, namespace, newProfile("apart", "update"))
		profile.Status.Version.Kubernetes, profile.Spec.DisplayName = "by spec", "by spec"
		profile = testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(client.Update(ctx, profile, metav1.UpdateOptions{}))
		if profile.Status.Version.Kubernetes != "" || profile.Spec.DisplayName != "by spec" {
			t.Errorf("after an update of the spec: %+v %+v", profile.Spec, profile.Status)
		}
		profile.Status.Version.Kubernetes, profile.Spec.DisplayName = "by status", "by status"
		profile.Labels, profile.Annotations, profile.Finalizers = map[string]string{"a": "b"}, map[string]string{"a": "b"}, []string{"example.com/hold"}
		profile = testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(client.UpdateStatus(ctx, profile, metav1.UpdateOptions{}))
		if profile.Status.Version.Kubernetes != "by status" || profile.Spec.DisplayName != "by spec" {
			t.Errorf("after an update of the status: %+v %+v", profile.Spec, profile.Status)
		}
		if len(profile.Labels)+len(profile.Annotations)+len(profile.Finalizers) > 0 {
			t.Errorf("an update of the status changed the metadata: %+v", profile.ObjectMeta)
		}
	})
	t.Run("another uid is a conflict, another creation time is not taken", func(t *testing.T) {
		profile := createProfile(t, namespace, newProfile("born", "update"))
		replaced := profile.DeepCopy()
		replaced.UID = "another"
		if _, err := client.Update(ctx, replaced, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			t.Errorf("another uid: got %v, want 409", err)
		}
		aged := profile.DeepCopy()
		aged.CreationTimestamp = metav1.NewTime(time.Unix(0, 0))
		aged.Spec.DisplayName = "aged"
		updated, err := client.Update(ctx, aged, metav1.UpdateOptions{})
		if err == nil && !updated.CreationTimestamp.Equal(&profile.CreationTimestamp) {
			t.Errorf("the creation time became %s", updated.CreationTimestamp)
		}
	})
	t.Run("a resourceVersion that is not the latest is a conflict", func(t *testing.T) {
		old := createProfile(t, namespace, newProfile("raced", "update"))
		newer := old.DeepCopy()
		newer.Spec.DisplayName = "newer"
		testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(client.Update(ctx, newer, metav1.UpdateOptions{}))
		if _, err := client.Update(ctx, old, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			t.Errorf("update: got %v, want 409", err)
		}
		if _, err := client.UpdateStatus(ctx, old, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
			t.Errorf("update of the status: got %v, want 409", err)
		}
	})
	t.Run("a name that exists, and one that does not", func(t *testing.T) {
		createProfile(t, namespace, newProfile("twice", "update"))
		if _, err := client.Create(ctx, newProfile("twice", "update"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
			t.Errorf("create: got %v, want 409 AlreadyExists", err)
		}
		if _, err := client.UpdateStatus(ctx, newProfile("never", "update"), metav1.UpdateOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("update of the status: got %v, want 404", err)
		}
	})
}

// A dry run stores nothing.
func TestInventory_DryRun(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	client, dry := profilesIn(t, namespace), []string{metav1.DryRunAll}
	stored := createProfile(t, namespace, newProfile("stored", "dry"))
	changed := stored.DeepCopy()
	changed.Spec.DisplayName, changed.Status.Version.Kubernetes = "changed", "changed"

	created := testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(client.Create(ctx, newProfile("created", "dry"), metav1.CreateOptions{DryRun: dry}))
	if created.UID == "" || created.Generation != 1 {
		t.Errorf("the answer to a create is not what would be stored: %+v", created.ObjectMeta)
	}
	if updated := testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(client.Update(ctx, changed.DeepCopy(), metav1.UpdateOptions{DryRun: dry})); updated.Generation != 2 {
		t.Errorf("the answer to an update has generation %d", updated.Generation)
	}
	testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(client.UpdateStatus(ctx, changed.DeepCopy(), metav1.UpdateOptions{DryRun: dry}))
	testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(client.Patch(ctx, "stored", types.MergePatchType, []byte(`{"spec":{"displayName":"p"}}`), metav1.PatchOptions{DryRun: dry}))
	if err := client.Delete(ctx, "stored", metav1.DeleteOptions{DryRun: dry}); err != nil {
		t.Error(err)
	}
	if err := client.DeleteCollection(ctx, metav1.DeleteOptions{DryRun: dry}, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := client.Create(ctx, newProfile("refused", ""), metav1.CreateOptions{DryRun: dry}); !apierrors.IsInvalid(err) {
		t.Errorf("a dry run of an invalid object: got %v, want 422", err)
	}

	found := list(t, namespace, metav1.ListOptions{})
	if diff := cmp.Diff([]inventoryv1alpha1.ClusterProfile{*stored}, found.Items); diff != "" {
		t.Errorf("what is stored (-want +got):\n%s", diff)
	}
}

func TestInventory_Delete(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	client := profilesIn(t, namespace)

	t.Run("with preconditions", func(t *testing.T) {
		profile := createProfile(t, namespace, newProfile("guarded", "delete"))
		tests := map[string]metav1.Preconditions{
			"another uid":             {UID: ptr.To[types.UID]("another")},
			"another resourceVersion": {ResourceVersion: ptr.To("1")},
		}
		for name, preconditions := range tests {
			if err := client.Delete(ctx, "guarded", metav1.DeleteOptions{Preconditions: &preconditions}); !apierrors.IsConflict(err) {
				t.Errorf("%s: got %v, want 409", name, err)
			}
		}
		right := &metav1.Preconditions{UID: &profile.UID, ResourceVersion: &profile.ResourceVersion}
		if err := client.Delete(ctx, "guarded", metav1.DeleteOptions{Preconditions: right}); err != nil {
			t.Error(err)
		}
		if err := client.Delete(ctx, "guarded", metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("once more: got %v, want 404", err)
		}
	})
	t.Run("a collection, by selectors", func(t *testing.T) {
		for name, manager := range map[string]string{"a": "keep", "b": "drop", "c": "drop"} {
			profile := newProfile(name, manager)
			profile.Labels = map[string]string{"name": name}
			createProfile(t, namespace, profile)
		}
		if err := client.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{FieldSelector: "spec.clusterManager.name=drop", LabelSelector: "name!=c"}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a", "c"}, names(t, list(t, namespace, metav1.ListOptions{}))); diff != "" {
			t.Errorf("what is left (-want +got):\n%s", diff)
		}
	})
	t.Run("with a finalizer, that must go first", func(t *testing.T) {
		profile := newProfile("held", "delete")
		profile.Finalizers = []string{"example.com/hold"}
		createProfile(t, namespace, profile)
		if err := client.Delete(ctx, "held", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		held := getProfile(t, namespace, "held")
		if held.DeletionTimestamp == nil {
			t.Fatal("it has no deletion time")
		}
		held.Finalizers = append(held.Finalizers, "example.com/late")
		if _, err := client.Update(ctx, held, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
			t.Errorf("a new finalizer on what is being deleted: got %v, want 422", err)
		}
		held.Finalizers = nil
		if _, err := client.Update(ctx, held, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Get(ctx, "held", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("got %v, want 404", err)
		}
	})
}

func TestInventory_KubectlWait(t *testing.T) {
	namespace := newNamespace(t)
	profile := createProfile(t, namespace, newProfile("awaited", "wait"))
	waited := make(chan error, 1)
	go func() {
		_, err := testenv.Kubectl(t.Context(), shared.Hub.Kubeconfig(), "", "wait", "-n", namespace, "clusterprofile/awaited", "--for=condition=ControlPlaneHealthy", "--timeout=30s")
		waited <- err
	}()
	profile.Status.Conditions = []metav1.Condition{condition("ControlPlaneHealthy", metav1.ConditionTrue)}
	if _, err := profilesIn(t, namespace).UpdateStatus(t.Context(), profile, metav1.UpdateOptions{}); err != nil {
		t.Error(err)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
}
