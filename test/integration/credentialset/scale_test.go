// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/test/testenv"
)

var (
	manyProfiles = flag.Int("profiles", 120, "how many ClusterProfiles TestCredentialSets_ManyProfiles has")
	manyMembers  = flag.Int("members", 2, "how many clusters are behind them")
)

const (
	// managerUser and memberUser are whom the hub's audit log, and the members', see in clusterpass.
	managerUser = "system:serviceaccount:clusterpass-system:clusterpass-controller-manager"
	memberUser  = "system:serviceaccount:clusterpass-system:clusterpass"
	// hubCalls are to the hub for each credential: the request for the token, and to read and to write
	// its Secret.
	hubCalls = 3
	// coldCalls bounds those to the member for the first credential, warmCalls for each one after.
	coldCalls, warmCalls = 10, 1
	// retried is one in how many calls may have been cut off, on a busy machine, and made again.
	retried = 5
	// copying is how many profiles are made at once.
	copying = 16
	// manyTimeout bounds the wait for all credentials, which take minutes on a slow machine.
	manyTimeout = 10 * time.Minute
)

// One set for many ClusterProfiles.
func TestCredentialSets_ManyProfiles(t *testing.T) {
	f := &fleet{hub: testenv.Start(t, testenv.Options{Audit: true})}
	testenv.StartServer(t, f.hub, testenv.ServerConfig{})
	f.profiles = f.hub.Inventory(t).ApisV1alpha1().ClusterProfiles(team)
	f.admin = f.hub.Kube(t)
	f.createNamespaces(t, team)
	members := f.copyProfiles(t)
	f.allowSecrets(t, team)
	f.manager = testenv.StartControllerManager(t, f.hub, testenv.ControllerManagerConfig{})

	set := newSet("many")
	set.Spec.Clusters.Namespace = team
	set.Spec.Clusters.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"many": "true"}}
	set.Spec.Secret.Namespace = ""
	testenv.Create(t, f.ours(t), set)
	first := f.versions(t, *manyProfiles)
	hub, onMembers := f.calls(t, members)
	t.Logf("%d credentials took %.2f calls to the hub and %.2f to the members each", *manyProfiles, per(hub.about), per(onMembers))
	assertCalls(t, hubCalls, hub.about, "to the hub")
	assertCalls(t, coldCalls, onMembers, "to the members")

	// A label touches one Secret, and a restart none. When the label is back, and its Secret, the new
	// process has looked at all.
	f.setMany(t, "p7", "false")
	one := f.versions(t, *manyProfiles-1)
	assert.Equal(t, 1, differences(first, one))
	require.NoError(t, f.manager.Restart(t.Context()))
	f.setMany(t, "p7", "true")
	assert.Equal(t, 1, differences(first, f.versions(t, *manyProfiles)))

	hubBefore, membersBefore := f.calls(t, members)
	before := f.versions(t, *manyProfiles)
	testenv.Patch(t, f.ours(t), "many", `{"metadata":{"annotations":{"`+v1alpha1.AnnotationRotate+`":"all"}}}`)
	testenv.EventuallyIn(t.Context(), t, manyTimeout, func(context.Context) error {
		if left := *manyProfiles - differences(before, f.versions(t, *manyProfiles)); left > 0 {
			return fmt.Errorf("%d are not rotated yet", left)
		}
		return nil
	})
	hub, onMembers = f.calls(t, members)
	t.Logf("rotated, they took %.2f calls to the hub and %.2f to the members each",
		per(hub.about-hubBefore.about), per(onMembers-membersBefore))
	assertCalls(t, warmCalls, onMembers-membersBefore, "to the members")
	assertCalls(t, 1, hub.writes-hubBefore.writes, "that write Secrets")
}

// assertCalls wants at most so many calls for each credential, and room for retries: less than one
// more for each.
func assertCalls(t *testing.T, each, calls int, what string) {
	t.Helper()
	want := each * *manyProfiles
	assert.LessOrEqual(t, calls, want+want/retried, "%d calls %s for each credential, and retries", each, what)
}

// per returns how many calls there were for each credential.
func per(calls int) float64 { return float64(calls) / float64(*manyProfiles) }

