// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"cmp"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/test/testenv"
)

// changedKubeconfig returns the path of bravelion's kubeconfig with its cluster changed.
func changedKubeconfig(t *testing.T, change func(*clientcmdapi.Cluster)) string {
	t.Helper()
	config := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(shared.Bravelion.Kubeconfig()))
	for _, cluster := range config.Clusters {
		change(cluster)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*config, path))
	return path
}

// refusedCertificate returns one that Go does not read: its serial number is negative.
func refusedCertificate(t *testing.T) []byte {
	t.Helper()
	block, _ := pem.Decode(shared.Bravelion.CA())
	require.NotNil(t, block)
	// A SEQUENCE of a SEQUENCE of [0] version 2, and then the serial number, an INTEGER.
	version := []byte{0xa0, 3, 2, 1, 2, 2}
	i := bytes.Index(block.Bytes, version)
	require.Positive(t, i)
	der := bytes.Clone(block.Bytes)
	der[i+len(version)+1] |= 0x80 // the length is in between
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// A kubeconfig is refused before anything is written.
func TestJoin_KubeconfigRefused(t *testing.T) {
	for name, test := range map[string]struct {
		proxy, server string
		ca            []byte
		args, want    string
	}{
		"a password in the URL of the proxy": {
			proxy: "http://u:s3cret@127.0.0.1:3128", want: "proxy-url must not have a user name or a password",
		},
		"a query in the URL of the proxy": {proxy: "http://127.0.0.1:3128?s3cret", want: "proxy-url must not have a query"},
		"a proxy that is no URL":          {proxy: "http://u:s3cret%zz@127.0.0.1:3128", want: "its proxy-url is not a URL"},
		"a token in the server's URL":     {server: "https://s3cret@127.0.0.1", want: "must not have a user name"},
		"a password in --member-server":   {args: "--member-server=https://u:s3cret@127.0.0.1:1", want: "must not have a user name"},
		"a query":                         {args: "--member-server=https://127.0.0.1?__uid=s3cret", want: "a query or a fragment"},
		"a fragment":                      {args: "--member-server=https://127.0.0.1#s3cret", want: "a query or a fragment"},
		"two slashes":                     {args: "--member-server=https://127.0.0.1//k8s", want: "segments"},
		"port 0":                          {args: "--member-server=https://127.0.0.1:0", want: "no valid port"},
		"an address with a zone":          {args: "--member-server=https://[fe80::1%25eth0]", want: "percent signs"},
		"a CA that is none":               {ca: []byte("s3cret"), want: "is not PEM certificates"},
		"no CA that can be used":          {ca: refusedCertificate(t), want: "certificate 1 of 1 is unreadable (negative serial number)"},
		"a CA that no Secret can hold":    {ca: bytes.Repeat(shared.Bravelion.CA(), 1000), want: "480 KiB at most"},
		"a taint that is none":            {args: "--taint=new:NoSchedule", want: "KEY[=VALUE]:EFFECT"},
	} {
		t.Run(name, func(t *testing.T) {
			before := snapshots(t, shared.Bravelion)
			kubeconfig := changedKubeconfig(t, func(c *clientcmdapi.Cluster) {
				c.ProxyURL, c.Server = test.proxy, cmp.Or(test.server, c.Server)
				if test.ca != nil {
					c.CertificateAuthorityData = test.ca
				}
			})
			args := append([]string{"join", "bravelion", "--member-kubeconfig=" + kubeconfig, "--wait=false"}, strings.Fields(test.args)...)
			out, err := clusterpass(t.Context(), args...)
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, out+err.Error(), "s3cret")
			assert.Equal(t, before, snapshots(t, shared.Bravelion))
		})
	}
}

