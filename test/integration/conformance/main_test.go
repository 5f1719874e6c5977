// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package conformance runs the suite of test/conformance, as anyone does, against a hub of ours
// with real members, and against hubs that have upstream's CRDs alone.
package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/test/testenv"
)

const (
	// observer is a user of the hub who may list and watch what the suite looks at, and no more.
	observer = "observer"
	// consumer is a user who may have ClusterRole view on all members.
	consumer = "consumer"

	passed        = "passed"
	skipped       = "skipped"
	unknown       = "unknown"
	notConformant = "not conformant"
)

var (
	// shared is a hub with two members, joined in namespace default, and both programs.
	shared testenv.Fleet
	// bin has the suite, and the credential plugin.
	bin string
)

func TestMain(m *testing.M) {
	manager := &testenv.ControllerManagerConfig{Args: []string{"--member-probe-period=2s", "--cluster-profile-write-interval=4s"}}
	shared.Main(m, testenv.FleetConfig{
		Members: 2, Audit: true, Server: &testenv.ServerConfig{}, Manager: manager,
		Prepare: func(ctx context.Context) error { return errors.Join(build(ctx), entitle(ctx, shared.Hub)) },
	})
}

// build builds the suite in its own module, and the plugin.
func build(ctx context.Context) error {
	root, err := testenv.ModuleRoot()
	if err != nil {
		return err
	}
	bin = filepath.Join(shared.Dir, "bin")
	for folder, of := range map[string]string{root: "./cmd/clusterpass-credential-plugin", filepath.Join(root, "test", "conformance"): "."} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin+"/", of)
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s in %s: %w: %s", of, folder, err, output)
		}
	}
	return nil
}

// entitle gives the users their rights on a hub.
func entitle(ctx context.Context, hub *testenv.Cluster) error {
	client, err := kubernetes.NewForConfig(hub.RESTConfig())
	if err != nil {
		return err
	}
	const inventory = "multicluster.x-k8s.io"
	for user, rules := range map[string][]rbacv1.PolicyRule{
		observer: {
			{APIGroups: []string{inventory}, Resources: []string{"clusterprofiles", "placementdecisions"}, Verbs: []string{"list", "watch"}},
		},
		consumer: {
			{APIGroups: []string{"clusterpass.dev"}, Resources: []string{"authtokenrequests"}, Verbs: []string{"create"}},
			{APIGroups: []string{inventory}, Resources: []string{"clusterprofiles/token"}, Verbs: []string{"create"}},
			{APIGroups: []string{inventory}, Resources: []string{"clusterprofiles"}, Verbs: []string{"bind:view", "in:default"}},
		},
	} {
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: rules}
		_, roleErr := client.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
		_, bindingErr := client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user}, Subjects: []rbacv1.Subject{testenv.UserSubject(user)},
			RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", APIGroup: rbacv1.GroupName, Name: user},
		}, metav1.CreateOptions{})
		if err := errors.Join(roleErr, bindingErr); err != nil {
			return err
		}
	}
	return nil
}

// kubeconfig returns a file with which a user reaches a hub.
func kubeconfig(t *testing.T, hub *testenv.Cluster, user string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), user)
	content := testenv.Must[[]byte](t)(hub.ClientCertKubeconfig(user))
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

// result is what a report says of a spec.
type result struct {
	ID                                  string
	Passed, Failed, Skipped, Conformant bool
	Message, Observed                   string
}

func (r result) outcome() string {
	switch {
	case r.Passed:
		return passed
	case r.Skipped:
		return skipped
	case r.Failed:
		return unknown
	default:
		return notConformant
	}
}

// report is what the suite has found: the results by their IDs, and what it has ended with.
type report struct {
	results map[string]result
	version string
	html    string
	exit    int
}

// run runs the suite as the observer of a hub.
func run(t *testing.T, hub *testenv.Cluster, args ...string) report {
	t.Helper()
	folder := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "conformance"),
		append([]string{"--kubeconfig=" + kubeconfig(t, hub, observer), "--report-dir=" + folder}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	output, err := cmd.CombinedOutput()
	t.Logf("%s", output)
	if _, exited := errors.AsType[*exec.ExitError](err); !exited {
		require.NoError(t, err)
	}
	var read struct {
		Groups         []struct{ Tests []result }
		Implementation struct{ Version string }
	}
	require.NoError(t, yaml.Unmarshal(testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(folder, "report.yaml"))), &read))
	found := report{results: map[string]result{}, version: read.Implementation.Version, exit: cmd.ProcessState.ExitCode()}
	for _, group := range read.Groups {
		for _, result := range group.Tests {
			found.results[result.ID] = result
		}
	}
	found.html = string(testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(folder, "report.html"))))
	require.NotEmpty(t, found.results)
	return found
}

// expect checks the outcome of each spec: that of want, which is a list of IDs by their outcome, or
// else passed.
func (r report) expect(t *testing.T, want map[string][]string) {
	t.Helper()
	outcomes := map[string]string{}
	for outcome, ids := range want {
		for _, id := range ids {
			require.Contains(t, r.results, id)
			outcomes[id] = outcome
		}
	}
	for id, result := range r.results {
		wanted := passed
		if other := outcomes[id]; other != "" {
			wanted = other
		}
		assert.Equal(t, wanted, result.outcome(), "%s: %s%s", id, result.Message, result.Observed)
	}
}

// providerFile writes the configuration of a consumer who uses our plugin with an identity of their
// own. maxAge is for how long a token is used.
func providerFile(t *testing.T, maxAge time.Duration) string {
	t.Helper()
	config := map[string]any{"providers": []any{map[string]any{
		"name": "clusterpass",
		"execConfig": map[string]any{
			"apiVersion": "client.authentication.k8s.io/v1", "command": filepath.Join(bin, "clusterpass-credential-plugin"),
			"args":               []string{"--kubeconfig=" + kubeconfig(t, shared.Hub, consumer), "--max-age=" + maxAge.String()},
			"provideClusterInfo": true, "interactiveMode": "Never",
		},
	}}}
	path := filepath.Join(t.TempDir(), "providers.json")
	require.NoError(t, os.WriteFile(path, testenv.Must[[]byte](t)(json.Marshal(config)), 0o600))
	return path
}
