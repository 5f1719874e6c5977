// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	certutil "k8s.io/client-go/util/cert"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/cluster-inventory-api/pkg/access"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/credential"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/testenv"
)

const (
	v1      = "client.authentication.k8s.io/v1"
	v1beta1 = "client.authentication.k8s.io/v1beta1"
)

// provide has the member's ClusterProfile say that it is reached through the hub, as account, and
// returns it.
func provide(t *testing.T, member *testenv.Cluster, account string) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	request := credential.Request{AuthTokenRequestSpec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    v1alpha1.ClusterProfileReference{Namespace: "default", Name: member.Name()},
		ServiceAccountName:      account,
		ServiceAccountNamespace: "default",
		ClusterRoles:            []v1alpha1.ClusterRole{{Name: "view"}},
	}}
	config := runtime.RawExtension{Raw: testenv.Must[[]byte](t)(json.Marshal(request))}
	provider := inventoryv1alpha1.AccessProvider{Name: credential.ProviderName, Cluster: clientcmdv1.Cluster{
		Server: member.Server(), CertificateAuthorityData: member.CA(),
		Extensions: []clientcmdv1.NamedExtension{{Name: credential.ExecExtension, Extension: config}},
	}}
	client := shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
	profile := testenv.Get(t, client, member.Name())
	same := func(p inventoryv1alpha1.AccessProvider) bool { return p.Name == provider.Name }
	profile.Status.AccessProviders = append(slices.DeleteFunc(profile.Status.AccessProviders, same), provider)
	return testenv.UpdateStatus(t, client, profile)
}

// library returns upstream's access library as a consumer configures it, by a file.
func library(t *testing.T, h home, apiVersion string, args ...string) *access.Config {
	t.Helper()
	return libraryFor(t, h, credential.ProviderName, apiVersion, args...)
}

// libraryFor is library for the access provider of that name.
func libraryFor(t *testing.T, h home, provider, apiVersion string, args ...string) *access.Config {
	t.Helper()
	env := []map[string]string{{"name": "HOME", "value": h.dir}}
	config := map[string]any{"providers": []any{map[string]any{
		"name": provider,
		"execConfig": map[string]any{
			"apiVersion": apiVersion, "command": shared.plugin, "args": append([]string{"--kubeconfig=" + h.kubeconfig}, args...),
			"env": env, "provideClusterInfo": true, "interactiveMode": "Never",
		},
	}}}
	path := filepath.Join(h.dir, "access.json")
	require.NoError(t, os.WriteFile(path, testenv.Must[[]byte](t)(json.Marshal(config)), 0o600))
	return testenv.Must[*access.Config](t)(access.NewFromFile(path))
}

// client returns a client for the cluster of a profile, built by upstream's library.
func client(t *testing.T, from *access.Config, profile *inventoryv1alpha1.ClusterProfile) kubernetes.Interface {
	t.Helper()
	config := testenv.Must[*rest.Config](t)(from.BuildConfigFromCP(profile))
	config.QPS = -1
	return testenv.Kube(t, config)
}

// identity asks the cluster of client who it is used by, and by which credential.
func identity(ctx context.Context, client kubernetes.Interface) (name, credentialID string, err error) {
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", "", err
	}
	user := review.Status.UserInfo
	return user.Username, strings.Join(user.Extra["authentication.kubernetes.io/credential-id"], ","), nil
}

// Upstream's access library reaches two members at once.
func TestPlugin_TwoMembers(t *testing.T) {
	members := []*testenv.Cluster{shared.Bravelion, shared.Smartfish}
	for _, apiVersion := range []string{v1, v1beta1} {
		t.Run(apiVersion, func(t *testing.T) {
			from := library(t, newHome(t, consumer), apiVersion)
			var reached sync.WaitGroup
			for _, member := range members {
				account := "access-" + member.Name()
				client := client(t, from, provide(t, member, account))
				reached.Go(func() {
					name, _, err := identity(t.Context(), client)
					assert.NoError(t, err, member.Name())
					assert.Equal(t, "system:serviceaccount:default:"+account, name)
					_, err = client.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
					assert.NoError(t, err, member.Name())
				})
			}
			reached.Wait()
		})
	}
}

