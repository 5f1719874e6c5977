// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern, server string
		want            bool
	}{
		{"https://a.example.com", "https://a.example.com", true},
		{"https://a.example.com", "https://a.example.com/", true},
		{"https://a.example.com", "https://a.example.com:443", true},
		{"https://a.example.com", "https://A.Example.com", true},
		{"https://a.example.com", "https://a.example.com:6443", false},
		{"https://a.example.com", "https://a.example.com.evil.com", false},
		{"https://a.example.com", "https://a.example.com.", false},
		{"https://a.example.com", "https://a.example.com@evil.com", false},
		{"https://a.example.com", "https://evil.com/a.example.com", false},
		{"https://a.example.com", "https://evil.com#a.example.com", false},
		{"https://a.example.com", "https://evil.com?a.example.com", false},
		{"https://a.example.com", `https://evil.com\.a.example.com`, false},
		{"https://a.example.com", "https://a.example.com//", false},
		{"https://a.example.com", "http://a.example.com:443", false},
		{"https://a.example.com", "a.example.com", false},
		{"https://a.example.com:*", "https://a.example.com:6443", true},
		{"https://a.example.com:*", "https://a.example.com", true},
		{"https://*.example.com", "https://a.example.com", true},
		{"https://*.example.com", "https://a.b.example.com", false},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://.example.com", false},
		{"https://*.*.example.com:6443", "https://a.b.example.com:6443", true},
		{"https://127.0.0.1:6443", "https://127.0.0.1:6443", true},
		{"https://127.0.0.1:6443", "https://127.0.0.1:06443", false},
		{"https://[::1]:6443", "https://[::1]:6443", true},
		{"https://proxy.example.com:9092/*", "https://proxy.example.com:9092/bravelion", true},
		{"https://proxy.example.com:9092/*", "https://proxy.example.com:9092/bravelion/", true},
		{"https://proxy.example.com:9092/*", "https://proxy.example.com:9092/", false},
		{"https://proxy.example.com:9092/*", "https://proxy.example.com:9092/a/b", false},
		{"https://proxy.example.com:9092/*", "https://proxy.example.com:9092/..", false},
		{"https://proxy.example.com:9092/x/*", "https://proxy.example.com:9092/x/%2e%2e", false},
		{"https://proxy.example.com:9092/x", "https://proxy.example.com:9092/y", false},
		{"https://proxy.example.com:9092", "https://proxy.example.com:9092/y", false},
	} {
		t.Run(test.pattern+" and "+test.server, func(t *testing.T) {
			pattern, err := ParseServerPattern(test.pattern)
			require.NoError(t, err)
			server, err := ParseServer(test.server)
			assert.Equal(t, test.want, err == nil && pattern.Matches(server))
		})
	}
	for _, pattern := range []string{
		"", "a.example.com", "http://a.example.com", "https://", "https://*", "https://a.*", "https://a*.example.com", "https://a..b",
		"https://a:b", "https://a:0", "https://a:70000", "https://u@a", "https://a/../b", "https://a//b", "https://a/b*", "https://a?b",
		"https://a b",
	} {
		t.Run("no pattern: "+pattern, func(t *testing.T) {
			_, err := ParseServerPattern(pattern)
			assert.Error(t, err)
		})
	}
}

// testParse parses each of texts, whose value is in the error; empty: there is none.
func testParse[T any](t *testing.T, parse func(string) (T, error), texts map[string]string) {
	t.Helper()
	for text, want := range texts {
		t.Run(text, func(t *testing.T) {
			_, err := parse(text)
			if want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, want)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestParseServer(t *testing.T) {
	testParse(t, ParseServer, map[string]string{
		"https://member.example.com:6443":    "",
		"https://member.example.com/k8s/c-1": "",
		"https://[2001:db8::7]:6443":         "",
		"https://a_b.example.com":            "",
		"":                                   "there is no server",
		"http://member":                      "must be https",
		"https://":                           "has no host",
		"https://secret@member":              "user name or a password",
		"https://user:secret@member":         "user name or a password",
		"https://user:sec%ret@member":        "not a URL",
		"https://member?__uid=secret":        "a query or a fragment",
		"https://member?":                    "a query or a fragment",
		"https://member#secret":              "a query or a fragment",
		"https://member#":                    "a query or a fragment",
		"https://member//k8s":                "segments",
		"https://member/k8s/../secret":       "segments",
		"https://member:0":                   "no valid port",
		"https://member:":                    "no valid port",
		"https://[fe80::1%25eth0]":           "percent signs",
		"https://member/%73ecret":            "percent signs",
		"https://secret\u3002example.com":    "must be ASCII",
	})
}

func TestParseProxy(t *testing.T) {
	testParse(t, ParseProxy, map[string]string{
		"http://proxy:3128":             "",
		"socks5://proxy:1080":           "",
		"":                              "must be http",
		"ftp://proxy":                   "must be http",
		"http://":                       "has no host",
		"http://secret@proxy":           "user name or a password",
		"http://user:secret@proxy":      "user name or a password",
		"http://proxy?secret":           "a query or a fragment",
		"http://proxy#secret":           "a query or a fragment",
		"http://user:secret%zz@proxy/a": "not a URL",
	})
}

func TestServerPattern_Covers(t *testing.T) {
	for _, test := range []struct {
		wide, narrow string
		want         bool
	}{
		{"https://*.fleet", "https://a.fleet", true},
		{"https://*.fleet", "https://A.FLEET:443/", true},
		{"https://*.fleet", "https://*.fleet", true},
		{"https://a.fleet:*", "https://a.fleet:6443", true},
		{"https://fleet/clusters/*", "https://fleet/clusters/a", true},
		{"https://a.fleet", "https://*.fleet", false},
		{"https://*.fleet", "https://*.*.fleet", false},
		{"https://a.fleet", "https://a.fleet:*", false},
		{"https://fleet/clusters/a", "https://fleet/clusters/*", false},
		{"https://fleet/clusters/*", "https://fleet/clusters", false},
	} {
		t.Run(test.wide+" "+test.narrow, func(t *testing.T) {
			wide, err := ParseServerPattern(test.wide)
			require.NoError(t, err)
			narrow, err := ParseServerPattern(test.narrow)
			require.NoError(t, err)
			assert.Equal(t, test.want, wide.Covers(narrow))
		})
	}
}

func TestServerPattern_IsExact(t *testing.T) {
	for pattern, want := range map[string]bool{
		"https://a.fleet": true, "https://a.fleet:6443/clusters/a": true, "https://[fd00::1]:6443": true,
		"https://*.fleet": false, "https://a.fleet:*": false, "https://a.fleet/clusters/*": false,
	} {
		parsed, err := ParseServerPattern(pattern)
		require.NoError(t, err)
		assert.Equal(t, want, parsed.IsExact(), pattern)
	}
}
