// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/events"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryfake "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"
	inventorylisters "sigs.k8s.io/cluster-inventory-api/client/listers/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	ours "clusterpass.dev/pkg/generated/clientset/versioned/fake"
	"clusterpass.dev/pkg/member"
)

func TestController_Grace(t *testing.T) {
	profile := newProfile("fleet", "bravelion")
	byDecision := decidedBy("controller")
	bounded := byDecision
	bounded.Names = []string{"smartfish"}
	h := newHub(t)
	grace := func(clusters v1alpha1.ClusterSelection, profile *inventoryv1alpha1.ClusterProfile) time.Duration {
		grace, err := h.grace(setOf(clusters), profile)
		require.NoError(t, err)
		return grace
	}
	t.Run("a cluster that decisions do not name any more is kept for a minute", func(t *testing.T) {
		assert.Equal(t, decisionGrace, grace(byDecision, profile))
		h.clock.Step(decisionGrace - time.Second)
		assert.Equal(t, time.Second, grace(byDecision, profile))
		h.clock.Step(time.Second)
		assert.Zero(t, grace(byDecision, profile))
	})
	t.Run("one that they have named in between, for a minute from then on", func(t *testing.T) {
		h.markSelected(setOf(byDecision), profilesByName{"bravelion": profile})
		assert.Equal(t, decisionGrace, grace(byDecision, profile))
	})
	t.Run("what a set itself leaves out goes at once", func(t *testing.T) {
		for _, clusters := range []v1alpha1.ClusterSelection{bounded, naming("smartfish"), all} {
			assert.Zero(t, grace(clusters, profile))
		}
	})
	t.Run("what leaves the hub goes at once", func(t *testing.T) {
		h.Members = marks{cached: &member.Leaving{}}
		assert.Zero(t, grace(byDecision, profile))
		h.Members = marks{}
		deleted := profile.DeepCopy()
		deleted.DeletionTimestamp = &metav1.Time{}
		assert.Zero(t, grace(byDecision, deleted))
	})
}

func TestController_Remove(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "set-bravelion"}}
	g := &v1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "grant"}}
	of := func(grants ...*v1alpha1.AuthTokenGrant) leftover {
		return leftover{secrets: []*corev1.Secret{secret}, grants: grants}
	}
	for name, test := range map[string]struct {
		of    leftover
		stays time.Duration
	}{
		"Secret and grant are kept for a minute, and go together": {of(g), decisionGrace},
		"a Secret without a grant goes at once":                   {of(), 0},
	} {
		t.Run(name, func(t *testing.T) {
			h, set := newHub(t), setOf(decidedBy("controller"))
			kube, client := fake.NewClientset(secret), ours.NewClientset(g)
			h.Hub, h.Client = kube, client
			stays, err := h.remove(t.Context(), set, "bravelion", test.of, true)
			require.NoError(t, err)
			assert.Equal(t, test.stays, stays)
			if stays > 0 {
				assert.Empty(t, kube.Actions())
				assert.Empty(t, client.Actions())
				h.clock.Step(stays)
				stays, err = h.remove(t.Context(), set, "bravelion", test.of, true)
				require.NoError(t, err)
				assert.Zero(t, stays)
			}
			assert.Len(t, kube.Actions(), 1)
			assert.Len(t, client.Actions(), len(test.of.grants))
			assert.Empty(t, h.records)
		})
	}
}

func TestController_Removable(t *testing.T) {
	profile := newProfile("default", "bravelion")
	set := &v1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "set"}}
	leaving := &member.Leaving{}
	for name, test := range map[string]struct {
		marks
		removable bool
		words     string
	}{
		"what is not selected is left":                          {removable: true},
		"a member that leaves is left":                          {marks: marks{leaving, leaving}, removable: true},
		"one that stays after all is not, if a cache is behind": {marks: marks{cached: leaving}, words: "default/bravelion stays after all"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Controller{
				Options:  Options{Inventory: inventoryfake.NewSimpleClientset(profile), Members: test.marks},
				profiles: inventorylisters.NewClusterProfileLister(newIndexer(t, profile)),
			}
			removable, _, err := c.removable(t.Context(), set, "bravelion")
			assert.Equal(t, test.removable, removable)
			if test.words != "" {
				require.ErrorContains(t, err, test.words)
				return
			}
			require.NoError(t, err)
		})
	}
}

func TestController_RecordRemains(t *testing.T) {
	set := &v1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "set", UID: "set-1"}}
	set.Spec.Secret.Namespace = "consumers"
	written := set.DeepCopy()
	written.Status.Credentials = []v1alpha1.CredentialStatus{{SecretName: "set-a", GrantName: "a"}, {SecretName: "never"}}
	const secrets = "Warning SecretsLeft the controller manager may not delete Secrets in namespace consumers. Their tokens end. " +
		"To delete what is left: kubectl -n consumers delete secrets --selector=clusterpass.dev/credential-set-uid=set-1. They are: set-a"
	const kueue = "Warning KueueObjectsLeft the controller manager may not delete objects of Kueue. To delete what is left: " +
		"kubectl delete admissionchecks,multikueueconfigs,multikueueclusters --selector=clusterpass.dev/credential-set-uid=set-1"
	for name, test := range map[string]struct {
		set            *v1alpha1.ClusterCredentialSet
		secrets, kueue bool
		want           []string
	}{
		"nothing is left":                  {set: written},
		"Secrets, by their names":          {set: written, secrets: true, want: []string{secrets}},
		"no Secret that was never written": {set: set, secrets: true},
		"objects of Kueue":                 {set: set, kueue: true, want: []string{kueue}},
		"both":                             {set: written, secrets: true, kueue: true, want: []string{secrets, kueue}},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(2)
			(&Controller{Options: Options{Recorder: recorder}}).recordRemains(test.set, test.secrets, test.kueue)
			close(recorder.Events)
			var got []string
			for event := range recorder.Events {
				got = append(got, event)
			}
			assert.Equal(t, test.want, got)
		})
	}
}
