// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

const (
	// pluginProvider is the access provider that has a credential for both members.
	pluginProvider = "fleet-plugin"
	// boundNamespace has a ClusterProfile that is bound to bravelion, and trustingNamespace is bound
	// to both members.
	boundNamespace, boundProfile = "exec-bound", "bound"
	trustingNamespace            = "exec-trusting"
)

// accessConfig writes an AccessConfiguration with a credential plugin, and the plugin, into dir.
// The plugin shows what is in the file that has the port of the server as its name.
func accessConfig(dir string) (file string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	plugin := filepath.Join(dir, "plugin")
	script := fmt.Sprintf(`#!/bin/sh
port=$(printf %%s "$KUBERNETES_EXEC_INFO" | sed 's/.*"server":"https:..127.0.0.1:\([0-9]*\)".*/\1/')
exec cat %q/"$port".json
`, dir)
	if err := os.WriteFile(plugin, []byte(script), 0o700); err != nil {
		return "", err
	}
	servers := []string{shared.Bravelion.Server(), shared.Smartfish.Server()}
	config := &configv1alpha1.AccessConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: configv1alpha1.SchemeGroupVersion.String(), Kind: "AccessConfiguration"},
		Providers: []configv1alpha1.AccessProvider{
			{Name: configv1alpha1.DefaultProviderName, KubeconfigSecret: &configv1alpha1.KubeconfigSecretProvider{}},
			{Name: pluginProvider, Exec: &configv1alpha1.ExecProvider{
				Command: plugin, ProvideClusterInfo: true, Servers: servers,
				CertificateAuthorityData: slices.Concat(shared.Bravelion.CA(), shared.Smartfish.CA()),
				Bindings: []configv1alpha1.ExecBinding{
					{Servers: servers[:1], Profiles: []configv1alpha1.ProfileReference{{Namespace: boundNamespace, Name: boundProfile}}},
					{Namespaces: []string{trustingNamespace}},
				},
			}},
		},
	}
	data, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "access.yaml")
	return file, os.WriteFile(file, data, 0o600)
}

// fillPlugin gives the plugin a token for each member, of the account that clusterpass is there.
func fillPlugin(t *testing.T) {
	t.Helper()
	for _, cluster := range []*testenv.Cluster{shared.Bravelion, shared.Smartfish} {
		accounts := cluster.Kube(t).CoreV1().ServiceAccounts(testenv.SystemNamespace)
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(3600))}}
		token, err := accounts.CreateToken(t.Context(), "clusterpass", request, metav1.CreateOptions{})
		require.NoError(t, err)
		data := testenv.Must[[]byte](t)(json.Marshal(clientauthenticationv1.ExecCredential{
			TypeMeta: metav1.TypeMeta{APIVersion: clientauthenticationv1.SchemeGroupVersion.String(), Kind: "ExecCredential"},
			Status:   &clientauthenticationv1.ExecCredentialStatus{Token: token.Status.Token},
		}))
		shared.tokens = append(shared.tokens, token.Status.Token)
		server := testenv.Must[*url.URL](t)(url.Parse(cluster.Server()))
		require.NoError(t, os.WriteFile(filepath.Join(shared.Dir, "plugin", server.Port()+".json"), data, 0o600))
	}
}

// execFixture is a ClusterProfile that is reached by the plugin, and somebody who may edit its
// status and nothing else.
type execFixture struct {
	namespace, name string
	editor          inventoryclient.ClusterProfileInterface
}

func newExecFixture(t *testing.T, namespace, name string) *execFixture {
	t.Helper()
	newNamespace(t, namespace)
	fillPlugin(t)
	admin := shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles(namespace)
	testenv.Create(t, admin, testenv.NewProfile(name, "test"))
	t.Cleanup(func() {
		assert.NoError(t, admin.Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}))
	})
	user := "editor-of-" + namespace
	testenv.Grant(t, shared.Hub.Kube(t), namespace, user, testenv.UserSubject(user),
		rbacv1.PolicyRule{APIGroups: []string{inventoryv1alpha1.Group}, Resources: []string{"clusterprofiles/status"}, Verbs: []string{"patch"}})
	config := shared.Hub.User(t, user)
	f := &execFixture{namespace: namespace, name: name, editor: testenv.Inventory(t, config).ApisV1alpha1().ClusterProfiles(namespace)}
	f.lead(t, shared.Bravelion)
	return f
}

// lead has the status editor point the profile at a cluster.
func (f *execFixture) lead(t *testing.T, to *testenv.Cluster) {
	t.Helper()
	provider := inventoryv1alpha1.AccessProvider{Name: pluginProvider, Cluster: clientcmdv1.Cluster{
		Server: to.Server(), CertificateAuthorityData: to.CA(),
		Extensions: []clientcmdv1.NamedExtension{{Name: "client.authentication.k8s.io/exec", Extension: runtime.RawExtension{Raw: []byte(`{}`)}}},
	}}
	patch := testenv.Must[[]byte](t)(json.Marshal(map[string]any{"status": map[string]any{"accessProviders": []any{provider}}}))
	testenv.Patch(t, f.editor, f.name, string(patch), "status")
}

