// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"k8s.io/client-go/rest"
)

const (
	// memberTimeout bounds a call to a member, and memberAnswer what is read of its answer.
	memberTimeout = 20 * time.Second
	memberAnswer  = 1 << 20

	anonymous = "system:anonymous"
)

// memberClient calls the API server of a member with a credential.
type memberClient struct {
	http   *http.Client
	server string
}

// serverURL returns the URL of a cluster's API server. It is a violation if that is none.
func serverURL(c *cluster) (*url.URL, error) {
	server, err := url.Parse(c.Server)
	if err != nil || server.Scheme == "" || server.Host == "" {
		return nil, violated("the server %s is not an absolute URL with a host", quote(c.Server))
	}
	return server, nil
}

// newMemberClient returns a client for a cluster. It follows no redirect: the credential is for
// that server.
func newMemberClient(c *cluster, credential *clientauthenticationv1.ExecCredentialStatus) (*memberClient, error) {
	server, err := serverURL(c)
	if err != nil {
		return nil, err
	}
	if server.Scheme != "https" {
		return nil, errors.New("the suite sends credentials by https alone")
	}
	if c.InsecureSkipTLSVerify {
		return nil, skipped("the suite sends no credential to a server that is not to be verified (insecure-skip-tls-verify)")
	}
	config := &rest.Config{
		Host: c.Server, BearerToken: credential.Token,
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: c.TLSServerName, CAData: c.CertificateAuthorityData,
			CertData: []byte(credential.ClientCertificateData), KeyData: []byte(credential.ClientKeyData),
		},
		DisableCompression: c.DisableCompression,
	}
	if c.ProxyURL != "" {
		proxy, err := url.Parse(c.ProxyURL)
		if err != nil {
			return nil, violated("the proxy %s is not a URL", quote(c.ProxyURL))
		}
		config.Proxy = http.ProxyURL(proxy)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, violated("no client can be made for the server %s: %v", quote(c.Server), err)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &memberClient{http: client, server: strings.TrimRight(c.Server, "/")}, nil
}

// whoami returns whom the member takes the credential for.
func (m *memberClient) whoami(ctx context.Context) (string, error) {
	review := &authenticationv1.SelfSubjectReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authenticationv1.SchemeGroupVersion.String(), Kind: "SelfSubjectReview"},
	}
	body, err := json.Marshal(review)
	if err != nil {
		return "", err
	}
	if err := m.call(ctx, http.MethodPost, "/apis/authentication.k8s.io/v1/selfsubjectreviews", body, review); err != nil {
		return "", err
	}
	name := review.Status.UserInfo.Username
	if name == "" || name == anonymous {
		return "", violated("the member does not know who has the credential")
	}
	return name, nil
}

// clusterUID returns the UID of the member's namespace kube-system, which no other cluster has.
func (m *memberClient) clusterUID(ctx context.Context) (string, error) {
	var namespace corev1.Namespace
	err := m.call(ctx, http.MethodGet, "/api/v1/namespaces/"+metav1.NamespaceSystem, nil, &namespace)
	if err == nil && namespace.UID == "" {
		err = errors.New("the namespace has no UID")
	}
	return string(namespace.UID), err
}

// statusError is the status of an answer that is none of 200 and 201.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("the member answers %d", int(e)) }

// refuses returns whether the member has refused what it was sent: it is not merely busy, broken,
// or too old to know the question.
func (e statusError) refuses() bool {
	return e < http.StatusInternalServerError && e != http.StatusTooManyRequests && e != http.StatusNotFound
}

// unanswered says why there is no answer, in words of which the member chooses none: after it has
// seen the credential, an error of the HTTP client may quote that.
func unanswered(err error) error {
	network, isNetwork := errors.AsType[*net.OpError](err)
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return errors.New("the member does not answer in time")
	case unverified:
		return errors.New("the certificate of the member's server can't be verified")
	case isNetwork:
		return fmt.Errorf("the member can't be reached: %w", network)
	}
	return errors.New("the member's answer is not HTTP as it should be")
}

// call makes a request and decodes the answer.
func (m *memberClient) call(ctx context.Context, method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, memberTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, m.server+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := m.http.Do(request)
	if err != nil {
		return unanswered(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated {
		return statusError(response.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, memberAnswer+1))
	if err != nil {
		return unanswered(err)
	}
	if len(answer) > memberAnswer || json.Unmarshal(answer, into) != nil {
		return errors.New("the member's answer is too long, or not what was asked for")
	}
	return nil
}
