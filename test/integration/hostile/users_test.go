// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/pkg/credential"
	"clusterpass.dev/test/testenv"
)

const (
	// user is an ordinary user of the hub.
	user = "jane"
	// maxPrinted bounds what a program prints, in bytes, and maxResident what it has in memory, in
	// MiB.
	maxPrinted  = 128 << 10
	maxResident = 300
	// peakPeriod is how often the memory of a program is looked at.
	peakPeriod = 5 * time.Millisecond
)

// programs are what users run.
type programs struct {
	kubectl, plugin, credentialPlugin string
}

func buildPrograms(t *testing.T) *programs {
	t.Helper()
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", bin+"/",
		"./cmd/clusterpass-credential-plugin", "./cmd/kubectl-clusterpass")
	build.Dir, build.Env = testenv.Root(t), append(os.Environ(), "CGO_ENABLED=0")
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
	return &programs{
		kubectl: testenv.Must[string](t)(testenv.ToolPath("kubectl")),
		plugin:  filepath.Join(bin, "kubectl-clusterpass"), credentialPlugin: filepath.Join(bin, "clusterpass-credential-plugin"),
	}
}

// printed is what a program has printed, and whether it has failed.
type printed struct {
	stdout, stderr string
	failed         bool
}

// run runs a program as whoever a kubeconfig is for, in a home of its own, and fails the test where
// it takes too much memory, or prints too much, or what steers a terminal.
func run(t *testing.T, kubeconfig, input, info, program string, args ...string) printed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.WaitTimeout)
	defer cancel()
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+home, "XDG_CACHE_HOME="+home, credential.ExecInfoEnv+"="+info)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	require.NoError(t, cmd.Start())
	peak := peakOf(cmd.Process.Pid)
	err := cmd.Wait()
	what := filepath.Base(program) + " " + strings.Join(args, " ")
	if !assert.NoError(t, ctx.Err(), "%s does not end", what) {
		return printed{failed: true}
	}
	for _, text := range []string{stdout.String(), stderr.String()} {
		assert.False(t, strings.ContainsAny(text, "\x1b\x07\r"), "%s prints what steers a terminal: %q", what, text)
		assert.Less(t, len(text), maxPrinted, what)
	}
	assert.Less(t, peak()>>10, int64(maxResident), "%s: MiB in memory", what)
	return printed{stdout.String(), stderr.String(), err != nil}
}

// peakOf samples the memory of a process. The function that it returns ends that and returns the
// peak in KiB, 0 where there is no /proc. The kernel's own figure for a process that has ended
// includes the memory of this test, from which the process was cloned.
func peakOf(pid int) (end func() int64) {
	ended, most := make(chan struct{}), make(chan int64)
	status := fmt.Sprintf("/proc/%d/status", pid)
	go func() {
		var peak int64
		for ticker := time.NewTicker(peakPeriod); ; {
			if data, err := os.ReadFile(status); err == nil {
				if _, words, ok := strings.Cut(string(data), "VmHWM:"); ok {
					var kibibytes int64
					if _, err := fmt.Sscan(words, &kibibytes); err == nil {
						peak = max(peak, kibibytes)
					}
				}
			}
			select {
			case <-ticker.C:
			case <-ended:
				ticker.Stop()
				most <- peak
				return
			}
		}
	}()
	return func() int64 {
		close(ended)
		return <-most
	}
}