// The flags of the consumer win over the ClusterProfile.
func TestPlugin_Flags(t *testing.T) {
	from := library(t, newHome(t, consumer), v1, "--service-account=chosen-by-consumer")
	name, _, err := identity(t.Context(), client(t, from, provide(t, shared.Bravelion, "chosen-by-profile")))
	require.NoError(t, err)
	assert.Equal(t, "system:serviceaccount:default:chosen-by-consumer", name)
}

// TestPlugin_Refresh has client-go run the plugin anew every few seconds, each time for a new
// token.
func TestPlugin_Refresh(t *testing.T) {
	from := library(t, newHome(t, consumer), v1, "--max-age=1s")
	client := client(t, from, provide(t, shared.Bravelion, "watching"))
	watching := testenv.Must[watch.Interface](t)(client.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{}))
	defer watching.Stop()
	var credentials []string
	for len(credentials) < 4 {
		var current string
		testenv.Eventually(t, func(ctx context.Context) error {
			_, id, err := identity(ctx, client)
			require.NoError(t, err, "after %d credentials", len(credentials))
			if current = id; len(credentials) > 0 && credentials[len(credentials)-1] == id {
				return errors.New("still the credential of before")
			}
			return nil
		})
		credentials = append(credentials, current)
		created := testenv.Must[*corev1.ConfigMap](t)(shared.Bravelion.Kube(t).CoreV1().ConfigMaps("default").
			Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "refresh-"}}, metav1.CreateOptions{}))
		awaitEvent(t, watching.ResultChan(), created.Name)
	}
	t.Logf("one watch, %d credentials: %v", len(credentials), credentials)
}

// awaitEvent waits until the watch tells of a ConfigMap of that name.
func awaitEvent(t *testing.T, events <-chan watch.Event, name string) {
	t.Helper()
	timeout := time.After(testenv.WaitTimeout)
	for {
		select {
		case event, open := <-events:
			require.True(t, open, "the watch has ended before %s", name)
			if object, ok := event.Object.(*corev1.ConfigMap); ok && object.Name == name {
				return
			}
		case <-timeout:
			require.Fail(t, "the watch does not tell of "+name)
		}
	}
}

// TestPlugin_RefusedToken takes a token's Secret away on the member, which ends the token, in the
// middle of its use.
func TestPlugin_RefusedToken(t *testing.T) {
	h := newHome(t, consumer)
	client := client(t, library(t, h, v1), provide(t, shared.Smartfish, "refused"))
	_, first, err := identity(t.Context(), client)
	require.NoError(t, err)
	secrets := shared.Smartfish.Kube(t).CoreV1().Secrets("default")
	for _, secret := range testenv.List(t, secrets, metav1.ListOptions{LabelSelector: grant.LabelManagedBy + "=" + grant.ManagedBy}).Items {
		require.NoError(t, secrets.Delete(t.Context(), secret.Name, metav1.DeleteOptions{}))
	}
	testenv.Eventually(t, func(ctx context.Context) error {
		_, second, err := identity(ctx, client)
		if err == nil && second == first {
			return errors.New("still the token of before")
		}
		return err
	})
}

