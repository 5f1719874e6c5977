// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// team is a namespace of the hub with a set.
const team = "team"

// keepSet has a set in team keep a credential for bravelion, until the test ends. The
// ClusterProfile is in another namespace.
func keepSet(t *testing.T) {
	t.Helper()
	hub, sets := shared.Hub.Kube(t), shared.Hub.Clusterpass(t).ClusterpassV1alpha1().ClusterCredentialSets(team)
	testenv.Create(t, hub.CoreV1().Namespaces(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: team}})
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		// The controller manager can't see to the set without the RoleBinding, which goes with the
		// namespace.
		require.NoError(t, sets.Delete(ctx, "fleet", metav1.DeleteOptions{}))
		testenv.EventuallyIn(ctx, t, testenv.WaitTimeout, func(ctx context.Context) error { return gone(ctx, sets, "fleet") })
		require.NoError(t, hub.CoreV1().Namespaces().Delete(ctx, team, metav1.DeleteOptions{}))
		waitNamespaceGone(t, shared.Hub, team)
	})
	manager := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "clusterpass-system", Name: "clusterpass-controller-manager"}
	testenv.Bind(t, hub, team, "clusterpass-credential-sets", manager, "clusterpass:credential-sets")
	testenv.Create(t, sets, &clusterpassv1alpha1.ClusterCredentialSet{
		ObjectMeta: metav1.ObjectMeta{Name: "fleet"},
		Spec: clusterpassv1alpha1.ClusterCredentialSetSpec{
			Clusters: clusterpassv1alpha1.ClusterSelection{Namespace: "default", Names: []string{"bravelion"}},
			Template: clusterpassv1alpha1.CredentialTemplate{ClusterRoles: []v1alpha1.ClusterRole{{Name: "view"}}},
		},
	})
}

// setReady waits until the set has a credential for bravelion.
func setReady(t *testing.T) {
	t.Helper()
	sets := shared.Hub.Clusterpass(t).ClusterpassV1alpha1().ClusterCredentialSets(team)
	testenv.Await(t, sets, "fleet", func(set *clusterpassv1alpha1.ClusterCredentialSet) error {
		if set.Status.Ready != 1 {
			return fmt.Errorf("the status is %+v", set.Status)
		}
		return nil
	})
}

// askForRotations asks for a new credential of the set again and again until the test ends, or the
// function that it returns is called.
func askForRotations(t *testing.T) (stop func()) {
	t.Helper()
	client := shared.Hub.Clusterpass(t).ClusterpassV1alpha1().ClusterCredentialSets(team)
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asking.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"%d"}}}`, clusterpassv1alpha1.AnnotationRotate, i)
			_, _ = client.Patch(ctx, "fleet", types.MergePatchType, patch, metav1.PatchOptions{})
			_ = wait.PollUntilContextTimeout(ctx, poll, poll, false, func(context.Context) (bool, error) { return false, nil })
		}
	})
	stop = func() { cancel(); asking.Wait() }
	t.Cleanup(stop)
	return stop
}

// TestUnjoin_MemberOfASet takes a member out while a set of another namespace mints for it as fast
// as it can.
func TestUnjoin_MemberOfASet(t *testing.T) {
	joined(t, "bravelion")
	keepSet(t)
	setReady(t)
	stop := askForRotations(t)
	began := time.Now()
	out := mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion")
	t.Logf("it took %s", time.Since(began))
	assert.Contains(t, out, "hub: marked secret/member-default-bravelion in clusterpass-system as leaving\n")
	stop()
	assert.Empty(t, testenv.List(t, shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(team), metav1.ListOptions{}).Items)
	testenv.AwaitGone(t, shared.Hub.Kube(t).CoreV1().Secrets(team), "fleet-bravelion")
}

// leaving marks bravelion as an unjoin does that is interrupted then.
func leaving(t *testing.T) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"2026-05-04T12:00:00Z"}}}`, member.LeavingAnnotation)
	testenv.Patch(t, shared.Hub.Kube(t).CoreV1().Secrets("clusterpass-system"), "member-default-bravelion", patch)
}

// requestAs has kubectl create an AuthTokenRequest for bravelion as a user with a kubeconfig, and
// returns what it says.
func requestAs(t *testing.T, kubeconfig string) string {
	t.Helper()
	manifest := tokenRequest("bravelion", "default", "ordinary", "view")
	out, err := testenv.Kubectl(t.Context(), kubeconfig, manifest, "create", "--validate=ignore", "-f", "-", "-o", "name")
	if err != nil {
		return err.Error()
	}
	return out
}

