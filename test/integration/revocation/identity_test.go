// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	"sigs.k8s.io/yaml"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

const (
	execProvider = "plugin"
	// oneServer is a namespace whose ClusterProfile is bound to one server, and anyServer one whose ClusterProfiles may lead to both.
	oneServer, anyServer = "one-server", "any-server"
)

// execHub is a hub that reaches both members by a credential plugin.
type execHub struct {
	*testenv.Cluster
	clusterpass *versioned.Clientset
	// editor is somebody who may edit the status of ClusterProfiles, and nothing else.
	editor inventory.Interface
}

// pluginFor writes a credential plugin that has a token for each member, and returns its path.
func pluginFor(t *testing.T, members ...*testenv.Cluster) string {
	t.Helper()
	dir := t.TempDir()
	var script strings.Builder
	script.WriteString("#!/bin/sh\ncase \"$KUBERNETES_EXEC_INFO\" in\n")
	for _, m := range members {
		token := must[*authenticationv1.TokenRequest](t)(kube(t, m).CoreV1().ServiceAccounts(testenv.SystemNamespace).CreateToken(t.Context(), "clusterpass", &authenticationv1.TokenRequest{}, metav1.CreateOptions{}))
		credential, err := json.Marshal(clientauthenticationv1.ExecCredential{
			TypeMeta: metav1.TypeMeta{APIVersion: clientauthenticationv1.SchemeGroupVersion.String(), Kind: "ExecCredential"},
			Status:   &clientauthenticationv1.ExecCredentialStatus{Token: token.Status.Token},
		})
		require.NoError(t, err)
		file := filepath.Join(dir, m.Name()+".json")
		require.NoError(t, os.WriteFile(file, credential, 0o600))
		fmt.Fprintf(&script, "*'%s'*) cat '%s' ;;\n", m.Server(), file)
	}
	script.WriteString("esac\n")
	plugin := filepath.Join(dir, "plugin.sh")
	require.NoError(t, os.WriteFile(plugin, []byte(script.String()), 0o700))
	return plugin
}

func newExecHub(t *testing.T) *execHub {
	t.Helper()
	a, b := shared.bravelion, shared.smartfish
	config := configv1alpha1.AccessConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: configv1alpha1.SchemeGroupVersion.String(), Kind: "AccessConfiguration"},
		Providers: []configv1alpha1.AccessProvider{{Name: execProvider, Exec: &configv1alpha1.ExecProvider{
			APIVersion: clientauthenticationv1.SchemeGroupVersion.String(), Command: pluginFor(t, a, b), ProvideClusterInfo: true,
			Servers:                  []string{a.Server(), b.Server()},
			CertificateAuthorityData: bytes.Join([][]byte{a.CA(), b.CA()}, []byte("\n")),
			Bindings: []configv1alpha1.ExecBinding{
				{Servers: []string{a.Server()}, Profiles: []configv1alpha1.ProfileReference{{Namespace: oneServer, Name: "bravelion"}}},
				{Namespaces: []string{anyServer}},
			},
		}}},
	}
	encoded, err := yaml.Marshal(config)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "access.yaml")
	require.NoError(t, os.WriteFile(file, encoded, 0o600))

	h := &execHub{Cluster: testenv.Start(t, testenv.Options{Name: "exec-hub"})}
	testenv.StartServer(t, h.Cluster, testenv.ServerConfig{Args: []string{"--access-config=" + file}})
	testenv.StartControllerManager(t, h.Cluster, testenv.ControllerManagerConfig{Args: []string{"--access-config=" + file, "--cluster-manager-name=nobody"}})
	h.clusterpass = must[*versioned.Clientset](t)(versioned.NewForConfig(h.RESTConfig()))
	admin := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(h.RESTConfig()))
	for _, namespace := range []string{oneServer, anyServer} {
		must[*corev1.Namespace](t)(admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}))
		must[*rbacv1.Role](t)(admin.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Name: "status-editor"},
			Rules: []rbacv1.PolicyRule{
				{APIGroups: []string{inventoryv1alpha1.Group}, Resources: []string{"clusterprofiles"}, Verbs: []string{"get"}},
				{APIGroups: []string{inventoryv1alpha1.Group}, Resources: []string{"clusterprofiles/status"}, Verbs: []string{"update"}},
			},
		}, metav1.CreateOptions{}))
		must[*rbacv1.RoleBinding](t)(admin.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "status-editor"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "status-editor"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "mallory"}},
		}, metav1.CreateOptions{}))
		profiles := must[*inventory.Clientset](t)(inventory.NewForConfig(h.RESTConfig())).ApisV1alpha1().ClusterProfiles(namespace)
		must[*inventoryv1alpha1.ClusterProfile](t)(profiles.Create(t.Context(), &inventoryv1alpha1.ClusterProfile{
			ObjectMeta: metav1.ObjectMeta{Name: "bravelion", Labels: map[string]string{inventoryv1alpha1.LabelClusterManagerKey: "platform"}},
			Spec:       inventoryv1alpha1.ClusterProfileSpec{ClusterManager: inventoryv1alpha1.ClusterManager{Name: "platform"}},
		}, metav1.CreateOptions{}))
	}
	mallory, err := h.UserConfig("mallory")
	require.NoError(t, err)
	h.editor = must[*inventory.Clientset](t)(inventory.NewForConfig(mallory))
	return h
}

