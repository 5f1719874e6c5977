// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"clusterpass.dev/pkg/doctor"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// TestUninstall_ServerFirst takes the server away before its APIServices, as nobody should.
func TestUninstall_ServerFirst(t *testing.T) {
	fleetUp(t)
	r := newReader(t)
	hub := func(args ...string) string { return on(t, "hub", args...) }
	hub("create", "namespace", "e2e-hangs")
	require.NoError(t, process(t, "clusterpass-apiserver").Kill())
	hub("delete", "namespace", "e2e-hangs", "--wait=false")
	hub("wait", "--for=condition=NamespaceDeletionDiscoveryFailure", "namespace/e2e-hangs", "--timeout=120s")

	out, err := r.bash(t.Context(), "admin", "kubectl clusterpass doctor --uninstall")
	require.Error(t, err, out)
	assert.Contains(t, out, "sets: cannot tell what is left")
	cure := documented(t)[0]
	assert.Contains(t, out, cure)
	out, err = r.bash(t.Context(), "admin", cure)
	require.NoError(t, err, out)
	hub("wait", "--for=delete", "namespace/e2e-hangs", "--timeout=120s")
	// The server and its APIServices come back, and with them what is stored.
	fleetUp(t)
	assert.Contains(t, hub("get", "clusterprofiles", "-o", "name"), "bravelion")
}

// TestUninstall does what doctor --uninstall says, until nothing is left. It is the last test:
// afterwards there is no clusterpass on the hub.
func TestUninstall(t *testing.T) {
	fleetUp(t)
	r := newReader(t)
	admin := func(command string) string {
		out, err := r.bash(t.Context(), "admin", command)
		require.NoError(t, err, out)
		return out
	}
	givens["the set gpu"](t, r)
	admin("kubectl -n gpu-credentials create rolebinding clusterpass-credential-sets --clusterrole=clusterpass:credential-sets" +
		" --serviceaccount=clusterpass-system:clusterpass-controller-manager --dry-run=client -o yaml | kubectl apply -f -")
	admin("kubectl wait --for=condition=Ready clustercredentialset/gpu --timeout=60s")
	// As if smartfish had been joined by hand.
	admin("kubectl -n clusterpass-system annotate secret member-default-smartfish " + member.MemberUIDAnnotation + "-")
	files := []string{create(t, requestFor("bravelion", "e2e-uninstall", view)), create(t, requestFor("smartfish", "e2e-uninstall", view))}
	ask := documented(t)[0]

	var done []string
	for {
		next, finding := nextStep(t, r, ask)
		if next == "" {
			break
		}
		t.Logf("%s: %s\n$ %s", finding.Check, finding.Message, next)
		require.NotContains(t, done, next, "the same is said again: it did not help")
		done = append(done, next)
		admin(next)
	}
	stages := strings.Join(done, "\n")
	for _, in := range []string{
		"clustercredentialsets", "revoke --cluster-profile default/smartfish", "unjoin bravelion", "delete apiservice",
		"rolebinding clusterpass-credential-sets", "delete -k",
	} {
		assert.Contains(t, stages, in)
		_, stages, _ = strings.Cut(stages, in)
	}

	for _, file := range files {
		_, err := kubectl(t.Context(), file, "", "get", "namespaces")
		require.ErrorContains(t, err, "You must be logged in to the server", "a token outlives clusterpass")
	}
	for _, cluster := range []string{"hub", "bravelion", "smartfish"} {
		t.Run("nothing is left on "+cluster, func(t *testing.T) {
			testenv.Eventually(t, func(ctx context.Context) error {
				kinds := writable + ",rolebindings,apiservices,flowschemas,prioritylevelconfigurations"
				out, err := kubectl(ctx, kubeconfig(cluster), "", "get", kinds, "-A", "-o", "name")
				if err != nil {
					return err
				}
				for name := range strings.Lines(out) {
					if strings.Contains(name, "clusterpass") {
						return fmt.Errorf("%s is left on %s", strings.TrimSpace(name), cluster)
					}
				}
				return nil
			})
		})
	}
	t.Run("a namespace of the hub can be deleted", func(t *testing.T) {
		on(t, "hub", "create", "namespace", "e2e-uninstalled")
		on(t, "hub", "delete", "namespace", "e2e-uninstalled", "gpu-credentials", "--timeout=60s")
	})
}

// command finds the first command in a sentence of doctor.
var command = regexp.MustCompile(`: (kubectl .*?)(?:\. [A-Z].*|; kubectl .*)?$`)

// nextStep asks doctor and returns the command that it says is next, as somebody completes it who
// knows the members, and what it is for; empty when nothing is left.
func nextStep(t *testing.T, r *reader, ask string) (string, doctor.Finding) {
	t.Helper()
	out, err := r.bash(t.Context(), "admin", ask+" -o json 2>/dev/null")
	var findings []doctor.Finding
	require.NoError(t, json.Unmarshal([]byte(out), &findings), out)
	for _, finding := range findings {
		if finding.Verdict != doctor.Fail {
			continue
		}
		require.Error(t, err, "something is left, and the exit code is 0")
		found := command.FindStringSubmatch(finding.Mend)
		require.NotNil(t, found, finding.Mend)
		next := found[1]
		if unjoin := regexp.MustCompile(`unjoin (\S+)`).FindStringSubmatch(next); unjoin != nil {
			next = strings.ReplaceAll(next, "CONTEXT", unjoin[1])
		}
		return next, finding
	}
	require.NoError(t, err, out)
	return "", doctor.Finding{}
}
