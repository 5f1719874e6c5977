// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/test/testenv"
)

const (
	// hopelessSets are those whose author may have no token, of hopelessClusters each.
	hopelessSets     = 50
	hopelessClusters = 200
	// hopelessChanges is how often one of them changes, in a second: each time all of its credentials
	// are due, which are far more than can be looked at.
	hopelessChanges = 10
	realSet         = "real"
	// writtenPoll is how often it is looked whether a credential was written.
	writtenPoll = 5 * time.Millisecond
)

// sets are a hub with sets that may have nothing, and one that may.
type sets struct {
	ours  versioned.Interface
	kube  kubernetes.Interface
	admin *client
}

// measureHostileSets compares how long it takes until a credential is written that is due, while
// those of sets which may have nothing are all due, with the same while none of these is.
func measureHostileSets(ctx context.Context, s settings, env *environment) ([]comparison, error) {
	s.progress("hostile sets: starting a hub, a member and both programs, with %d sets of %d clusters", hopelessSets, hopelessClusters)
	hub, _, err := env.startFleet(ctx)
	if err != nil {
		return nil, err
	}
	if err := createNamespaces(ctx, hub, hostileNamespace); err != nil {
		return nil, err
	}
	if _, err := env.startManager(ctx, hub); err != nil {
		return nil, err
	}
	b := &sets{}
	if b.admin, err = newClient(hub.RESTConfig()); err != nil {
		return nil, err
	}
	if b.kube, err = kubernetes.NewForConfig(hub.RESTConfig()); err != nil {
		return nil, err
	}
	if b.ours, err = versioned.NewForConfig(hub.RESTConfig()); err != nil {
		return nil, err
	}
	if err := b.add(ctx, hub); err != nil {
		return nil, err
	}
	var touched atomic.Int64
	siege := &siege{pace: hopelessChanges, send: func(ctx context.Context) error {
		i := int(touched.Add(1))
		// This has all of its credentials looked at, whenever they were refused.
		return b.rotate(ctx, hostileNamespace, fmt.Sprintf("hopeless-%d", i%hopelessSets), i)
	}}
	var renewed atomic.Int64
	renew := func(ctx context.Context, _ int) error { return b.renew(ctx, int(renewed.Add(1))) }
	c, err := siege.beside(ctx, s, measurement{name: "renewal beside sets without rights", goal: goal{latencyAtMost: 2}}, renew)
	return []comparison{c}, err
}

// add makes the sets and what they are about, and waits until the real one has its credential.
func (b *sets) add(ctx context.Context, hub *testenv.Cluster) error {
	for _, namespace := range []string{homeNamespace, hostileNamespace} {
		if _, err := b.kube.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "clusterpass-credential-sets"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "clusterpass:credential-sets"},
			Subjects: []rbacv1.Subject{{
				Kind: rbacv1.ServiceAccountKind, Namespace: testenv.SystemNamespace, Name: "clusterpass-controller-manager",
			}},
		}, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	profiles, err := inventoryclient.NewForConfig(hub.RESTConfig())
	if err != nil {
		return err
	}
	for i := range hopelessClusters {
		profile := newProfile(1, i)
		profile.Namespace = hostileNamespace
		if _, err := profiles.ApisV1alpha1().ClusterProfiles(hostileNamespace).Create(ctx, profile, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	// The author may see the clusters and write the Secrets, and may have no token.
	if _, err := newUser(ctx, hub, hostileUser,
		rbacv1.PolicyRule{APIGroups: []string{inventoryv1alpha1.Group}, Resources: []string{"clusterprofiles"}, Verbs: []string{"get", "list"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create", "update"}},
		rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"clustercredentialsets"}, Verbs: []string{"create"}},
	); err != nil {
		return err
	}
	config, err := hub.UserConfig(hostileUser)
	if err != nil {
		return err
	}
	hostile, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	for i := range hopelessSets {
		set := newSet(fmt.Sprintf("hopeless-%d", i), v1alpha1.ClusterSelection{LabelSelector: &metav1.LabelSelector{}})
		if err := wait.PollUntilContextTimeout(ctx, settledPoll, firstMintTimeout, true, func(ctx context.Context) (bool, error) {
			_, err := hostile.ClusterpassV1alpha1().ClusterCredentialSets(hostileNamespace).Create(ctx, set, metav1.CreateOptions{})
			return err == nil, nil
		}); err != nil {
			return fmt.Errorf("making the sets of %s: %w", hostileUser, err)
		}
	}
	set := newSet(realSet, v1alpha1.ClusterSelection{Names: []string{memberName}})
	if _, err := b.ours.ClusterpassV1alpha1().ClusterCredentialSets(homeNamespace).Create(ctx, set, metav1.CreateOptions{}); err != nil {
		return err
	}
	return b.written(ctx, "", firstMintTimeout)
}

func newSet(name string, clusters v1alpha1.ClusterSelection) *v1alpha1.ClusterCredentialSet {
	return &v1alpha1.ClusterCredentialSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.ClusterCredentialSetSpec{
			Clusters: clusters,
			Template: v1alpha1.CredentialTemplate{
				ServiceAccountNamespace: homeNamespace, ClusterRoles: []multiclusterv1alpha1.ClusterRole{{Name: memberRole}},
			},
			Secret: v1alpha1.CredentialSecret{Name: name + "-{{.cluster.name}}", Format: v1alpha1.SecretFormatToken},
		},
	}
}

// rotate has all credentials of a set be due now, for the i-th time.
func (b *sets) rotate(ctx context.Context, namespace, set string, i int) error {
	path := fmt.Sprintf("/apis/%s/namespaces/%s/clustercredentialsets/%s", v1alpha1.SchemeGroupVersion, namespace, set)
	return b.admin.send(ctx, merge(path, `{"metadata":{"annotations":{%q:"%d"}}}`, v1alpha1.AnnotationRotate, i), io.Discard)
}

// renew has the real set's credential be due, and waits until it was written.
func (b *sets) renew(ctx context.Context, i int) error {
	if err := b.rotate(ctx, homeNamespace, realSet, i); err != nil {
		return err
	}
	return b.written(ctx, strconv.Itoa(i), seenTimeout)
}

// written waits until the real set's Secret was written for a value of the annotation by which it
// was asked for.
func (b *sets) written(ctx context.Context, value string, timeout time.Duration) error {
	return wait.PollUntilContextTimeout(ctx, writtenPoll, timeout, true, func(ctx context.Context) (bool, error) {
		secret, err := b.kube.CoreV1().Secrets(homeNamespace).Get(ctx, realSet+"-"+memberName, metav1.GetOptions{})
		return err == nil && secret.Annotations["clusterpass.dev/credential-rotate"] == value, nil
	})
}
