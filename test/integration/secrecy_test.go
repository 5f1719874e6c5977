// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"clusterpass.dev/test/testenv"
)

// TestSecrecy_Files runs last: it looks for every token that any test here has got.
func TestSecrecy_Files(t *testing.T) {
	minted.Lock()
	defer minted.Unlock()
	require.NotEmpty(t, minted.tokens, "no tokens were minted")
	audits := testenv.Must[[]string](t)(testenv.AuditLogs(serverAuditLog()))
	files := append([]string{shared.Server.Log()}, audits...)
	for _, cluster := range []string{"hub", "bravelion", "smartfish"} {
		logs := testenv.Must[[]string](t)(filepath.Glob(filepath.Join(shared.Dir, cluster, "*.log")))
		nested := testenv.Must[[]string](t)(filepath.Glob(filepath.Join(shared.Dir, cluster, "*", "*.log")))
		files = append(append(files, logs...), nested...)
	}
	require.NoError(t, filepath.WalkDir(filepath.Join(shared.Dir, "hub", "etcd"), func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	}))
	assert.Empty(t, testenv.Must[[]string](t)(testenv.FindTokens(minted.tokens, files)))
	var audit []byte
	for _, file := range audits {
		audit = append(audit, testenv.Must[[]byte](t)(os.ReadFile(file))...)
	}
	for _, want := range []string{`"clusterpass.dev/credential-id":"JTI=`,
		`"clusterpass.dev/grant-uid"`, `"clusterpass.dev/cluster-profile-uid"`} {
		assert.True(t, bytes.Contains(audit, []byte(want)), "the audit log has no %s", want)
	}
	t.Logf("%d tokens, %d files", len(minted.tokens), len(files))
}

// TestServer_Log looks at what the server printed during all tests; make test builds it with
// the race detector.
func TestServer_Log(t *testing.T) {
	log := testenv.Must[[]byte](t)(os.ReadFile(shared.Server.Log()))
	for _, word := range []string{"DATA RACE", "Observed a panic", "panic:"} {
		if at := bytes.Index(log, []byte(word)); at >= 0 {
			assert.Fail(t, "the server's log says "+word, "%s", log[at:min(at+2000, len(log))])
		}
	}
}
