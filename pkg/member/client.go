// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/client-go/util/connrotation"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

const (
	// dialTimeout bounds how long it may take to open a connection.
	dialTimeout = 5 * time.Second
	keepAlive   = 30 * time.Second

	contentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
)

// Client is the client for one member cluster, with clusterpass's credential for it. It is safe for
// concurrent use. The contexts of calls bound them. Set deadlines of clusterpass's own with
// context.WithTimeoutCause: only those count against a member that misses them, while a requester's
// deadline does not.
type Client struct {
	name     types.NamespacedName
	entry    inventoryv1alpha1.AccessProvider
	cluster  clientcmdv1.Cluster
	validity Validity

	gate           *gate
	uid            memberUID
	held           heldBytes
	own            kubernetes.Interface
	authentication rest.Interface
	authorization  rest.Interface
}

// clientOptions is what all clients of a pool have in common.
type clientOptions struct {
	limits    configv1alpha1.Limits
	clock     clock.WithTicker
	userAgent string
	held      *semaphore.Weighted
}

// newClient returns a client that uses a, which comes from entry.
func newClient(name types.NamespacedName, entry *inventoryv1alpha1.AccessProvider, a *access, options clientOptions) (*Client, error) {
	connections := &clientConnections{tracker: connrotation.NewConnectionTracker()}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	config := rest.CopyConfig(a.config)
	config.Dial = connrotation.NewDialerWithTracker(dialer.DialContext, connections.tracker).DialContext
	config.UserAgent = options.userAgent
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = contentTypes
	config.WarningHandler = rest.NoWarnings{}
	// The gate limits the calls, and so does the member's priority and fairness.
	config.QPS = -1

	c := &Client{
		name:     name,
		entry:    *entry.DeepCopy(),
		cluster:  a.cluster,
		validity: validityOf(config),
		held:     newHeldBytes(options.held),
		uid:      newMemberUID(options.clock, a.several),
		gate:     newGate(options.limits, options.clock, connections),
	}
	if err := c.connect(config, a.plugin, connections); err != nil {
		return nil, fmt.Errorf("building the client: %w", err)
	}
	return c, nil
}

// connect builds the clients for config: one with its credential, and one without.
func (c *Client) connect(config *rest.Config, plugin bool, connections *clientConnections) error {
	own, err := c.httpClient(config, credentialOwn, plugin, connections)
	if err != nil {
		return err
	}
	if c.own, err = kubernetes.NewForConfigAndClient(config, own); err != nil {
		return err
	}
	// AnonymousClientConfig copies no field that could hold a credential.
	config = rest.AnonymousClientConfig(config)
	anonymous, err := c.httpClient(config, credentialMinted, false, connections)
	if err != nil {
		return err
	}
	authentication, err := authenticationv1client.NewForConfigAndClient(config, anonymous)
	if err != nil {
		return err
	}
	authorization, err := authorizationv1client.NewForConfigAndClient(config, anonymous)
	if err != nil {
		return err
	}
	c.authentication, c.authorization = authentication.RESTClient(), authorization.RESTClient()
	return nil
}

// httpClient returns an HTTP client with the credential of config, behind the gate.
func (c *Client) httpClient(config *rest.Config, credential string, plugin bool, connections *clientConnections) (*http.Client, error) {
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	boundConnections(transport)
	connections.transports = append(connections.transports, transport)
	transport = &gatedTransport{gate: c.gate, inner: transport, held: c.held, credential: credential}
	if plugin {
		transport = &pluginTransport{inner: transport}
	}
	return &http.Client{Transport: transport}, nil
}

// boundConnections bounds what a member can send before anyone reads it: the headers of answers,
// including those with status 1xx, whose default is 10 MiB; and, with HTTP/2, the bodies, whose
// default is 4 MiB a call and 1 GiB a connection. No other client shares the transport, because its
// dialer is its own.
func boundConnections(transport http.RoundTripper) {
	for transport != nil {
		switch t := transport.(type) {
		case *http.Transport:
			t.MaxResponseHeaderBytes = maxHeader
			t.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: maxUnread, MaxReceiveBufferPerConnection: maxUnreadOfOne}
			return
		case utilnet.RoundTripperWrapper:
			transport = t.WrappedRoundTripper()
		default:
			return
		}
	}
}

// Name returns the namespace and name of the ClusterProfile.
func (c *Client) Name() types.NamespacedName {
	return c.name
}

// Kubernetes returns clients that act as clusterpass on the member. They have no rate limit, and
// never retry: an answer with Retry-After is an error.
func (c *Client) Kubernetes() kubernetes.Interface {
	return c.own
}

// Cluster returns server, CA, server name and proxy of the member, without a credential.
func (c *Client) Cluster() clientcmdv1.Cluster {
	return *c.cluster.DeepCopy()
}

// Provider returns a copy of the access provider's entry that the client comes from.
func (c *Client) Provider() inventoryv1alpha1.AccessProvider {
	return *c.entry.DeepCopy()
}

// WithToken returns clients that act on the member as the holder of token. They send nothing of
// clusterpass's own credential, neither token nor client certificate. A call is cheap: all tokens
// share the connections of one transport.
func (c *Client) WithToken(token string) *TokenClient {
	return &TokenClient{client: c, token: token}
}

// TokenClient makes the requests that clusterpass sends a member with a minted token.
type TokenClient struct {
	client *Client
	token  string
}

// AuthenticationV1 returns the client for the member's authenticator.
func (t *TokenClient) AuthenticationV1() authenticationv1client.AuthenticationV1Interface {
	return authenticationv1client.New(tokenREST{t.client.authentication, t.token})
}

// AuthorizationV1 returns the client for the member's authoriser.
func (t *TokenClient) AuthorizationV1() authorizationv1client.AuthorizationV1Interface {
	return authorizationv1client.New(tokenREST{t.client.authorization, t.token})
}

// tokenREST adds a token to POST, the only requests of review clients.
type tokenREST struct {
	rest.Interface
	token string
}

// Post returns a request with the token.
func (r tokenREST) Post() *rest.Request {
	return r.Interface.Post().SetHeader("Authorization", "Bearer "+r.token)
}

// clientConnections are all connections of one client.
type clientConnections struct {
	tracker    *connrotation.ConnectionTracker
	transports []http.RoundTripper
}

func (c *clientConnections) closeIdle() {
	for _, transport := range c.transports {
		utilnet.CloseIdleConnectionsFor(transport)
	}
}

func (c *clientConnections) closeAll() {
	c.closeIdle()
	c.tracker.CloseAll()
}
