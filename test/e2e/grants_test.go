// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"clusterpass.dev/test/testenv"
)

// grantOf returns the name of the grant that a ServiceAccount of requestFor was given by, "" if
// there is none.
func grantOf(ctx context.Context, account string) (string, error) {
	out, err := kubectl(ctx, kubeconfig("hub"), "", "get", "authtokengrants", "-n", "default", "-o", "name",
		"--field-selector=spec.serviceAccount.name="+account)
	return strings.TrimPrefix(strings.TrimSpace(out), "authtokengrant.clusterpass.dev/"), err
}

// expectNoGrant waits until a ServiceAccount has no grant and does not exist.
func expectNoGrant(t *testing.T, cluster, account string) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		if name, err := grantOf(ctx, account); err != nil || name != "" {
			return fmt.Errorf("grant %q: %w", name, err)
		}
		return nil
	})
	_, err := kubectl(t.Context(), kubeconfig(cluster), "", "get", "serviceaccount", account, "-n", "default")
	require.ErrorContains(t, err, "NotFound")
}

// A grant is listed, and its end is the end of its tokens.
func TestGrant(t *testing.T) {
	file := create(t, requestFor("bravelion", "e2e-grant", view))
	name, err := grantOf(t.Context(), "e2e-grant")
	require.NoError(t, err)
	require.NotEmpty(t, name)

	t.Run("it says who may do what, where, and until when", func(t *testing.T) {
		lines := strings.Split(on(t, "hub", "get", "authtokengrant", name, "-n", "default"), "\n")
		assert.Equal(t, strings.Fields("NAME CLUSTER SERVICE ACCOUNT ROLES REQUESTER LAST ISSUED TOKENS END READY AGE"), strings.Fields(lines[0]))
		assert.Regexp(t, `^`+name+` +bravelion +default/e2e-grant +view +admin +within \S+ +within \S+ +True +\S+$`, strings.TrimSpace(lines[1]))
	})
	t.Run("nobody changes what it grants", func(t *testing.T) {
		_, err := kubectl(t.Context(), kubeconfig("hub"), "", "patch", "authtokengrant", name, "-n", "default", "--type=merge",
			"-p", `{"spec":{"clusterRoles":[{"name":"cluster-admin"}]}}`)
		require.ErrorContains(t, err, "spec")
	})

	mustKubectl(t, file, "", "get", "configmaps", "-n", "default")
	on(t, "hub", "delete", "authtokengrant", name, "-n", "default", "--wait=false")
	deleted := time.Now()
	testenv.Eventually(t, func(ctx context.Context) error {
		if _, err := kubectl(ctx, file, "", "get", "configmaps", "-n", "default"); err == nil || !strings.Contains(err.Error(), "orbidden") {
			return errors.New("the token is not forbidden to read yet")
		}
		return nil
	})
	t.Logf("forbidden %s after the deletion, as kubectl sees it", time.Since(deleted).Round(time.Millisecond))
	expectNoGrant(t, "bravelion", "e2e-grant")
	_, err = kubectl(t.Context(), file, "", "get", "configmaps", "-n", "default")
	require.ErrorContains(t, err, "You must be logged in to the server")
}

// A revocation waits for a controller manager that is down.
func TestGrant_ManagerDown(t *testing.T) {
	create(t, requestFor("bravelion", "e2e-late", view))
	name, err := grantOf(t.Context(), "e2e-late")
	require.NoError(t, err)

	require.NoError(t, process(t, "clusterpass-controller-manager").Kill())
	on(t, "hub", "delete", "authtokengrant", name, "-n", "default", "--wait=false")
	err = tryCreate(t.Context(), requestFor("bravelion", "e2e-late", view))
	require.ErrorContains(t, err, "is being revoked", "no token is issued on what is to go")
	fleetUp(t)
	expectNoGrant(t, "bravelion", "e2e-late")
}