// TestPlugin_HubDown asks until the hub has been asked in vain for the next token.
func TestPlugin_HubDown(t *testing.T) {
	h := newHome(t, consumer)
	client := client(t, library(t, h, v1, "--max-age=1s"), provide(t, shared.Bravelion, "patient"))
	_, first, err := identity(t.Context(), client)
	require.NoError(t, err)
	require.NoError(t, shared.Server.Kill())
	defer func() {
		require.NoError(t, errors.Join(shared.Server.Restart(t.Context()), shared.Server.Register(t.Context())))
	}()
	testenv.Eventually(t, func(ctx context.Context) error {
		_, id, err := identity(ctx, client)
		require.NoError(t, err, "with the hub down")
		require.Equal(t, first, id)
		if entry := testenv.Must[[]byte](t)(os.ReadFile(h.cached(t)[0])); !strings.Contains(string(entry), "retryAfter") {
			return errors.New("the hub was not asked yet")
		}
		return nil
	})
	_, id, err := identity(t.Context(), client)
	require.NoError(t, err, "after the hub was asked in vain")
	assert.Equal(t, first, id)
}

// The error for a user without rights names what is missing.
func TestPlugin_Forbidden(t *testing.T) {
	tests := []struct {
		name, user string
		args, want []string
	}{
		{"no rights at all", stranger, nil, []string{stranger, `create resource "authtokenrequests"`}},
		{"one role too many", consumer, []string{"--cluster-role=view,edit"}, []string{consumer, "bind:edit"}},
		{"another namespace", consumer, []string{"--service-account-namespace=secrets"}, []string{"in:secrets"}},
	}
	profile := provide(t, shared.Bravelion, "wrong-user")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHome(t, test.user)
			stdout, stderr, err := runPlugin(t, h, clusterOf(t, profile, credential.ProviderName), test.args...)
			require.Error(t, err)
			require.Empty(t, stdout)
			for _, want := range append(test.want, "forbidden", shared.Hub.Server(), "default/bravelion") {
				assert.Contains(t, stderr, want)
			}
			assert.Empty(t, h.cached(t))
		})
	}
}

// TestPlugin_UnknownServer plays a writer of profiles who wants tokens.
func TestPlugin_UnknownServer(t *testing.T) {
	var heard atomic.Int64
	thief := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { heard.Add(1) }))
	defer thief.Close()
	thiefCA := testenv.Must[[]byte](t)(certutil.EncodeCertificates(thief.Certificate()))
	profile := provide(t, shared.Bravelion, "wanted")
	tests := map[string]func(*clientcmdv1.Cluster){
		"another server with its own authority": func(c *clientcmdv1.Cluster) { c.Server, c.CertificateAuthorityData = thief.URL, thiefCA },
		"another server of the fleet": func(c *clientcmdv1.Cluster) {
			c.Server, c.CertificateAuthorityData = shared.Smartfish.Server(), shared.Smartfish.CA()
		},
		"another server": func(c *clientcmdv1.Cluster) { c.Server = thief.URL },
		"an authority besides the right one": func(c *clientcmdv1.Cluster) {
			c.CertificateAuthorityData = append(c.CertificateAuthorityData, thiefCA...)
		},
		"the authorities of the system":       func(c *clientcmdv1.Cluster) { c.CertificateAuthorityData = nil },
		"the right server with no encryption": func(c *clientcmdv1.Cluster) { c.Server = strings.Replace(c.Server, "https", "http", 1) },
	}
	h := newHome(t, consumer)
	for name, tamper := range tests {
		t.Run(name, func(t *testing.T) {
			tampered := profile.DeepCopy()
			for i := range tampered.Status.AccessProviders {
				if provider := &tampered.Status.AccessProviders[i]; provider.Name == credential.ProviderName {
					tamper(&provider.Cluster)
				}
			}
			_, _, err := identity(t.Context(), client(t, library(t, h, v1), tampered))
			assert.ErrorContains(t, err, "getting credentials", "the plugin refuses it")
			stdout, stderr, err := runPlugin(t, h, clusterOf(t, tampered, credential.ProviderName))
			assert.Error(t, err)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, "no token of cluster default/bravelion is handed out")
			assert.Contains(t, stderr, "the hub")
		})
	}
	assert.Zero(t, heard.Load(), "requests have reached the wrong server")
	_, _, err := identity(t.Context(), client(t, library(t, h, v1), profile))
	assert.NoError(t, err, "the profile as it was")
}
