// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOptions_Validate(t *testing.T) {
	const embedded = "--embedded-etcd-dir=/data"
	for name, test := range map[string]struct {
		args []string
		want string // empty: valid
	}{
		"an embedded etcd":  {[]string{embedded}, ""},
		"an etcd cluster":   {[]string{"--etcd-servers=https://127.0.0.1:2379"}, ""},
		"an etcd beside us": {[]string{"--etcd-servers=http://127.0.0.1:2379,http://localhost:2379,http://[::1]:2379"}, ""},
		"an etcd without TLS": {[]string{"--etcd-servers=https://etcd:2379,http://etcd.example.com:2379"},
			"http://etcd.example.com:2379 is not on this machine: it must be https"},
		"no storage":             {nil, "one of --etcd-servers and --embedded-etcd-dir"},
		"two storages":           {[]string{embedded, "--etcd-servers=https://127.0.0.1:2379"}, "exclude each other"},
		"a timeout too long":     {[]string{embedded, "--member-request-timeout=34s"}, "--member-request-timeout must be"},
		"no timeout":             {[]string{embedded, "--member-request-timeout=0s"}, "--member-request-timeout must be"},
		"tokens of five minutes": {[]string{embedded, "--max-token-expiration=5m"}, "--max-token-expiration must be at least"},
		"an external inventory":  {[]string{embedded, "--inventory=External"}, ""},
		"no known inventory":     {[]string{embedded, "--inventory=external"}, "--inventory must be Served or External"},
		"a hub id with a slash":  {[]string{embedded, "--hub-id=a/b"}, `--hub-id "a/b"`},
		"a namespace with a dot": {[]string{embedded, "--allow-member-namespaces=kube.system"}, `--allow-member-namespaces "kube.system"`},
	} {
		t.Run(name, func(t *testing.T) {
			options := NewOptions()
			flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
			for _, section := range options.Flags().FlagSets {
				flags.AddFlagSet(section)
			}
			require.NoError(t, flags.Parse(test.args))
			err := options.Complete().Validate()
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}

// One kubeconfig serves all purposes.
func TestOptions_Complete(t *testing.T) {
	options := NewOptions()
	options.Recommended.CoreAPI.CoreAPIKubeconfigPath = "hub.yaml"
	options.Recommended.Authorization.RemoteKubeConfigFile = "other.yaml"
	completed := options.Complete()
	assert.Equal(t, "hub.yaml", completed.Recommended.Authentication.RemoteKubeConfigFile)
	assert.Equal(t, "other.yaml", completed.Recommended.Authorization.RemoteKubeConfigFile, "it was given")
}
