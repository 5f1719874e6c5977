// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/pkg/migrate"
	"clusterpass.dev/test/testenv"
)

// Everything moves.
func TestMigrate(t *testing.T) {
	c, port := newHub(t)
	namespace := c.fill(t, manyProfiles)
	before := c.list(t)
	a := newAttempt(t, port)
	a.mustRun(t)

	c.requireMoved(t, before)
	assert.Regexp(t, `^preflight +50 ClusterProfiles and 2 PlacementDecisions of hub https://\S+
export +50 ClusterProfiles and 2 PlacementDecisions to \S+
remove +CustomResourceDefinitions clusterprofiles.multicluster.x-k8s.io and placementdecisions.multicluster.x-k8s.io are gone
register +APIServices \S+ and \S+ lead to Service clusterpass-system/clusterpass-apiserver:\d+, and \S+ is available
import +50 ClusterProfiles and 2 PlacementDecisions are as they were exported
$`, a.out.String())
	requirePrivate(t, a.options.Dir)

	t.Run("once it is done, nothing is done again", func(t *testing.T) {
		require.NoError(t, c.inventory.ApisV1alpha1().ClusterProfiles(namespace).Delete(t.Context(), "cluster-00", metav1.DeleteOptions{}))
		next := a.again()
		next.mustRun(t)
		assert.Contains(t, next.out.String(), "has been migrated already")
		assert.Len(t, c.list(t).profiles, manyProfiles-1, "a ClusterProfile that was deleted later has come back")
	})
	t.Run("nor with another folder", func(t *testing.T) {
		next := newAttempt(t, port)
		next.mustRun(t)
		assert.Contains(t, next.out.String(), "nothing is left to do")
	})
}

// The overlay may have been applied before.
func TestMigrate_OverlayBefore(t *testing.T) {
	c, port := newHub(t)
	c.fill(t, few)
	before := c.list(t)
	services := c.apiServices.ApiregistrationV1().APIServices()
	testenv.Eventually(t, func(ctx context.Context) error {
		ours, err := services.Get(ctx, ourAPI, metav1.GetOptions{})
		if err != nil {
			return err
		}
		service, err := services.Get(ctx, inventoryAPI, metav1.GetOptions{})
		if err != nil {
			return err
		}
		service.Spec.Service, service.Spec.CABundle = ours.Spec.Service, ours.Spec.CABundle
		_, err = services.Update(ctx, service, metav1.UpdateOptions{})
		return err
	})
	testenv.Eventually(t, func(ctx context.Context) error {
		service, err := services.Get(ctx, inventoryAPI, metav1.GetOptions{})
		if err == nil && service.Spec.Service != nil {
			err = errors.New("the hub has not undone it")
		}
		return err
	})
	newAttempt(t, port).mustRun(t)
	c.requireMoved(t, before)
}

// requirePrivate makes sure that the folder and its files are for their owner alone.
func requirePrivate(t *testing.T, dir string) {
	t.Helper()
	info := testenv.Must[os.FileInfo](t)(os.Stat(dir))
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	entries := testenv.Must[[]os.DirEntry](t)(os.ReadDir(dir))
	assert.Len(t, entries, 6, "two exports, two definitions, the manifest and the state")
	for _, entry := range entries {
		info := testenv.Must[os.FileInfo](t)(entry.Info())
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), entry.Name())
	}
}

// A run that ends anywhere is gone on with.
func TestMigrate_Interrupted(t *testing.T) {
	c, port := newHub(t)
	c.fill(t, manyProfiles)
	before := c.list(t)
	a := newAttempt(t, port)
	const definitions, objects = "/customresourcedefinitions/", "/clusterprofiles"

	for _, part := range []struct {
		name    string
		attempt *attempt
		says    string
	}{
		{"after it has looked", a.endsAfter(migrate.StepPreflight), "This run has changed nothing on the hub"},
		{"after the export", a.endsAfter(migrate.StepExport), "This run has changed nothing on the hub"},
		{"after the first definition was deleted", a.endsAt(1, http.MethodDelete, definitions), "CustomResourceDefinitions are being removed"},
		{"after both were deleted", a.endsAt(1, http.MethodDelete, definitions), "CustomResourceDefinitions are being removed"},
		{"after the removal", a.endsAfter(migrate.StepRemove), "nothing serves the inventory"},
		{"after the APIService was created", a.endsAt(1, http.MethodPost, "/apiservices"), "nothing serves the inventory"},
		{"after the registration", a.endsAfter(migrate.StepRegister), "the import is not complete"},
		{"after a ClusterProfile was created, before it has its status", a.endsAt(1, http.MethodPost, objects), "the import is not complete"},
		{"after the status of some was written", a.endsAt(20, http.MethodPut, objects), "the import is not complete"},
		{"after the PlacementDecisions were created", a.endsAt(2, http.MethodPost, "/placementdecisions"), "the import is not complete"},
	} {
		t.Run(part.name, func(t *testing.T) {
			err := part.attempt.run(t)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorContains(t, err, part.says)
			require.ErrorContains(t, err, "Run the same command again to resume, with --dir="+a.options.Dir)
		})
	}
	last := a.again()
	last.mustRun(t)
	c.requireMoved(t, before)
	assert.Regexp(t, `(?m)^export +was done before`, last.out.String())
}

// An owner of the same kind is dropped, and named.
func TestMigrate_Owners(t *testing.T) {
	c, port := newHub(t)
	parent := c.createProfile(t, "default", "parent", 1)
	child := c.createProfile(t, "default", "child", 2)
	child.OwnerReferences = []metav1.OwnerReference{
		{APIVersion: "multicluster.x-k8s.io/v1alpha1", Kind: "ClusterProfile", Name: parent.Name, UID: parent.UID},
	}
	testenv.Update(t, c.inventory.ApisV1alpha1().ClusterProfiles("default"), child)

	a := newAttempt(t, port)
	a.mustRun(t)
	assert.Contains(t, a.errOut.String(),
		"1 ClusterProfile imported without an owner that is not there any more or gets a new UID: default/child (ClusterProfile parent)")
	found := c.list(t).profiles
	require.Contains(t, found, "default/child")
	assert.Empty(t, found["default/child"].OwnerReferences)
	assert.Contains(t, found, "default/parent")
}
