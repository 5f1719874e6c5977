// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package endpoint checks how a cluster is reached: the URL of its API server, its proxy and its
// bundle of CAs. It connects to nothing, and knows no credentials.
package endpoint

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	httpsPort = "443"
	wildcard  = "*"
)

// ParseServer returns the URL of an API server that a credential of ours may be
// sent to. It takes what cannot be read in two ways: https, a host, perhaps a port
// and a plain path. Its errors quote nothing of a URL, which may have a password in it.
func ParseServer(server string) (*url.URL, error) {
	if server == "" {
		return nil, errors.New("there is no server")
	}
	parsed, err := url.Parse(server)
	switch {
	case err != nil:
		return nil, errors.New("the server is not a URL")
	case parsed.Scheme != "https":
		return nil, errors.New("the server's URL must be https")
	case parsed.User != nil:
		return nil, errors.New("the server's URL must not have a user name or a password")
	case parsed.Hostname() == "":
		return nil, errors.New("the server's URL has no host")
	case parsed.RawQuery != "" || parsed.ForceQuery || strings.Contains(server, "#"):
		return nil, errors.New("the server's URL must not have a query or a fragment")
	case strings.ContainsFunc(server, func(r rune) bool { return r > unicode.MaxASCII }):
		// A host in Unicode has other labels where it is dialled: U+3002 is a dot there.
		return nil, errors.New("the server's URL must be ASCII")
	case strings.ContainsAny(server, `%\`):
		return nil, errors.New("the server's URL must not have percent signs or backslashes")
	case strings.HasSuffix(parsed.Host, ":") || parsed.Port() != "" && !isPort(parsed.Port()):
		return nil, errors.New("the server's URL has no valid port")
	}
	if _, err := pathSegments(strings.TrimPrefix(parsed.Path, "/")); err != nil {
		return nil, fmt.Errorf("the server's URL: %w", err)
	}
	return parsed, nil
}

// CheckHost refuses the host of a server that Kueue v0.19 refuses ("untrusted server
// endpoint"): only an IP address or a DNS name is one.
func CheckHost(server *url.URL) error {
	host := server.Hostname()
	if net.ParseIP(host) == nil && len(validation.IsDNS1123Subdomain(strings.ToLower(host))) > 0 {
		return errors.New("the host of the server's URL must be an IP address or a DNS name")
	}
	return nil
}

// ParseProxy returns the URL of a proxy. One that could hold a secret is refused, as every
// answer to a requester holds the URL. Its errors quote nothing of it.
func ParseProxy(proxy string) (*url.URL, error) {
	parsed, err := url.Parse(proxy)
	switch {
	case err != nil:
		return nil, errors.New("proxy-url is not a URL")
	case !slices.Contains([]string{"http", "https", "socks5"}, parsed.Scheme):
		return nil, errors.New("proxy-url must be http, https or socks5")
	case parsed.User != nil:
		return nil, errors.New("proxy-url must not have a user name or a password: requesters can read it")
	case parsed.RawQuery != "" || parsed.ForceQuery || strings.Contains(proxy, "#"):
		return nil, errors.New("proxy-url must not have a query or a fragment: requesters can read it")
	case parsed.Hostname() == "":
		return nil, errors.New("proxy-url has no host")
	}
	return parsed, nil
}

// ServerPattern is a pattern for the URL of an API server: see servers of
// ExecProvider in apis/config/v1alpha1 for what it means.
type ServerPattern struct {
	labels []string
	port   string
	path   []string
}

// ParseServerPattern returns the pattern that is written https://HOST[:PORT][/PATH].
func ParseServerPattern(pattern string) (ServerPattern, error) {
	rest, ok := strings.CutPrefix(pattern, "https://")
	if !ok {
		return ServerPattern{}, errors.New("must start with https://")
	}
	if strings.ContainsAny(rest, `@?#%\ `) {
		return ServerPattern{}, errors.New(`must not have any of @ ? # % \ and space`)
	}
	authority, path, _ := strings.Cut(rest, "/")
	host, port, err := splitHostPort(authority)
	if err != nil {
		return ServerPattern{}, err
	}
	labels := strings.Split(strings.ToLower(host), ".")
	for _, label := range labels {
		if label == "" || label != wildcard && strings.Contains(label, wildcard) {
			return ServerPattern{}, errors.New(`each label of the host must be plain or "*"`)
		}
	}
	if labels[len(labels)-1] == wildcard {
		return ServerPattern{}, errors.New(`the last label of the host must not be "*"`)
	}
	segments, err := pathSegments(path)
	if err != nil {
		return ServerPattern{}, err
	}
	for _, segment := range segments {
		if segment != wildcard && strings.Contains(segment, wildcard) {
			return ServerPattern{}, errors.New(`a segment of the path must be plain or "*"`)
		}
	}
	return ServerPattern{labels: labels, port: port, path: segments}, nil
}

// splitHostPort splits the host and port of a pattern; without a port it is that of https.
func splitHostPort(authority string) (host, port string, err error) {
	if strings.HasPrefix(authority, "[") && strings.HasSuffix(authority, "]") {
		return strings.Trim(authority, "[]"), httpsPort, nil
	}
	if !strings.Contains(authority, ":") {
		return authority, httpsPort, nil
	}
	host, port, err = net.SplitHostPort(authority)
	if err != nil || port != wildcard && !isPort(port) {
		return "", "", errors.New(`the port must be a number or "*"`)
	}
	return host, port, nil
}

func isPort(port string) bool {
	number, err := strconv.ParseUint(port, 10, 16)
	return err == nil && number > 0
}

// pathSegments returns the segments of a path without its leading slash, of which
// one trailing slash is allowed.
func pathSegments(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	for _, segment := range segments {
		if segment == "" || segment == "." || segment == ".." {
			return nil, errors.New(`the path must not have empty, "." or ".." segments`)
		}
	}
	return segments, nil
}

// IsExact returns whether the pattern allows no more than one server.
func (p ServerPattern) IsExact() bool {
	return p.port != wildcard && !slices.Contains(p.labels, wildcard) && !slices.Contains(p.path, wildcard)
}

// Covers returns whether the pattern allows every server that the other one allows.
func (p ServerPattern) Covers(other ServerPattern) bool {
	return (p.port == wildcard || p.port == other.port) && globMatches(p.labels, other.labels) && globMatches(p.path, other.path)
}

// Matches returns whether the pattern allows a server, which ParseServer returned.
func (p ServerPattern) Matches(server *url.URL) bool {
	path, err := pathSegments(strings.TrimPrefix(server.Path, "/"))
	labels, port := strings.Split(strings.ToLower(server.Hostname()), "."), cmp.Or(server.Port(), httpsPort)
	return err == nil && p.Covers(ServerPattern{labels: labels, port: port, path: path})
}

// globMatches returns whether every part of the pattern is that of the value, or a wildcard for it.
func globMatches(pattern, value []string) bool {
	return slices.EqualFunc(pattern, value, func(p, v string) bool { return p == v || p == wildcard && v != "" })
}
