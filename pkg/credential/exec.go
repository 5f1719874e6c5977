// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/pkg/apis/clientauthentication"
	"k8s.io/client-go/pkg/apis/clientauthentication/install"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
)

// ExecInfoEnv is the environment variable by which client-go tells a plugin what it is wanted for.
const ExecInfoEnv = "KUBERNETES_EXEC_INFO"

// Exec is one run of a plugin by client-go.
type Exec struct {
	// Credential is what client-go says, in the newest version.
	Credential clientauthenticationv1.ExecCredential

	version schema.GroupVersion
	codecs  serializer.CodecFactory
	scheme  *runtime.Scheme
}

// ParseExec reads what client-go says in ExecInfoEnv. Where info is empty, somebody else runs us,
// and is answered in version v1.
func ParseExec(info string) (*Exec, error) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	e := &Exec{version: clientauthenticationv1.SchemeGroupVersion, codecs: serializer.NewCodecFactory(scheme), scheme: scheme}
	if info == "" {
		return e, nil
	}
	object, kind, err := e.codecs.UniversalDeserializer().Decode([]byte(info), nil, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ExecInfoEnv, err)
	}
	internal := &clientauthentication.ExecCredential{}
	if err := scheme.Convert(object, internal, nil); err != nil {
		return nil, fmt.Errorf("%s is no ExecCredential: %w", ExecInfoEnv, err)
	}
	if err := scheme.Convert(internal, &e.Credential, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", ExecInfoEnv, err)
	}
	e.version = kind.GroupVersion()
	return e, nil
}

// Answer writes status in the version that client-go asked in.
func (e *Exec) Answer(w io.Writer, status *clientauthenticationv1.ExecCredentialStatus) error {
	internal := &clientauthentication.ExecCredential{}
	if err := e.scheme.Convert(&clientauthenticationv1.ExecCredential{Status: status}, internal, nil); err != nil {
		return err
	}
	// Encoded before a byte is written: client-go is to get all or nothing.
	encoded, err := runtime.Encode(e.codecs.LegacyCodec(e.version), internal)
	if err != nil {
		return errors.New("the ExecCredential can't be encoded")
	}
	_, err = w.Write(encoded)
	return err
}

// minValidity is for how long client-go does not ask again at the least. It asks for each request
// once the time it was told is over, and a clock that is fast, or a very short lifetime, must not
// make that a call to the hub each.
const minValidity = 3 * time.Second

// ExecStatus returns the credential for client-go.
//
// Its expirationTimestamp is not the token's: it is when the next one is to be asked for. client-go
// runs the plugin again once that time is over and uses the token until then. With the token's own
// expiry, a request that is sent in the last moment, or with a slow clock, would meet a member that
// no longer takes the token; and nobody would ask at the hub while there is time left to wait for a
// hub that is down. It is never less than three seconds ahead.
func (c *Credential) ExecStatus(now time.Time) *clientauthenticationv1.ExecCredentialStatus {
	expiration := c.AskAgain
	if soonest := now.Add(minValidity); expiration.Before(soonest) {
		expiration = soonest
	}
	return &clientauthenticationv1.ExecCredentialStatus{
		Token:               c.Token,
		ExpirationTimestamp: &metav1.Time{Time: expiration.UTC()},
	}
}

// httpsPort is the port of a server whose URL has none.
const httpsPort = "443"

// checkDestination returns nil when a client that connects as it says in to is certain to reach the
// cluster that the hub means, and else in what they differ: client-go would send the token there.
// The client may trust fewer authorities than the hub names, and no others. It may leave the TLS
// server name out, as upstream's access library does, and then expects the host of the URL. A proxy
// sees nothing of what TLS protects. A nil to is nobody in particular.
func checkDestination(to *clientauthenticationv1.Cluster, cluster v1alpha1.Cluster) error {
	if to == nil {
		return nil
	}
	switch {
	case to.InsecureSkipTLSVerify:
		return errors.New("the client does not verify the server (insecure-skip-tls-verify)")
	case !sameServer(to.Server, cluster.Server):
		return fmt.Errorf("the client's server is %q, and the hub says %q", to.Server, cluster.Server)
	case to.TLSServerName != "" && to.TLSServerName != cluster.TLSServerName:
		return fmt.Errorf("the client's tls-server-name is %q, and the hub says %q", to.TLSServerName, cluster.TLSServerName)
	}
	if err := checkAuthorities(to.CertificateAuthorityData, cluster.CertificateAuthorityData); err != nil {
		return fmt.Errorf("certificate-authority-data: %w", err)
	}
	return nil
}

// sameServer returns whether two URLs are those of one server that is reached by TLS.
func sameServer(a, b string) bool {
	left, leftErr := url.Parse(a)
	right, rightErr := url.Parse(b)
	return leftErr == nil && rightErr == nil && left.Scheme == "https" && right.Scheme == "https" &&
		strings.EqualFold(left.Hostname(), right.Hostname()) && cmp.Or(left.Port(), httpsPort) == cmp.Or(right.Port(), httpsPort) &&
		strings.TrimSuffix(left.Path, "/") == strings.TrimSuffix(right.Path, "/")
}

// checkAuthorities returns nil when every authority that is trusted is among those named.
func checkAuthorities(trusted, named []byte) error {
	if len(trusted) == 0 && len(named) == 0 {
		return nil
	}
	if len(trusted) == 0 || len(named) == 0 {
		return errors.New("only one of the client and the hub has any")
	}
	mine, err := endpoint.ParseBundle(trusted)
	if err != nil {
		return fmt.Errorf("the client's %w", err)
	}
	theirs, err := endpoint.ParseBundle(named)
	if err != nil {
		return fmt.Errorf("the hub's %w", err)
	}
	for _, certificate := range mine.Certificates {
		if !slices.ContainsFunc(theirs.Certificates, certificate.Equal) {
			return fmt.Errorf("the client trusts %q, which the hub does not name", certificate.Subject)
		}
	}
	return nil
}

const (
	// maxAnswer bounds what is read of an answer of the hub, in bytes: a token, and twice the
	// authorities of its cluster at most.
	maxAnswer = 1 << 20
	// maxRefusal bounds what is read of what says that a request has failed, in bytes: all of it may
	// end on a terminal.
	maxRefusal = 64 << 10
)

// boundedTransport reads the beginning of each answer: a hub that sends without an end costs no
// more. What is cut is no answer.
type boundedTransport struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	limit := int64(maxAnswer)
	if resp.StatusCode >= http.StatusBadRequest {
		limit = maxRefusal
	} else if req.Method == http.MethodGet {
		limit = maxPage
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, limit), resp.Body}
	return resp, nil
}

// WrappedRoundTripper implements utilnet.RoundTripperWrapper, by which client-go finds what is
// below.
func (t boundedTransport) WrappedRoundTripper() http.RoundTripper { return t.RoundTripper }
