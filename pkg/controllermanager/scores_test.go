// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package controllermanager

import (
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOptions_ScoresOf(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
		err  string
	}{
		"all profiles by default":         {nil, ScoresOfAll, ""},
		"those of its own manager":        {[]string{"--scores-of=Own"}, ScoresOfOwn, ""},
		"all profiles":                    {[]string{"--scores-of=All"}, ScoresOfAll, ""},
		"another word is refused":         {[]string{"--scores-of=all"}, "all", "--scores-of must be Own or All"},
		"and so is the name of a manager": {[]string{"--scores-of=KubeFleet"}, "KubeFleet", "--scores-of must be Own or All"},
		"and none":                        {[]string{"--scores-of="}, "", "--scores-of must be Own or All"},
	} {
		t.Run(name, func(t *testing.T) {
			options, flags := NewOptions(), pflag.NewFlagSet("test", pflag.ContinueOnError)
			sections := options.Flags()
			for _, section := range sections.FlagSets {
				flags.AddFlagSet(section)
			}
			require.NoError(t, flags.Parse(test.args))
			assert.Equal(t, test.want, options.ScoresOf)
			if err := options.Validate(); test.err != "" {
				require.ErrorContains(t, err, test.err)
			} else {
				require.NoError(t, err)
			}
		})
	}
}