// Join takes a bundle of CAs as kubectl does.
func TestJoin_BundleOfCAs(t *testing.T) {
	ca := shared.Bravelion.CA()
	key := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("a s3cret")})
	bundle := bytes.ReplaceAll(slices.Concat([]byte("# our CAs\n"), refusedCertificate(t), key, ca), []byte("\n"), []byte("\r\n"))
	kubeconfig := changedKubeconfig(t, func(c *clientcmdapi.Cluster) { c.CertificateAuthorityData = bundle })
	testenv.MustKubectl(t, kubeconfig, "", "get", "namespaces")

	told := joined(t, "bravelion", "--member-context=", "--member-kubeconfig="+kubeconfig)
	const warning = "warning: certificate-authority of the member: "
	assert.Contains(t, told, warning+"certificate 1 of 2 is unreadable (negative serial number); it was ignored\n")
	assert.Contains(t, told, warning+`a block "EC PRIVATE KEY" is no certificate; it was ignored`)
	for _, provider := range profileOf(t).Status.AccessProviders {
		assert.Equal(t, string(ca), string(provider.Cluster.CertificateAuthorityData))
	}
	assert.NotContains(t, string(hubSecret(t).Data[kubeconfigKey]), "PRIVATE KEY")
	answer := mustRequest(t, "bravelion", "work", "view")
	assert.Equal(t, string(ca), string(answer.Status.Cluster.CertificateAuthorityData))

	t.Run("and so does the server where somebody else has written the kubeconfig", func(t *testing.T) {
		secret := hubSecret(t)
		config := testenv.Must[*clientcmdapi.Config](t)(clientcmd.Load(secret.Data[kubeconfigKey]))
		for _, cluster := range config.Clusters {
			cluster.CertificateAuthorityData = bundle
		}
		secret.Data[kubeconfigKey] = testenv.Must[[]byte](t)(clientcmd.Write(*config))
		testenv.Update(t, shared.Hub.Kube(t).CoreV1().Secrets(secret.Namespace), secret)
		answer, err := request(t, "bravelion", "work", "view")
		require.NoError(t, err)
		assert.Equal(t, string(ca), string(answer.Status.Cluster.CertificateAuthorityData))
		file := filepath.Join(t.TempDir(), "answer")
		require.NoError(t, os.WriteFile(file, answer.Status.Kubeconfig, 0o600))
		testenv.MustKubectl(t, file, "", "get", "configmaps")
	})
}

// Unjoin takes the current context of a kubeconfig.
func TestUnjoin_CurrentContext(t *testing.T) {
	before := snapshots(t, shared.Bravelion)
	joined(t, "bravelion")
	out := mustClusterpass(t, "unjoin", "bravelion", "--member-kubeconfig="+shared.Bravelion.Kubeconfig())
	assert.Contains(t, out, "member: deleted serviceaccount/clusterpass in clusterpass-system\n")
	waitNamespaceGone(t, shared.Bravelion, "clusterpass-system")
	assert.Equal(t, before, snapshots(t, shared.Bravelion))
	_, err := clusterpass(t.Context(), "unjoin", "bravelion", "--abandon-member", "--member-kubeconfig="+shared.Bravelion.Kubeconfig())
	require.ErrorContains(t, err, "--abandon-member is for a member that is gone for ever")
}

func TestJoin_Taint(t *testing.T) {
	const annotation = "clusterpass.dev/taints"
	joined(t, "bravelion", "--taint=example.com/new=true:NoSelect")
	assert.Contains(t, profileOf(t).Annotations[annotation], `"key":"example.com/new","value":"true","effect":"NoSelect","timeAdded"`)
	first := profileOf(t).Annotations[annotation]

	join := []string{"join", "bravelion", "--member-context=bravelion", "--wait=false"}
	mustClusterpass(t, join...)
	assert.Equal(t, first, profileOf(t).Annotations[annotation], "joining again without it lets no work in")
	mustClusterpass(t, append(join, "--taint=other:PreferNoSelect,example.com/new=true:NoSelect")...)
	assert.Contains(t, profileOf(t).Annotations[annotation], first[1:len(first)-1], "it is as old as before")
	assert.Contains(t, profileOf(t).Annotations[annotation], `"key":"other","effect":"PreferNoSelect"`)

	testenv.MustKubectl(t, shared.kubeconfig, "", "annotate", "clusterprofile", "bravelion", annotation+"-")
	mustClusterpass(t, join...)
	assert.NotContains(t, profileOf(t).Annotations, annotation)
}