// testUsers has an ordinary user, with a client certificate and the documented Role, ask for tokens
// of the members that lie about these, with kubectl and with the plugin.
func (f *fleet) testUsers(t *testing.T, p *programs) {
	t.Helper()
	kubeconfig := f.ordinaryUser(t)
	var group errgroup.Group
	group.SetLimit(parallel)
	for lie := range f.liar.lies {
		if lie == "later" {
			continue // client-go obeys Retry-After, and asks ten times.
		}
		cluster := nameOf("tokens", lie)
		request := `{"apiVersion":"multicluster.x-k8s.io/v1alpha1","kind":"AuthTokenRequest","metadata":{"name":"user"},"spec":{` +
			`"targetClusterProfile":{"name":"` + cluster + `"},"serviceAccountName":"user-` + cluster +
			`","serviceAccountNamespace":"default","clusterRoles":[{"name":"view"}]}}`
		for program, args := range map[string][]string{
			p.kubectl: {"-n", "default", "create", "-f", "-", "-o", "jsonpath={.status.token}"},
			p.plugin:  {"-n", "default", "token", cluster},
		} {
			group.Go(func() error {
				is := run(t, kubeconfig, request, "", program, args...)
				assert.True(t, is.failed, "%s of %s prints %q", program, cluster, is.stdout)
				assert.Empty(t, is.stdout, "%s of %s", program, cluster)
				assert.NotContains(t, is.stderr, "\nroot# ", "%s of %s: a line that the member has written", program, cluster)
				return nil
			})
		}
	}
	require.NoError(t, group.Wait())
	// The same user gets what an honest member gives.
	is := run(t, kubeconfig, "", "", p.plugin, "-n", "default", "token", honest)
	assert.False(t, is.failed, is.stderr)
	assert.Regexp(t, `^ey[\w-]+\.[\w-]+\.[\w-]+\n$`, is.stdout)
}

// testHub has the plugins ask a hub that lies about everything, in every way.
func (f *fleet) testHub(t *testing.T, p *programs) {
	t.Helper()
	honestly := f.ordinaryUser(t)
	exec := clientauthenticationv1.ExecCredential{
		TypeMeta: metav1.TypeMeta{APIVersion: clientauthenticationv1.SchemeGroupVersion.String(), Kind: "ExecCredential"},
		Spec:     clientauthenticationv1.ExecCredentialSpec{Cluster: &clientauthenticationv1.Cluster{Server: "https://member.example.com"}},
	}
	exec.Spec.Cluster.Config.Raw = []byte(`{"targetClusterProfile":{"namespace":"default","name":"` + honest + `"},` +
		`"serviceAccountName":"user","serviceAccountNamespace":"default"}`)
	info := testenv.Must[[]byte](t)(json.Marshal(exec))
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, lie := range slices.Sorted(maps.Keys(f.liar.lies)) {
		config := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(honestly))
		for _, hub := range config.Clusters {
			hub.Server = f.liar.URL + "/all/" + lie
			hub.CertificateAuthorityData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.liar.Certificate().Raw})
		}
		kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
		require.NoError(t, clientcmd.WriteToFile(*config, kubeconfig))
		for program, args := range map[string][]string{
			p.credentialPlugin:       {},
			p.plugin + " token":      {"-n", "default", "token", honest},
			p.plugin + " get-token":  {"-n", "default", "get-token", honest},
			p.plugin + " kubeconfig": {"-n", "default", "kubeconfig", honest},
		} {
			path, _, _ := strings.Cut(program, " ")
			group.Go(func() error {
				is := run(t, kubeconfig, "", string(info), path, args...)
				assert.True(t, is.failed, "%s, %s: %q", program, lie, is.stdout)
				assert.Empty(t, is.stdout, "%s, %s", program, lie)
				return nil
			})
		}
	}
	require.NoError(t, group.Wait())
}

// ordinaryUser gives user the documented Role, for all members, and returns a kubeconfig with a
// client certificate.
func (f *fleet) ordinaryUser(t *testing.T) string {
	t.Helper()
	example := filepath.Join(testenv.Root(t), "artifacts", "examples", "rbac", "bravelion-viewer.yaml")
	documented := testenv.Must[*os.File](t)(os.Open(example))
	defer documented.Close()
	var role rbacv1.Role
	require.NoError(t, utilyaml.NewYAMLToJSONDecoder(documented).Decode(&role))
	list := testenv.List(t, f.profiles, metav1.ListOptions{})
	for i := range role.Rules {
		if len(role.Rules[i].ResourceNames) > 0 {
			role.Rules[i].ResourceNames = nil
			for j := range list.Items {
				role.Rules[i].ResourceNames = append(role.Rules[i].ResourceNames, list.Items[j].Name)
			}
		}
	}
	if _, err := f.admin.RbacV1().Roles("default").Get(t.Context(), role.Name, metav1.GetOptions{}); err != nil {
		testenv.Grant(t, f.admin, "default", role.Name, testenv.UserSubject(user), role.Rules...)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(kubeconfig, testenv.Must[[]byte](t)(f.hub.ClientCertKubeconfig(user)), 0o600))
	return kubeconfig
}
