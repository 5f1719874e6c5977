// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

const (
	// reviewPath is where a hub says who its client is, since Kubernetes 1.28.
	reviewPath = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	// reviewTimeout bounds one SelfSubjectReview.
	reviewTimeout = 10 * time.Second
	// ownExtra is the prefix of what Kubernetes' own authenticators say of a credential, as its ID:
	// each token has another.
	ownExtra = "authentication.kubernetes.io/"

	// loginsName is the file of the cache that says whose the credentials were which the hub was asked
	// about.
	loginsName = "logins"
	// loginsVersion is its format.
	loginsVersion = 1
	// maxLogins bounds how many it holds: an exec plugin may print another credential each time.
	maxLogins = 64
	// loginAge is for how long one is remembered.
	loginAge = 7 * 24 * time.Hour
	// loginKeySize is that of the key in bytes.
	loginKeySize = 32
)

// identifier says who we are on the hub.
type identifier interface {
	// identity returns what tells apart people on the hub, and the username there where the hub says
	// it.
	identity(ctx context.Context) (id, username string, err error)
}

// person finds out who the hub says we are, and asks again only when the login sends another
// credential.
//
// It remembers in the cache whose credential is whose. Credentials are kept as keyed hashes alone,
// by a random key of the folder: the file does not tell whether a guess of a password is right to
// whoever gets hold of another file of it.
type person struct {
	hub   *Hub
	cache *cache
	clock clock.PassiveClock
}

// identity implements identifier.
//
// A kubeconfig does not say who logs in: an exec plugin may go by an environment variable, and a
// token file changes. So it is the credential that counts, and the hub says whose that is. A hub
// that does not say so, as before Kubernetes 1.28, has each credential be a person of its own.
// Without an answer there is no identity, and no cached token is used.
func (p *person) identity(ctx context.Context) (id, username string, err error) {
	sent, err := p.hub.credential(ctx)
	if err != nil {
		return "", "", fmt.Errorf("the login to hub %s failed: %w", p.hub.config.Host, err)
	}
	known, err := p.find(ctx, sent)
	if err != nil {
		return "", "", err
	}
	if known.Identity != "" {
		return known.Identity, known.Username, nil
	}
	user, err := p.hub.whoAmI(ctx)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err), apierrors.IsForbidden(err):
		known.Identity = "credential " + known.Credential
	case apierrors.IsUnauthorized(err):
		return "", "", fmt.Errorf("hub %s does not accept your login: %w", p.hub.config.Host, err)
	case err != nil:
		return "", "", fmt.Errorf("your login to hub %s is new or has changed, and the hub can't be asked whose it is: %w",
			p.hub.config.Host, err)
	default:
		known.Username = user.Username
		if known.Identity, err = hashUser(user); err != nil {
			return "", "", err
		}
	}
	// client-go may have logged in again meanwhile, as somebody else.
	if now, err := p.hub.credential(ctx); err == nil && bytes.Equal(now, sent) {
		_ = p.remember(ctx, sent, known) // else the hub is asked again
	}
	return known.Identity, known.Username, nil
}

// hashUser returns a hash of who a user is and of what is decided by, without what is only about
// the credential.
func hashUser(user authenticationv1.UserInfo) (string, error) {
	extra := map[string]authenticationv1.ExtraValue{}
	for key, value := range user.Extra {
		if !strings.HasPrefix(key, ownExtra) {
			extra[key] = value
		}
	}
	return hash([]any{user.Username, user.UID, slices.Sorted(slices.Values(user.Groups)), extra})
}

// whoAmI returns whom the hub knows its client as.
func (h *Hub) whoAmI(ctx context.Context) (authenticationv1.UserInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	review := &authenticationv1.SelfSubjectReview{}
	err := h.client.Post().AbsPath(reviewPath).Body(review).Do(ctx).Into(review)
	return review.Status.UserInfo, err
}

// Username returns the name that the hub knows its client by.
func (h *Hub) Username(ctx context.Context) (string, error) {
	user, err := h.whoAmI(ctx)
	if err != nil {
		return "", fmt.Errorf("asking hub %s who you are, to name a ServiceAccount for you (or use --%s): %w",
			h.config.Host, flagServiceAccount, err)
	}
	return user.Username, nil
}