// copyProfiles joins the members, and makes profiles that lead to them in turn, each with a Secret
// of its own.
func (f *fleet) copyProfiles(t *testing.T) []*testenv.Cluster {
	t.Helper()
	var members []*testenv.Cluster
	var originals []*inventoryv1alpha1.ClusterProfile
	for i := range *manyMembers {
		name := "member" + strconv.Itoa(i)
		member := testenv.Start(t, testenv.Options{Name: name, Audit: true})
		require.NoError(t, testenv.Join(t.Context(), f.hub, member, team, name))
		members, originals = append(members, member), append(originals, testenv.Get(t, f.profiles, name))
	}
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(copying)
	for i := range *manyProfiles {
		group.Go(func() error { return f.copyProfile(ctx, originals[i%len(originals)], "p"+strconv.Itoa(i)) })
	}
	require.NoError(t, group.Wait())
	return members
}

func (f *fleet) copyProfile(ctx context.Context, original *inventoryv1alpha1.ClusterProfile, name string) error {
	secrets := f.admin.CoreV1().Secrets(testenv.SystemNamespace)
	from, to := "member-"+team+"-"+original.Name, "member-"+team+"-"+name
	secret, err := secrets.Get(ctx, from, metav1.GetOptions{})
	if err != nil {
		return err
	}
	secret.ObjectMeta = metav1.ObjectMeta{Name: to, Labels: secret.Labels,
		Annotations: map[string]string{"clusterpass.dev/cluster-profile": team + "/" + name}}
	if _, err := secrets.Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return err
	}
	// With the label, as join sets it, the controller manager need not ask the member for its UID.
	labels := map[string]string{"many": "true", v1alpha2.LabelInventoryMemberID: name}
	profile, err := f.profiles.Create(ctx, &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: original.Spec,
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	original.Status.DeepCopyInto(&profile.Status)
	for i := range profile.Status.AccessProviders {
		extension := &profile.Status.AccessProviders[i].Cluster.Extensions[0].Extension
		extension.Raw = bytes.ReplaceAll(extension.Raw, []byte(from), []byte(to))
	}
	_, err = f.profiles.UpdateStatus(ctx, profile, metav1.UpdateOptions{})
	return err
}

// setMany sets the label of a profile by which the set selects.
func (f *fleet) setMany(t *testing.T, name, value string) {
	t.Helper()
	testenv.Patch(t, f.profiles, name, fmt.Sprintf(`{"metadata":{"labels":{"many":%q}}}`, value))
}

// versions waits until there are so many Secrets of sets, and returns their resource versions by
// name.
func (f *fleet) versions(t *testing.T, count int) map[string]string {
	t.Helper()
	var versions map[string]string
	testenv.EventuallyIn(t.Context(), t, manyTimeout, func(ctx context.Context) error {
		list, err := f.admin.CoreV1().Secrets(team).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.LabelCredentialSetUID})
		if err != nil {
			return err
		}
		versions = map[string]string{}
		for i := range list.Items {
			versions[list.Items[i].Name] = list.Items[i].ResourceVersion
		}
		if len(versions) != count {
			return fmt.Errorf("there are %d Secrets, want %d", len(versions), count)
		}
		return nil
	})
	return versions
}

// differences counts the Secrets that were written, made or deleted since.
func differences(before, after map[string]string) int {
	count := 0
	for name, version := range before {
		if after[name] != version {
			count++
		}
	}
	return count
}

// hubCount are calls of the controller manager to the hub: all about tokens and Secrets of sets,
// and writes of these Secrets.
type hubCount struct{ about, writes int }

// calls counts those of the controller manager to the hub, and those to the members but for the
// lists that sweeps and scores are made of.
func (f *fleet) calls(t *testing.T, members []*testenv.Cluster) (hub hubCount, onMembers int) {
	t.Helper()
	f.hub.EachAuditEvent(t, func(event *auditv1.Event) {
		done := event.Stage == auditv1.StageResponseComplete && event.User.Username == managerUser
		if !done || event.ObjectRef == nil || event.ObjectRef.Namespace != team || event.Verb == "list" || event.Verb == "watch" {
			return
		}
		switch {
		case event.ObjectRef.Resource == "secrets":
			hub.about++
			if event.Verb == "create" || event.Verb == "update" {
				hub.writes++
			}
		case event.ObjectRef.Subresource == "token":
			hub.about++
		}
	})
	for _, member := range members {
		member.EachAuditEvent(t, func(event *auditv1.Event) {
			done := event.Stage == auditv1.StageResponseComplete && event.User.Username == memberUser
			// The health controller asks about its rights, however many credentials there are.
			if done && event.ObjectRef != nil && event.Verb != "list" && event.ObjectRef.Resource != "selfsubjectaccessreviews" {
				onMembers++
			}
		})
	}
	return hub, onMembers
}
