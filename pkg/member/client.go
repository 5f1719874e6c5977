// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	authenticationv1client "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationv1client "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/client-go/util/connrotation"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
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
	joined   types.UID
	validity Validity

	gate           *gate
	uid            memberUID
	held           heldBytes
	own            kubernetes.Interface
	authentication *authenticationv1client.AuthenticationV1Client
	authorization  *authorizationv1client.AuthorizationV1Client
}

// newClient returns a client that uses a, which comes from entry. held counts the bytes of answers
// of all members.
func newClient(
	name types.NamespacedName, entry *inventoryv1alpha1.AccessProvider, a *access, options Options, held *semaphore.Weighted,
) (*Client, error) {
	connections := &clientConnections{tracker: connrotation.NewConnectionTracker()}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}
	config := rest.CopyConfig(a.config)
	config.Dial = connrotation.NewDialerWithTracker(dialer.DialContext, connections.tracker).DialContext
	config.UserAgent = options.UserAgent
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = contentTypes
	config.WarningHandler = rest.NoWarnings{}
	// The gate limits the calls, and so does the member's priority and fairness.
	config.QPS = -1

	c := &Client{
		name:     name,
		entry:    *entry.DeepCopy(),
		cluster:  a.cluster,
		joined:   a.joined,
		validity: validityOf(config),
		held:     heldBytes{one: semaphore.NewWeighted(maxHeldOfOne), all: held},
		uid:      memberUID{clock: options.Clock, required: a.several, turn: semaphore.NewWeighted(1)},
		gate:     newGate(options.Config.Limits, options.Clock, connections),
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
	if c.authentication, err = authenticationv1client.NewForConfigAndClient(config, anonymous); err != nil {
		return err
	}
	c.authorization, err = authorizationv1client.NewForConfigAndClient(config, anonymous)
	return err
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

// Joined returns the UID of the cluster that the client's access was made for, by the annotation
// MemberUIDAnnotation of its Secret; empty if that is not known.
func (c *Client) Joined() types.UID {
	return c.joined
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
	return authenticationv1client.New(tokenREST{t.client.authentication.RESTClient(), t.token})
}

// AuthorizationV1 returns the client for the member's authoriser.
func (t *TokenClient) AuthorizationV1() authorizationv1client.AuthorizationV1Interface {
	return authorizationv1client.New(tokenREST{t.client.authorization.RESTClient(), t.token})
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

// CauseIdentity is the cause in the details of a Status that refuses a request because a member is,
// or may be, another cluster than expected.
const CauseIdentity metav1.CauseType = "MemberIdentity"

const (
	// unknownFor is how long clusterpass waits before it asks again a member that does not report
	// its UID. It is refusedFor if requests fail because of that: a new member may refuse
	// everything in its first moments.
	unknownFor = 5 * time.Minute
	refusedFor = 10 * time.Second

	doingUID = "find out which cluster it is"
)

// memberUID caches the UID of a member.
type memberUID struct {
	clock clock.PassiveClock
	// required says that requests need the UID, because the access may lead to several clusters.
	required bool
	// turn is a lock that a context can interrupt. It guards the fields below.
	turn *semaphore.Weighted
	uid  types.UID
	// unknown is why the member did not report its UID, and since is when.
	unknown error
	since   time.Time
}

// MemberUID returns the UID of the member's namespace kube-system, which identifies the cluster. It
// asks the member once, because the client is for one server, CA and credential. If clusterpass may
// not read the namespace, the UID is empty, and a later call asks again. That is an error with
// CauseIdentity if users who edit the status of the ClusterProfile can choose the server. So is
// another UID than Joined. Errors are metav1.Status errors for the requester, unless ctx ended.
func (c *Client) MemberUID(ctx context.Context) (types.UID, error) {
	u := &c.uid
	if u.turn.Acquire(ctx, 1) != nil {
		return "", c.Error(endOfContext(ctx), doingUID)
	}
	defer u.turn.Release(1)
	again := unknownFor
	if u.required {
		again = refusedFor
	}
	if u.uid == "" && (u.unknown == nil || u.clock.Since(u.since) >= again) {
		if err := c.askUID(ctx); err != nil {
			return "", c.Error(err, doingUID)
		}
	}
	if u.uid == "" && u.required {
		return "", newStatusError(c.name, http.StatusServiceUnavailable, CauseIdentity, fmt.Sprintf(
			"it is not known which cluster this is, and access provider %q may lead to several: let clusterpass get the namespace kube-system "+
				"there (kubectl apply -k artifacts/deploy/member): %s", c.entry.Name, clip(withoutUser(u.unknown.Error()))), 0)
	}
	if u.uid != "" && c.joined != "" && u.uid != c.joined {
		return "", newStatusError(c.name, http.StatusConflict, CauseIdentity, fmt.Sprintf(
			"its Secret leads to another cluster than it was made for: the UID of the namespace kube-system there is %s, and not %s, "+
				"as the annotation %s of the Secret says", u.uid, c.joined, MemberUIDAnnotation), 0)
	}
	return u.uid, nil
}

// askUID asks the member. The caller holds c.uid.turn.
func (c *Client) askUID(ctx context.Context) error {
	u := &c.uid
	system, err := c.own.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		u.unknown, u.since = err, u.clock.Now()
		return nil
	case err != nil:
		return err
	}
	// The UID is stored on the hub and shown to users.
	if system.UID == "" || len(validation.IsValidLabelValue(string(system.UID))) > 0 {
		return &failure{cause: CauseAnswer, err: errors.New("the UID of its namespace kube-system is not valid"), blame: answered}
	}
	u.uid, u.unknown = system.UID, nil
	return nil
}