// lead has the ClusterProfile of a namespace lead to a member, by somebody who may edit its status.
func (h *execHub) lead(t *testing.T, namespace string, to *testenv.Cluster) {
	t.Helper()
	eventually(t, func(ctx context.Context) error { // the hub's authoriser may not know of the Role yet
		profiles := h.editor.ApisV1alpha1().ClusterProfiles(namespace)
		profile, err := profiles.Get(ctx, "bravelion", metav1.GetOptions{})
		if err != nil {
			return err
		}
		profile.Status.AccessProviders = []inventoryv1alpha1.AccessProvider{{Name: execProvider, Cluster: clientcmdv1.Cluster{
			Server: to.Server(), CertificateAuthorityData: to.CA(),
		}}}
		_, err = profiles.UpdateStatus(ctx, profile, metav1.UpdateOptions{})
		return err
	})
}

func (h *execHub) ask(ctx context.Context, namespace, account string, options metav1.CreateOptions) (*v1alpha1.AuthTokenRequest, error) {
	return h.clusterpass.MulticlusterV1alpha1().AuthTokenRequests(namespace).Create(ctx, &v1alpha1.AuthTokenRequest{Spec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    v1alpha1.ClusterProfileReference{Name: "bravelion"},
		ServiceAccountNamespace: "default", ServiceAccountName: account,
		ClusterRoles: []v1alpha1.ClusterRole{{Name: "view"}},
	}}, options)
}

// TestMemberIdentity has somebody lead a ClusterProfile to another member that the same credential plugin is for.
func TestMemberIdentity(t *testing.T) {
	h := newExecHub(t)
	onSmartfish := func() []string {
		t.Helper()
		var names []string
		for _, account := range must[*corev1.ServiceAccountList](t)(kube(t, shared.smartfish).CoreV1().ServiceAccounts("default").List(t.Context(), metav1.ListOptions{})).Items {
			names = append(names, account.Name)
		}
		return names
	}
	before := onSmartfish()
	grantOf := func(answer *v1alpha1.AuthTokenRequest) *clusterpassv1alpha1.AuthTokenGrant {
		t.Helper()
		return must[*clusterpassv1alpha1.AuthTokenGrant](t)(h.clusterpass.ClusterpassV1alpha1().AuthTokenGrants(answer.Namespace).Get(t.Context(), answer.Status.GrantName, metav1.GetOptions{}))
	}
	minted := func(namespace, account string) *v1alpha1.AuthTokenRequest {
		t.Helper()
		var answer *v1alpha1.AuthTokenRequest
		eventually(t, func(ctx context.Context) (err error) {
			answer, err = h.ask(ctx, namespace, account, metav1.CreateOptions{})
			return err
		})
		shared.tokens = append(shared.tokens, answer.Status.Token)
		return answer
	}

	t.Run("a server that the ClusterProfile is not bound to", func(t *testing.T) {
		h.lead(t, oneServer, shared.bravelion)
		minted(oneServer, "bound")
		h.lead(t, oneServer, shared.smartfish)
		for _, options := range []metav1.CreateOptions{{}, {DryRun: []string{metav1.DryRunAll}}} {
			eventually(t, func(ctx context.Context) error {
				_, err := h.ask(ctx, oneServer, "bound", options)
				if !apierrors.IsServiceUnavailable(err) {
					return fmt.Errorf("got %w, want 503", err)
				}
				require.ErrorContains(t, err, "binds the ClusterProfile to no server "+shared.smartfish.Server())
				return nil
			})
		}
		assert.Equal(t, before, onSmartfish())
	})

	h.lead(t, anyServer, shared.bravelion)
	answer := minted(anyServer, "identified")
	system := must[*corev1.Namespace](t)(kube(t, shared.bravelion).CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceSystem, metav1.GetOptions{}))
	require.Equal(t, system.UID, grantOf(answer).Status.MemberUID)

	t.Run("another cluster than that of the grant", func(t *testing.T) {
		h.lead(t, anyServer, shared.smartfish)
		eventually(t, func(ctx context.Context) error {
			_, err := h.ask(ctx, anyServer, "identified", metav1.CreateOptions{})
			if !apierrors.HasStatusCause(err, member.CauseIdentity) {
				return fmt.Errorf("got %w, want the cause %s", err, member.CauseIdentity)
			}
			require.True(t, apierrors.IsConflict(err), err)
			require.ErrorContains(t, err, "leads to another cluster than the one that has the grant")
			return nil
		})
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := h.ask(cancelled, anyServer, "another", metav1.CreateOptions{})
		require.Error(t, err)
		assert.Equal(t, before, onSmartfish(), "nothing is made there")
	})
	t.Run("the grant is revoked on its own cluster all the same", func(t *testing.T) {
		grants := h.clusterpass.ClusterpassV1alpha1().AuthTokenGrants(anyServer)
		accounts := kube(t, shared.bravelion).CoreV1().ServiceAccounts("default")
		must[*corev1.ServiceAccount](t)(accounts.Get(t.Context(), "identified", metav1.GetOptions{}))
		require.NoError(t, grants.Delete(t.Context(), answer.Status.GrantName, metav1.DeleteOptions{}))
		eventually(t, func(ctx context.Context) error {
			_, err := grants.Get(ctx, answer.Status.GrantName, metav1.GetOptions{})
			if !apierrors.IsNotFound(err) {
				return fmt.Errorf("the grant is still there: %w", err)
			}
			return nil
		})
		_, err := accounts.Get(t.Context(), "identified", metav1.GetOptions{})
		require.True(t, apierrors.IsNotFound(err), err)
		assert.Equal(t, before, onSmartfish())
	})
	t.Run("a ClusterProfile that leads to its cluster again", func(t *testing.T) {
		h.lead(t, anyServer, shared.bravelion)
		minted(anyServer, "again")
		h.lead(t, oneServer, shared.bravelion)
		minted(oneServer, "bound")
	})
}