// TestUnjoin_MemberThatLeaves is about a member whose unjoin was interrupted.
func TestUnjoin_MemberThatLeaves(t *testing.T) {
	joined(t, "bravelion")
	keepSet(t)
	setReady(t)
	asks := rule("multicluster.x-k8s.io", "authtokenrequests", "create")
	entitled := as(t, shared.Hub, "entitled", asks, rule("multicluster.x-k8s.io", "clusterprofiles/token", "create"),
		rule("multicluster.x-k8s.io", "clusterprofiles", "bind:view", "in:default"))
	stranger := as(t, shared.Hub, "stranger", asks)
	testenv.Eventually(t, func(context.Context) error {
		if out := requestAs(t, entitled); strings.Contains(out, "Error") {
			return errors.New(out)
		}
		return nil
	})
	before := requestAs(t, stranger)
	leaving(t)

	t.Run("gives nobody a token and says why", func(t *testing.T) {
		testenv.Eventually(t, func(context.Context) error {
			if out := requestAs(t, entitled); !strings.Contains(out, "Error") {
				return errors.New("there is a token still: " + out)
			}
			return nil
		})
		out := requestAs(t, entitled)
		assert.Contains(t, out, "Error from server (Conflict)")
		assert.Contains(t, out, "the cluster is leaving this hub, since 2026-05-04T12:00:00Z")
		_, err := request(t, "bravelion", "another", "view")
		require.ErrorContains(t, err, "the cluster is leaving this hub")
	})
	t.Run("of which only those learn who are entitled to it", func(t *testing.T) {
		assert.Equal(t, before, requestAs(t, stranger))
	})
	t.Run("is let go by sets of other namespaces", func(t *testing.T) {
		testenv.Eventually(t, func(ctx context.Context) error {
			if err := gone(ctx, shared.Hub.Kube(t).CoreV1().Secrets(team), "fleet-bravelion"); err != nil {
				return err
			}
			grants, err := shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(team).List(ctx, metav1.ListOptions{})
			if err == nil && len(grants.Items) > 0 {
				err = fmt.Errorf("%d grants", len(grants.Items))
			}
			return err
		})
		set := testenv.Get(t, shared.Hub.Clusterpass(t).ClusterpassV1alpha1().ClusterCredentialSets(team), "fleet")
		condition := apimeta.FindStatusCondition(set.Status.Conditions, clusterpassv1alpha1.CredentialSetReady)
		assert.Contains(t, condition.Message, "not selected, as `kubectl clusterpass unjoin` is removing them from the hub: bravelion")
	})
	t.Run("has its credential mended and leaves all the same", func(t *testing.T) {
		mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--credential-only", "--wait=false")
		assert.Contains(t, hubSecret(t).Annotations, member.LeavingAnnotation)
	})
	t.Run("leaves in spite of a dry run", func(t *testing.T) {
		out := mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--dry-run")
		assert.Contains(t, out, "hub: unmarked secret/member-default-bravelion in clusterpass-system as leaving (client dry run)\n")
		assert.Contains(t, hubSecret(t).Annotations, member.LeavingAnnotation)
	})
	t.Run("stays when it is joined again", func(t *testing.T) {
		mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--wait=false")
		assert.NotContains(t, hubSecret(t).Annotations, member.LeavingAnnotation)
		setReady(t)
		mustRequest(t, "bravelion", "another", "view")
	})
}

// TestUnjoin_MemberDown says what can be done, and goes on when the member is back.
func TestUnjoin_MemberDown(t *testing.T) {
	joined(t, "bravelion")
	keepSet(t)
	setReady(t)
	require.NoError(t, shared.Bravelion.Kill("kube-apiserver"))
	back := sync.OnceFunc(func() {
		assert.NoError(t, shared.Bravelion.Restart(context.WithoutCancel(t.Context()), "kube-apiserver"))
	})
	t.Cleanup(back)
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := clusterpass(ctx, "unjoin", "bravelion", "--timeout=3s")
		require.ErrorContains(t, err, "not revoked within 3s: team/")
		for _, words := range []string{"it can't be reached", "--abandon-member", "--member-context"} {
			if !strings.Contains(err.Error(), words) {
				return err
			}
		}
		return nil
	})
	back()
	mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion", longTimeout)
}
