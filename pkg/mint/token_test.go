// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
)

func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// TestTask_CheckToken is about a member that lies: what it answers is what a set keeps, and what
// the grant's ceiling is above.
func TestTask_CheckToken(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	g := &clusterpassv1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{UID: "grant"}}
	g.Spec.ServiceAccount = clusterpassv1alpha1.GrantedServiceAccount{Namespace: "default", Name: "work"}
	const right = `{"iat":IAT,"exp":EXP,"jti":"an-id","kubernetes.io":{"namespace":"default",` +
		`"serviceaccount":{"name":"work","uid":"account"},"secret":{"name":"SECRET","uid":"secret"}}}`
	end, late := now.Add(time.Hour), now.Add(time.Hour+4*time.Minute)
	year9999 := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		old, is string
		expires time.Time
		suffix  string
		words   string
	}{
		"what was asked for":              {expires: end},
		"a shorter life":                  {old: "EXP", is: seconds(now.Add(time.Minute)), expires: now.Add(time.Minute)},
		"a clock that is a little ahead":  {old: "EXP", is: seconds(late), expires: late},
		"an end in the year 9999":         {expires: year9999, words: "valid for longer than the 3600 seconds"},
		"one in the claims alone":         {old: "EXP", is: seconds(year9999), expires: end, words: "valid for longer"},
		"no end":                          {old: `"exp":EXP,`, expires: end, words: "when it becomes valid"},
		"no beginning":                    {old: `"iat":IAT,`, expires: end, words: "when it becomes valid"},
		"an end before the beginning":     {expires: now.Add(-time.Hour), words: "expires before it becomes valid"},
		"another ServiceAccount":          {old: `"work"`, is: `"admin"`, expires: end, words: "another ServiceAccount"},
		"one of another namespace":        {old: `"default"`, is: `"kube-system"`, expires: end, words: "another ServiceAccount"},
		"one that has replaced it":        {old: `"account"`, is: `"other"`, expires: end, words: "another ServiceAccount"},
		"bound to nothing":                {old: `,"secret":{"name":"SECRET","uid":"secret"}`, expires: end, words: "not bound"},
		"bound to what has replaced it":   {old: `"uid":"secret"`, is: `"uid":"other"`, expires: end, words: "not bound"},
		"a header that comes with it":     {suffix: "\r\nX-Remote-User: admin", expires: end, words: "no bearer token"},
		"an id that would fill the audit": {old: `an-id`, is: strings.Repeat("a", 10_000), expires: end, words: "its id"},
	} {
		t.Run(name, func(t *testing.T) {
			claims := strings.ReplaceAll(right, test.old, test.is)
			if test.old == "" {
				claims = right
			}
			claims = strings.NewReplacer("IAT", seconds(now), "EXP", seconds(end), "SECRET", grant.SecretName(g.UID)).Replace(claims)
			encode := base64.RawURLEncoding.EncodeToString
			token := encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature")) + test.suffix
			task := &task{Minter: &Minter{Config: Config{Clock: testingclock.NewFakeClock(now)}}, grant: g, expiration: time.Hour}
			answer := &authenticationv1.TokenRequest{}
			answer.Status.Token, answer.Status.ExpirationTimestamp = token, metav1.NewTime(test.expires)
			issued, err := task.checkToken(grant.Bound{ServiceAccount: "account", Secret: "secret"}, answer)
			if test.words != "" {
				require.ErrorContains(t, err, test.words)
				assert.NotContains(t, err.Error(), encode([]byte(claims))[:40])
				return
			}
			require.NoError(t, err)
			assert.Equal(t, []any{token, "JTI=an-id", now, test.expires},
				[]any{issued.token, issued.credentialID, issued.issued.UTC(), issued.expires})
		})
	}
}

func TestMinter_Clamp(t *testing.T) {
	m := &Minter{Config: Config{MaxExpiration: 24 * time.Hour}}
	for asked, want := range map[int64]int64{600: 600, 3606: 3606, 3607: 3606, 3608: 3608, 86400: 86400, 86401: 86400} {
		got, _ := m.clamp(&asked)
		assert.Equal(t, want, got, asked)
	}
}

func testKubeconfig(tb testing.TB) (clientcmdv1.Cluster, []byte) {
	tb.Helper()
	g := grant.New("default", validRequest().Spec, "uid-1", clusterpassv1alpha1.Requester{})
	cluster := clientcmdv1.Cluster{
		Server:                   "https://bravelion.example.com:6443",
		CertificateAuthorityData: []byte("-----BEGIN CERTIFICATE-----\n"),
		TLSServerName:            "bravelion",
		ProxyURL:                 "https://proxy.example.com",
	}
	file, err := kubeconfig(g, cluster, "a-token")
	require.NoError(tb, err)
	return cluster, file
}

// The kubeconfig is all that it takes.
func TestKubeconfig(t *testing.T) {
	want, file := testKubeconfig(t)
	config, err := clientcmd.Load(file)
	require.NoError(t, err)
	current := config.Contexts[config.CurrentContext]
	require.NotNil(t, current)
	assert.Equal(t, "bravelion", config.CurrentContext)
	assert.Equal(t, "default", current.Namespace)
	cluster := config.Clusters[current.Cluster]
	assert.Equal(t, want.Server, cluster.Server)
	assert.Equal(t, want.CertificateAuthorityData, cluster.CertificateAuthorityData)
	assert.Equal(t, want.TLSServerName, cluster.TLSServerName)
	assert.Equal(t, want.ProxyURL, cluster.ProxyURL)
	assert.Equal(t, "a-token", config.AuthInfos[current.AuthInfo].Token)
}

// BenchmarkKubeconfig shows why the file is JSON.
func BenchmarkKubeconfig(b *testing.B) {
	_, file := testKubeconfig(b)
	b.Run("as it is", func(b *testing.B) {
		for b.Loop() {
			testKubeconfig(b)
		}
	})
	b.Run("as YAML of block style", func(b *testing.B) {
		for b.Loop() {
			_, err := yaml.JSONToYAML(file)
			require.NoError(b, err)
		}
	})
}
