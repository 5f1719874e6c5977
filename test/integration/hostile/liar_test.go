// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"clusterpass.dev/test/answers"
	"clusterpass.dev/test/testenv"
)

// marker is in all that the liar makes up, so that it is found where it should not be.
const marker = "EVIL"

// steering are the characters that make a terminal do something.
const steering = "\x1b]0;" + marker + "\x07\x1b[31m\r\nroot# "

// lies are the ways to answer, by their names.
func lies(t *testing.T) map[string]http.HandlerFunc {
	t.Helper()
	bomb := answers.Gzip(t, bytes.Repeat([]byte(`{"items":[{},{}]} `), 4<<20))
	nested, items := strings.Repeat(`{"a":[`, 100_000), strings.Repeat("{},", 1<<18)+"{}"
	aliases := fmt.Sprintf("a: &a [%s]\nb: &b [%s]\nc: [%s]",
		strings.Repeat("x,", 1000), strings.Repeat("*a,", 1000), strings.Repeat("*b,", 1000))
	return map[string]http.HandlerFunc{
		"endless": answers.Endless,
		"slow": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", runtime.ContentTypeJSON)
			for {
				if _, err := io.WriteString(w, " "); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		},
		"bomb":          answers.Send(runtime.ContentTypeJSON, bomb, "Content-Encoding", "gzip"),
		"items":         answers.Send(runtime.ContentTypeProtobuf, many(t, "ClusterRoleBindingList", 1<<20)),
		"fields":        answers.Send(runtime.ContentTypeProtobuf, many(t, "ClusterRole", 1<<19)),
		"items-in-json": answers.Send(runtime.ContentTypeJSON, []byte(`{"kind":"ClusterRole","rules":[`+items+`],"items":[`+items+`]}`)),
		"nested":        answers.Send(runtime.ContentTypeJSON, []byte(nested)),
		"yaml":          answers.Send(runtime.ContentTypeYAML, []byte(aliases)),
		"kind":          answers.Send(runtime.ContentTypeProtobuf, many(t, "Pod", 1)),
		"none":          answers.Send("text/html", []byte("<html>"+steering+"</html>")),
		"header":        answers.Send(runtime.ContentTypeJSON, []byte("{}"), marker, strings.Repeat("a", 1<<20)),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:1/"+marker, http.StatusTemporaryRedirect)
		},
		"informational": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", strings.Repeat("a", 1<<10))
			for range 10_000 {
				w.WriteHeader(http.StatusEarlyHints)
			}
		},
		"breaks-off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"kind":`)
			panic(http.ErrAbortHandler)
		},
		"reason":  refuse(http.StatusGone),
		"words":   refuse(http.StatusForbidden),
		"invalid": refuse(http.StatusUnprocessableEntity),
		"later":   refuse(http.StatusTooManyRequests, "Retry-After", "2147483647"),
		"down":    refuse(http.StatusInternalServerError),
	}
}

// refuse answers with a Status whose every word is made up, and another one each time.
func refuse(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		word := fmt.Sprint(marker, time.Now().UnixNano(), steering)
		status := metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code),
			Reason: metav1.StatusReason(word), Message: strings.Repeat(word, 10),
			Details: &metav1.StatusDetails{Name: word, Kind: word, RetryAfterSeconds: 1 << 30},
		}
		for range 500 {
			status.Details.Causes = append(status.Details.Causes, metav1.StatusCause{Type: metav1.CauseType(word), Message: word, Field: word})
		}
		body, err := json.Marshal(status)
		if err != nil {
			panic(err)
		}
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Type", runtime.ContentTypeJSON)
		w.WriteHeader(code)
		_, _ = w.Write(body)
	}
}

// many returns an object in protobuf that has so many empty messages in its second field: the items
// of a list, the rules of a role.
func many(t *testing.T, kind string, count int) []byte {
	t.Helper()
	object := runtime.Unknown{
		TypeMeta: runtime.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: kind}, Raw: bytes.Repeat([]byte{2<<3 | 2, 0}, count),
	}
	return append([]byte("k8s\x00"), testenv.Must[[]byte](t)(object.Marshal())...)
}

// about are the requests that a liar lies about, by their names. All others are answered truly.
var about = map[string]func(r *http.Request) bool{
	"lists": func(r *http.Request) bool { return r.URL.Query().Has("limit") },
	"objects": func(r *http.Request) bool {
		return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/serviceaccounts/")
	},
	"tokens": func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/token") },
	"all":    func(*http.Request) bool { return true },
}

// liar is an API server for many member clusters at once, which are all one in truth: a path of two
// parts before that of the API says what is lied about, and how.
type liar struct {
	*httptest.Server
	lies map[string]http.HandlerFunc
	// truth answers everything else.
	truth http.Handler
}

// startLiar starts one in front of the cluster that config reaches.
func startLiar(t *testing.T, config *rest.Config) *liar {
	t.Helper()
	target := testenv.Must[*url.URL](t)(url.Parse(config.Host))
	tls, err := rest.TLSConfigFor(config)
	require.NoError(t, err)
	tls.Certificates, tls.GetClientCertificate = nil, nil
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{TLSClientConfig: tls, ForceAttemptHTTP2: true}
	l := &liar{lies: lies(t), truth: proxy}
	l.Server = httptest.NewUnstartedServer(l)
	l.EnableHTTP2 = true
	l.StartTLS()
	t.Cleanup(func() {
		l.CloseClientConnections()
		l.Close()
	})
	return l
}

// ServeHTTP implements http.Handler.
func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 3)
	if len(parts) < 3 {
		http.NotFound(w, r)
		return
	}
	r.URL.Path, r.URL.RawPath = "/"+parts[2], ""
	if lie := l.lies[parts[1]]; lie != nil && about[parts[0]](r) {
		lie(w, r)
		return
	}
	l.truth.ServeHTTP(w, r)
}
