// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryfake "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"
	inventorylisters "sigs.k8s.io/cluster-inventory-api/client/listers/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member"
)

// marks says of every member whether it is leaving, by the cache and by what is stored.
type marks struct{ cached, stored *member.Leaving }

func (m marks) CachedLeaving(*inventoryv1alpha1.ClusterProfile) *member.Leaving { return m.cached }

func (m marks) StoredLeaving(context.Context, *inventoryv1alpha1.ClusterProfile) *member.Leaving {
	return m.stored
}

func TestController_Removable(t *testing.T) {
	profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "bravelion", ResourceVersion: "1"}}
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
			indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
			require.NoError(t, indexer.Add(profile))
			c := &Controller{
				Options:  Options{Inventory: inventoryfake.NewSimpleClientset(profile), Members: test.marks},
				profiles: inventorylisters.NewClusterProfileLister(indexer),
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
	const secrets = "Warning SecretsLeft the controller manager may not delete Secrets in namespace consumers. Their tokens end. To delete what is left: " +
		"kubectl -n consumers delete secrets --selector=clusterpass.dev/credential-set-uid=set-1. They are: set-a"
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
