// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"--help"}, {"help"}, {"stop", "-h"}} {
		var out strings.Builder
		require.NoError(t, run(t.Context(), args, &out), args)
		assert.Equal(t, usage, out.String())
	}
}

// The usage says what is so.
func TestUsage(t *testing.T) {
	for _, want := range []string{
		portBaseEnv, localDirEnv, defaultLocalDir, strconv.Itoa(defaultPortBase), strconv.Itoa(fleetPorts), strings.Join(memberNames, " and "),
	} {
		assert.Contains(t, usage, want)
	}
	for _, command := range []string{verbUp, verbStart, verbJoin, verbStop, verbReplace, verbDown, verbStatus, verbExports} {
		assert.Contains(t, usage, "\n  "+command+" ")
	}
}

func TestRun_WrongArguments(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"none":                        {nil, "which command?"},
		"an empty one":                {[]string{""}, `there is no command ""`},
		"another command":             {[]string{"destroy"}, `there is no command "destroy"`},
		"too many":                    {[]string{"down", "smartfish"}, `down takes no arguments; got ["smartfish"]`},
		"stop without a member":       {[]string{"stop"}, "stop takes one of the members bravelion, smartfish; got []"},
		"stop of the hub":             {[]string{"stop", "hub"}, `stop takes one of the members bravelion, smartfish; got ["hub"]`},
		"replace of two":              {[]string{"replace", "bravelion", "smartfish"}, `got ["bravelion" "smartfish"]`},
		"a flag that there is not":    {[]string{"--port"}, `there is no command "--port"`},
		"what is for itself, in part": {[]string{"kubelet"}, `there is no command "kubelet"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(localDirEnv, t.TempDir())
			var out, errOut strings.Builder
			err := run(t.Context(), test.args, &out)
			require.ErrorContains(t, err, test.want)
			assert.Empty(t, out.String())
			assert.Equal(t, exitUsage, tell(err, &errOut))
			assert.Equal(t, "error: "+err.Error()+"\n\n"+usage, errOut.String())
		})
	}
}

func TestTell(t *testing.T) {
	var out strings.Builder
	assert.Equal(t, exitDone, tell(nil, &out))
	assert.Empty(t, out.String())
	assert.Equal(t, exitFailed, tell(errors.New("1 of 9 processes do not serve"), &out))
	assert.Equal(t, "error: 1 of 9 processes do not serve\n", out.String())
}
