// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package credentialset tests that ClusterCredentialSets keep credentials that work on real
// members, with the rights of their authors and no others.
package credentialset

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	clientv1alpha1 "clusterpass.dev/pkg/generated/clientset/versioned/typed/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

const (
	// team is where sets are, consumers where their Secrets are.
	team, consumers = "team", "consumers"
	// author may see all members, have ClusterRole view on them, keep sets in team, and write Secrets
	// in consumers.
	author = "kim"
)

// fleet is a hub with two members in namespace default, and with both programs.
type fleet struct {
	hub, bravelion, smartfish *testenv.Cluster
	manager                   *testenv.ControllerManager
	admin                     kubernetes.Interface
	profiles                  inventoryclient.ClusterProfileInterface
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{
		hub:       testenv.Start(t, testenv.Options{}),
		bravelion: testenv.Start(t, testenv.Options{Name: "bravelion"}),
		smartfish: testenv.Start(t, testenv.Options{Name: "smartfish"}),
	}
	testenv.StartServer(t, f.hub, testenv.ServerConfig{})
	f.profiles = f.hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
	f.admin = f.hub.Kube(t)
	f.join(t, f.bravelion, "bravelion")
	f.join(t, f.smartfish, "smartfish")
	f.createNamespaces(t, team, consumers)
	f.allowSecrets(t, consumers)
	f.entitle(t, author, "view")
	f.manager = testenv.StartControllerManager(t, f.hub, testenv.ControllerManagerConfig{Args: []string{"--v=2"}})
	return f
}

// join joins a member, and gives its profile the label name.
func (f *fleet) join(t *testing.T, member *testenv.Cluster, name string) {
	t.Helper()
	require.NoError(t, testenv.Join(t.Context(), f.hub, member, "default", name))
	f.label(t, name, name)
}

// label sets the label cluster of a profile.
func (f *fleet) label(t *testing.T, name, value string) {
	t.Helper()
	testenv.Patch(t, f.profiles, name, fmt.Sprintf(`{"metadata":{"labels":{"cluster":%q}}}`, value))
}

// allowSecrets is what the message of a set in another namespace asks for.
func (f *fleet) allowSecrets(t *testing.T, namespace string) {
	t.Helper()
	manager := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "clusterpass-controller-manager", Namespace: "clusterpass-system"}
	testenv.Bind(t, f.admin, namespace, "clusterpass-credential-sets", manager, "clusterpass:credential-sets")
}

func (f *fleet) createNamespaces(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		testenv.Create(t, f.admin.CoreV1().Namespaces(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
}

// entitle lets a user see all members, have ClusterRoles on them, edit sets in team, and write
// Secrets in consumers.
func (f *fleet) entitle(t *testing.T, user string, roles ...string) {
	t.Helper()
	verbs := []string{"get", "list", "in:default"}
	for _, role := range roles {
		verbs = append(verbs, "bind:"+role)
	}
	subject := testenv.UserSubject(user)
	testenv.Grant(t, f.admin, "", user, subject,
		rbacv1.PolicyRule{APIGroups: []string{"multicluster.x-k8s.io"}, Resources: []string{"clusterprofiles/token"}, Verbs: []string{"create"}},
		rbacv1.PolicyRule{APIGroups: []string{"multicluster.x-k8s.io"}, Resources: []string{"clusterprofiles"}, Verbs: verbs})
	testenv.Bind(t, f.admin, team, user, subject, "edit")
	testenv.Bind(t, f.admin, consumers, user, subject, "edit")
}

// setsOf returns a client for sets as a user.
func (f *fleet) setsOf(t *testing.T, user string) clientv1alpha1.ClusterCredentialSetInterface {
	t.Helper()
	return f.as(t, user).ClusterpassV1alpha1().ClusterCredentialSets(team)
}

// ours returns the admin's client for sets.
func (f *fleet) ours(t *testing.T) clientv1alpha1.ClusterCredentialSetInterface {
	t.Helper()
	return f.hub.Clusterpass(t).ClusterpassV1alpha1().ClusterCredentialSets(team)
}

// as returns a client for clusterpass's own API as a user.
func (f *fleet) as(t *testing.T, user string) versioned.Interface {
	t.Helper()
	return testenv.Clusterpass(t, f.hub.User(t, user))
}

// newSet returns a set of view on the clusters with the label cluster, in any of values.
func newSet(name string, values ...string) *v1alpha1.ClusterCredentialSet {
	return &v1alpha1.ClusterCredentialSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: name},
		Spec: v1alpha1.ClusterCredentialSetSpec{
			Clusters: v1alpha1.ClusterSelection{Namespace: "default", LabelSelector: &metav1.LabelSelector{
				MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "cluster", Operator: metav1.LabelSelectorOpIn, Values: values}},
			}},
			Template: v1alpha1.CredentialTemplate{ClusterRoles: []multiclusterv1alpha1.ClusterRole{{Name: "view"}}},
			Secret:   v1alpha1.CredentialSecret{Namespace: consumers, Labels: map[string]string{"for": name}},
		},
	}
}

// create makes a set as a user, until the test ends.
func (f *fleet) create(t *testing.T, user string, set *v1alpha1.ClusterCredentialSet) *v1alpha1.ClusterCredentialSet {
	t.Helper()
	created := testenv.Create(t, f.setsOf(t, user), set)
	t.Cleanup(func() { f.remove(t, created.Name) })
	return created
}

// createReady is create as the author, and returns the set once it is ready.
func (f *fleet) createReady(t *testing.T, set *v1alpha1.ClusterCredentialSet) *v1alpha1.ClusterCredentialSet {
	t.Helper()
	f.create(t, author, set)
	return f.until(t, set.Name, "Ready")
}

// store is what update uses of a typed client.
type store[T any] interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (T, error)
	Update(ctx context.Context, object T, options metav1.UpdateOptions) (T, error)
}

// update changes an object as it is stored: others write to it meanwhile.
func update[T any](t *testing.T, client store[T], name string, change func(object T)) (changed T) {
	t.Helper()
	require.NoError(t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		object, err := client.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(object)
		changed, err = client.Update(t.Context(), object, metav1.UpdateOptions{})
		return err
	}))
	return changed
}

// remove deletes a set and waits until it is gone.
func (f *fleet) remove(t *testing.T, name string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	sets := f.ours(t)
	_ = sets.Delete(ctx, name, metav1.DeleteOptions{}) // It may be gone.
	testenv.EventuallyIn(ctx, t, testenv.WaitTimeout, func(ctx context.Context) error {
		if _, err := sets.Get(ctx, name, metav1.GetOptions{}); err == nil {
			return fmt.Errorf("set %s is still there", name)
		}
		return nil
	})
}

// until waits until the condition Ready of a set has a reason and its generation, and returns the
// set.
func (f *fleet) until(t *testing.T, name, reason string) *v1alpha1.ClusterCredentialSet {
	t.Helper()
	return testenv.Await(t, f.setsOf(t, author), name, func(set *v1alpha1.ClusterCredentialSet) error {
		condition := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.CredentialSetReady)
		if condition == nil || condition.Reason != reason || condition.ObservedGeneration != set.Generation {
			return fmt.Errorf("the status is %+v, want reason %s", set.Status, reason)
		}
		return nil
	})
}

func (f *fleet) secret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	return testenv.Get(t, f.admin.CoreV1().Secrets(consumers), name)
}

// holder returns a client that uses the kubeconfig in a Secret.
func holder(t *testing.T, secret *corev1.Secret) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig(secret.Data["kubeconfig"])
	require.NoError(t, err)
	return testenv.Kube(t, config)
}
