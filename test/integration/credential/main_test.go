// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package credential tests how people and programs log in to members: with upstream's access
// library and our plugin, and with kubectl and the contexts that our kubectl plugin writes, against
// a real hub and real members.
package credential

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/credential"
	"clusterpass.dev/test/testenv"
)

const (
	// consumer is a user of the hub who may have ClusterRole view on all members.
	consumer = "consumer"
	// crowd is another one, whose tokens are counted.
	crowd = "crowd"
	// seeker is one with the rights of consumer who may list the ClusterProfiles of namespace default.
	seeker = "seeker"
	// stranger is one who may have nothing.
	stranger = "stranger"
)

// shared is a hub with two members, joined in namespace default, and our programs.
var shared struct {
	testenv.Fleet
	// plugin is clusterpass-credential-plugin, kubectlPlugin is kubectl-clusterpass, and kubectl is
	// the real one.
	plugin, kubectlPlugin, kubectl string
}

func TestMain(m *testing.M) {
	shared.Main(m, testenv.FleetConfig{Members: 2, Audit: true, Server: &testenv.ServerConfig{}, Prepare: func(ctx context.Context) error {
		if err := build(ctx); err != nil {
			return err
		}
		// The hub knows of it by the time that its members are joined.
		return entitle(ctx)
	}})
}

// build builds our programs.
func build(ctx context.Context) (err error) {
	root, err := testenv.ModuleRoot()
	if err != nil {
		return err
	}
	if shared.kubectl, err = testenv.ToolPath("kubectl"); err != nil {
		return err
	}
	bin := filepath.Join(shared.Dir, "bin")
	shared.plugin = filepath.Join(bin, "clusterpass-credential-plugin")
	shared.kubectlPlugin = filepath.Join(bin, "kubectl-clusterpass")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin+"/",
		"./cmd/clusterpass-credential-plugin", "./cmd/kubectl-clusterpass")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building our programs: %w: %s", err, output)
	}
	return nil
}

// entitle gives the consumer and the crowd what docs/entitlement.md tells an operator to give for
// view on any cluster.
func entitle(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(shared.Hub.RESTConfig())
	if err != nil {
		return err
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: consumer}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"clusterpass.dev"}, Resources: []string{"authtokenrequests"}, Verbs: []string{"create"}},
		{APIGroups: []string{"multicluster.x-k8s.io"}, Resources: []string{"clusterprofiles/token"}, Verbs: []string{"create"}},
		{APIGroups: []string{"multicluster.x-k8s.io"}, Resources: []string{"clusterprofiles"}, Verbs: []string{"bind:view", "in:default"}},
	}}
	if _, err := client.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: consumer},
		Subjects:   []rbacv1.Subject{testenv.UserSubject(consumer), testenv.UserSubject(crowd), testenv.UserSubject(seeker)},
		RoleRef:    rbacv1.RoleRef{Kind: "ClusterRole", APIGroup: rbacv1.GroupName, Name: consumer},
	}, metav1.CreateOptions{}); err != nil {
		return err
	}
	look := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: seeker}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"multicluster.x-k8s.io"}, Resources: []string{"clusterprofiles"}, Verbs: []string{"list"}},
	}}
	if _, err := client.RbacV1().Roles("default").Create(ctx, look, metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err = client.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: seeker},
		Subjects:   []rbacv1.Subject{testenv.UserSubject(seeker)},
		RoleRef:    rbacv1.RoleRef{Kind: "Role", APIGroup: rbacv1.GroupName, Name: seeker},
	}, metav1.CreateOptions{})
	return err
}

// home is a user's home, with a kubeconfig for the hub, and the environment of programs that run
// there.
type home struct {
	dir, kubeconfig string
	env             []string
}

func newHome(t *testing.T, user string) home {
	t.Helper()
	dir := t.TempDir()
	h := home{dir: dir, kubeconfig: filepath.Join(dir, ".kube", "config")}
	content := testenv.Must[[]byte](t)(shared.Hub.ClientCertKubeconfig(user))
	require.NoError(t, os.MkdirAll(filepath.Dir(h.kubeconfig), 0o700))
	require.NoError(t, os.WriteFile(h.kubeconfig, content, 0o600))
	h.env = []string{"HOME=" + dir, "PATH=" + filepath.Dir(shared.kubectlPlugin) + ":" + filepath.Dir(shared.kubectl)}
	return h
}

// cached returns the files of the cache that hold tokens.
func (h home) cached(t *testing.T) []string {
	t.Helper()
	return testenv.Must[[]string](t)(filepath.Glob(filepath.Join(h.dir, ".cache", "clusterpass", "tokens", "*.json")))
}

// tokens returns the tokens in the cache.
func (h home) tokens(t *testing.T) []string {
	t.Helper()
	var tokens []string
	for _, path := range h.cached(t) {
		var entry struct{ Token string }
		require.NoError(t, json.Unmarshal(testenv.Must[[]byte](t)(os.ReadFile(path)), &entry))
		tokens = append(tokens, entry.Token)
	}
	return tokens
}

// files returns every file under the home.
func (h home) files(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(h.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	require.NoError(t, err)
	return files
}

// command returns a program that runs in the home until the test ends.
func (h home) command(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env, cmd.Dir = h.env, h.dir
	return cmd
}

// output runs a program that must succeed, and returns what it prints.
func (h home) output(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := h.command(t, program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	require.NoError(t, err, "%s: %s", strings.Join(cmd.Args, " "), &stderr)
	return string(output)
}

// clusterOf returns what the access provider of that name says of the cluster of a profile.
func clusterOf(t *testing.T, profile *inventoryv1alpha1.ClusterProfile, provider string) clientcmdv1.Cluster {
	t.Helper()
	all := profile.Status.AccessProviders
	i := slices.IndexFunc(all, func(p inventoryv1alpha1.AccessProvider) bool { return p.Name == provider })
	require.GreaterOrEqual(t, i, 0, "access provider %s of %s", provider, profile.Name)
	return all[i].Cluster
}

// runPlugin runs the plugin as client-go does for a cluster, and returns what it prints.
func runPlugin(t *testing.T, h home, cluster clientcmdv1.Cluster, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	to := map[string]any{"server": cluster.Server, "certificate-authority-data": cluster.CertificateAuthorityData}
	for _, extension := range cluster.Extensions {
		to["config"] = json.RawMessage(extension.Extension.Raw)
	}
	info := map[string]any{"apiVersion": v1, "kind": "ExecCredential", "spec": map[string]any{"interactive": false, "cluster": to}}
	cmd := h.command(t, shared.plugin, append([]string{"--kubeconfig=" + h.kubeconfig}, args...)...)
	cmd.Env = append(cmd.Env, credential.ExecInfoEnv+"="+string(testenv.Must[[]byte](t)(json.Marshal(info))))
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// mints returns how many tokens the hub has been asked for by user and has given.
func mints(t *testing.T, user string) int {
	t.Helper()
	count := 0
	shared.Hub.EachAuditEvent(t, func(event *auditv1.Event) {
		if event.User.Username == user && event.ObjectRef != nil && event.ObjectRef.Resource == "authtokenrequests" &&
			event.Stage == auditv1.StageResponseComplete && event.ResponseStatus.Code == 201 {
			count++
		}
	})
	return count
}
