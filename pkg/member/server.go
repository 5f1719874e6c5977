// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	httpsPrefix = "https://"
	httpsPort   = "443"
	wildcard    = "*"
)

// parseServer returns the URL of an API server that a credential of ours may be
// sent to. It takes what can't be read in two ways: https, a host, perhaps a port
// and a plain path.
func parseServer(server string) (*url.URL, error) {
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

// parseProxy returns the URL of a proxy. One with a password is refused: every
// answer to a requester holds the URL.
func parseProxy(proxy string) (*url.URL, error) {
	parsed, err := url.Parse(proxy)
	switch {
	case err != nil:
		return nil, errors.New("proxy-url is not a URL")
	case !slices.Contains([]string{"http", "https", "socks5"}, parsed.Scheme):
		return nil, errors.New("proxy-url must be http, https or socks5")
	case parsed.User != nil:
		return nil, errors.New("proxy-url must not have a user name or a password: requesters are told it")
	case parsed.Hostname() == "":
		return nil, errors.New("proxy-url has no host")
	}
	return parsed, nil
}

// serverPattern is a pattern for the URL of an API server: see servers of
// ExecProvider in apis/config/v1alpha1 for what it means.
type serverPattern struct {
	labels []string
	port   string
	path   []string
}

// parseServerPattern returns the pattern that is written https://HOST[:PORT][/PATH].
func parseServerPattern(pattern string) (serverPattern, error) {
	rest, ok := strings.CutPrefix(pattern, httpsPrefix)
	if !ok {
		return serverPattern{}, errors.New("must start with https://")
	}
	if strings.ContainsAny(rest, `@?#%\ `) {
		return serverPattern{}, errors.New(`must not have any of @ ? # % \ and space`)
	}
	authority, path, _ := strings.Cut(rest, "/")
	host, port, err := splitHostPort(authority)
	if err != nil {
		return serverPattern{}, err
	}
	labels := strings.Split(strings.ToLower(host), ".")
	for _, label := range labels {
		if label == "" || label != wildcard && strings.Contains(label, wildcard) {
			return serverPattern{}, errors.New(`the host must be of labels, each of them plain or "*"`)
		}
	}
	if labels[len(labels)-1] == wildcard {
		return serverPattern{}, errors.New(`the last label of the host must not be "*"`)
	}
	segments, err := pathSegments(path)
	if err != nil {
		return serverPattern{}, err
	}
	for _, segment := range segments {
		if segment != wildcard && strings.Contains(segment, wildcard) {
			return serverPattern{}, errors.New(`a segment of the path must be plain or "*"`)
		}
	}
	return serverPattern{labels: labels, port: port, path: segments}, nil
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

// matches says whether the pattern allows a server, which parseServer returned.
func (p serverPattern) matches(server *url.URL) bool {
	port := server.Port()
	if port == "" {
		port = httpsPort
	}
	if p.port != wildcard && p.port != port {
		return false
	}
	segments, err := pathSegments(strings.TrimPrefix(server.Path, "/"))
	if err != nil {
		return false
	}
	return globMatches(p.labels, strings.Split(strings.ToLower(server.Hostname()), ".")) && globMatches(p.path, segments)
}

// globMatches says whether every part of the pattern is that of the value, or a wildcard for it.
func globMatches(pattern, value []string) bool {
	return slices.EqualFunc(pattern, value, func(p, v string) bool { return p == v || p == wildcard && v != "" })
}