// refused waits until a request is refused, and returns how.
func (f *execFixture) refused(t *testing.T, account string, dryRun ...string) error {
	t.Helper()
	var refusal error
	testenv.Eventually(t, func(ctx context.Context) error {
		request := requestFor(f.name, account)
		request.Spec.TargetClusterProfile.Namespace = f.namespace
		requests := shared.Hub.Clusterpass(t).MulticlusterV1alpha1().AuthTokenRequests("default")
		_, refusal = requests.Create(ctx, request, metav1.CreateOptions{DryRun: dryRun})
		if refusal == nil {
			return errors.New("it is answered: the server has not seen the edit yet")
		}
		return nil
	})
	return refusal
}

// nothingOn returns an error where a cluster has anything of a grant, or an account of its name.
func nothingOn(t *testing.T, cluster *testenv.Cluster, g granted) error {
	t.Helper()
	for o := range everything(t, cluster) {
		if strings.Contains(o, string(g.UID)) || strings.Contains(o, "/"+g.Spec.ServiceAccount.Name+" ") {
			return fmt.Errorf("%s has %s", cluster.Name(), o)
		}
	}
	return nil
}

// TestExec_BoundProfile is about a ClusterProfile that the configuration binds to one of the
// plugin's servers.
func TestExec_BoundProfile(t *testing.T) {
	f := newExecFixture(t, boundNamespace, boundProfile)
	g := mint(t, "default", f.name, "exec-bound", of(f.namespace))
	f.lead(t, shared.Smartfish)
	for _, dryRun := range [][]string{nil, {metav1.DryRunAll}} {
		err := f.refused(t, "exec-bound", dryRun...)
		assert.True(t, apierrors.IsServiceUnavailable(err), "%v", err)
		assert.True(t, apierrors.HasStatusCause(err, member.CauseNoAccess), "%v", err)
		assert.ErrorContains(t, err, "binds the ClusterProfile to no server "+shared.Smartfish.Server())
	}
	err := f.refused(t, "exec-bound-new")
	assert.True(t, apierrors.IsServiceUnavailable(err), "%v", err)
	assert.NoError(t, g.use(t.Context()), "the token on bravelion")
	deleteGrant(t, g)
	untilGone(t, g)
	untilUnauthorized(t, g)
	assert.NoError(t, errors.Join(nothingOn(t, shared.Smartfish, g), nothingOn(t, shared.Bravelion, g)))
}

// TestExec_ProfileToSeveral is about one that may lead to either member: what was granted is on the
// cluster that says to be the one of the grant, and nowhere else.
func TestExec_ProfileToSeveral(t *testing.T) {
	f := newExecFixture(t, trustingNamespace, "trusting")
	g := mint(t, "default", f.name, "exec-trusting", of(f.namespace))
	old := mint(t, "default", f.name, "exec-trusting-old", of(f.namespace))
	system := testenv.Get(t, shared.Bravelion.Kube(t).CoreV1().Namespaces(), metav1.NamespaceSystem)
	require.Equal(t, system.UID, g.Status.MemberUID)
	// As if the access had never been noted.
	testenv.Patch(t, grants(t, "default"), old.Name, `{"status":{"accessProvider":null}}`, "status")

	f.lead(t, shared.Smartfish)
	for _, account := range []string{"exec-trusting", "exec-trusting-old"} {
		err := f.refused(t, account)
		assert.True(t, apierrors.IsConflict(err), "%v", err)
		assert.True(t, apierrors.HasStatusCause(err, member.CauseIdentity), "%v", err)
		assert.ErrorContains(t, err, string(system.UID))
	}

	t.Run("a grant that has noted its access is revoked on its cluster", func(t *testing.T) {
		deleteGrant(t, g)
		untilGone(t, g)
		untilUnauthorized(t, g)
		assert.NoError(t, errors.Join(nothingOn(t, shared.Smartfish, g), nothingOn(t, shared.Bravelion, g)))
	})
	t.Run("a grant that has not is kept, until the profile leads to its cluster again", func(t *testing.T) {
		deleteGrant(t, old)
		untilHeldUp(t, old, clusterpassv1alpha1.GrantReasonOtherMember, "")
		assert.NoError(t, errors.Join(old.use(t.Context()), nothingOn(t, shared.Smartfish, old)))
		f.lead(t, shared.Bravelion)
		restored := time.Now()
		t.Logf("revoked %s after the profile led to its cluster again", untilGone(t, old).Sub(restored).Round(time.Second))
		untilUnauthorized(t, old)
		assert.NoError(t, nothingOn(t, shared.Bravelion, old))
	})
}