// credential returns what a request to the hub would log in with now: headers and client
// certificates, as client-go makes them. It runs the exec plugin where there is one, and sends
// nothing.
func (h *Hub) credential(ctx context.Context) ([]byte, error) {
	config, err := h.config.TransportConfig()
	if err != nil {
		return nil, err
	}
	var sent recorder
	roundTripper, err := transport.HTTPWrappersForConfig(config, &sent)
	if err != nil {
		return nil, err
	}
	// No logger: a request that is not sent would be logged as one.
	request, err := http.NewRequestWithContext(klog.NewContext(ctx, klog.New(nil)), http.MethodGet, "https://hub", http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := roundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	certificates, err := clientCertificates(config)
	if err != nil {
		return nil, err
	}
	return json.Marshal([]any{sent.header, certificates})
}

// clientCertificates returns the chain that would be shown to a server that asks for one.
func clientCertificates(config *transport.Config) ([][]byte, error) {
	tlsConfig, err := transport.TLSConfigFor(config)
	if err != nil || tlsConfig == nil || tlsConfig.GetClientCertificate == nil {
		return nil, err
	}
	certificate, err := tlsConfig.GetClientCertificate(&tls.CertificateRequestInfo{})
	if err != nil || certificate == nil {
		return nil, err
	}
	return certificate.Certificate, nil
}

// recorder keeps the headers of a request in place of sending it.
type recorder struct {
	header http.Header
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.header = request.Header.Clone()
	r.header.Del("User-Agent")
	return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: request}, nil
}

// hubID returns a hash of which hub config leads to.
func hubID(config *rest.Config) (string, error) {
	config = rest.CopyConfig(config)
	if err := rest.LoadTLSFiles(config); err != nil {
		return "", err
	}
	return hash([]any{config.Host, config.APIPath, config.ServerName, config.CAData, config.Insecure})
}

// login is a credential that the hub was asked about.
type login struct {
	Credential string    `json:"credential"`
	Identity   string    `json:"identity"`
	Username   string    `json:"username,omitempty"`
	At         time.Time `json:"at"`
}

type loginsFile struct {
	Version int     `json:"version"`
	Key     []byte  `json:"key" datapolicy:"security-key"`
	Known   []login `json:"known"`
}

// find returns the login of a credential; its identity is empty when it is not known.
func (p *person) find(ctx context.Context, credential []byte) (login, error) {
	file, err := p.open(ctx)
	if err != nil {
		return login{}, err
	}
	sum := p.sum(file, credential)
	for _, known := range file.Known {
		if known.Credential == sum && p.clock.Since(known.At) < loginAge {
			return known, nil
		}
	}
	return login{Credential: sum}, nil
}

// remember keeps whose a credential is. Where that is not possible, the hub is asked again the next
// time.
func (p *person) remember(ctx context.Context, credential []byte, found login) error {
	unlock, err := p.cache.lock(ctx, loginsName)
	if err != nil {
		return err
	}
	defer unlock()
	file, err := p.load()
	if err != nil || file == nil || p.sum(file, credential) != found.Credential {
		return err // the key is another by now
	}
	found.At = p.clock.Now()
	file.Known = slices.DeleteFunc(file.Known, func(known login) bool {
		return known.Credential == found.Credential || p.clock.Since(known.At) >= loginAge
	})
	file.Known = append(file.Known, found)
	file.Known = file.Known[max(0, len(file.Known)-maxLogins):]
	return p.cache.write(loginsName, file)
}

// open returns what is kept. Where there is nothing that can be used, it begins anew, with another
// key.
func (p *person) open(ctx context.Context) (*loginsFile, error) {
	if file, err := p.load(); file != nil || err != nil {
		return file, err
	}
	unlock, err := p.cache.lock(ctx, loginsName)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if file, err := p.load(); file != nil || err != nil {
		return file, err
	}
	file := &loginsFile{Version: loginsVersion, Key: make([]byte, loginKeySize)}
	_, _ = rand.Read(file.Key) // it never fails
	// A key that cannot be kept, as on a read-only filesystem, is for this once.
	_ = p.cache.write(loginsName, file)
	return file, nil
}

// load returns what is kept, or nil if there is nothing that can be used.
func (p *person) load() (*loginsFile, error) {
	content, err := readFile(filepath.Join(p.cache.dir, loginsName))
	if errors.Is(err, errUnsafe) {
		return nil, err
	}
	file := &loginsFile{}
	if err != nil || json.Unmarshal(content, file) != nil || file.Version != loginsVersion || len(file.Key) != loginKeySize {
		return nil, nil //nolint:nilerr,nilnil // it is replaced
	}
	return file, nil
}

// sum returns the keyed hash of a credential for the hub.
func (p *person) sum(file *loginsFile, credential []byte) string {
	mac := hmac.New(sha256.New, file.Key)
	mac.Write([]byte(p.hub.id))
	mac.Write(credential)
	return hex.EncodeToString(mac.Sum(nil))
}
