// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStopMember(t *testing.T) {
	s := settings{dir: t.TempDir()}
	processes := map[string]*record{}
	for _, name := range []string{"hub-etcd", "bravelion-kube-apiserver", "bravelion-etcd", "smartfish-etcd"} {
		r := startRecorded(t, sleeps)
		r.Name = name
		require.NoError(t, r.write(s.records()))
		processes[name] = r
	}

	t.Setenv(localDirEnv, s.dir)
	for _, names := range [][]string{nil, {"hub"}, {"brave"}, {"bravelion", "smartfish"}} {
		for _, verb := range []string{verbStop, verbReplace} {
			require.ErrorAs(t, run(t.Context(), append([]string{verb}, names...), io.Discard), new(usageError), "%q is not one member", names)
		}
	}
	for name, r := range processes {
		require.True(t, r.alive(), "%s was not asked for", name)
	}

	require.NoError(t, stopMember(t.Context(), s, "bravelion", io.Discard))
	require.False(t, processes["bravelion-kube-apiserver"].alive())
	require.False(t, processes["bravelion-etcd"].alive())
	require.True(t, processes["smartfish-etcd"].alive(), "the other member runs on")
	require.True(t, processes["hub-etcd"].alive(), "the hub runs on")
}
