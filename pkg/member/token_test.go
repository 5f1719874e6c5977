// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// unsigned returns a token with these claims and a signature of nobody.
func unsigned(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature"))
}

func TestParseToken(t *testing.T) {
	const bound = `{"iat":1777896000,"exp":1777899600,"jti":"an-id","kubernetes.io":{"namespace":"default",` +
		`"serviceaccount":{"name":"work","uid":"1"},"secret":{"name":"binding","uid":"2"}}}`
	got, err := ParseToken(unsigned(bound))
	require.NoError(t, err)
	got.NotBefore, got.NotAfter = got.NotBefore.UTC(), got.NotAfter.UTC()
	assert.Equal(t, &BoundToken{
		Validity:  Validity{NotBefore: time.Unix(1777896000, 0).UTC(), NotAfter: time.Unix(1777899600, 0).UTC()},
		Namespace: "default", ServiceAccount: TokenObject{"work", "1"}, Secret: TokenObject{"binding", "2"}, ID: "an-id",
	}, got)

	const secret = "kept-to-itself"
	for name, test := range map[string]struct{ token, want string }{
		"nothing":                {"", "it is no bearer token"},
		"a line break":           {unsigned(bound) + "\nX-Header: " + secret, "it is no bearer token"},
		"a long token":           {unsigned(`{"a":"` + secret + strings.Repeat("a", MaxToken) + `"}`), "more than 16384 bytes"},
		"no JSON Web Token":      {secret, "it is no JSON Web Token"},
		"claims that are a list": {unsigned(`["` + secret + `"]`), "its claims can't be read"},
		"a long id":              {unsigned(`{"jti":"` + secret + strings.Repeat("a", maxTokenID) + `"}`), "its id has"},
		"an id of two lines":     {unsigned(`{"jti":"` + secret + `\nb"}`), "its id has"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseToken(test.token)
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), secret)
		})
	}
}

func TestValidityOf(t *testing.T) {
	issued, expires := time.Unix(1_700_000_000, 0), time.Unix(1_700_003_600, 0)
	ca := newAuthority(t, "ca")
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	certificate, _ := ca.issue(t, "clusterpass", until)
	for name, test := range map[string]struct {
		token       string
		certificate []byte
		from, until time.Time
	}{
		"a token says when it becomes valid":          {token: unsigned(`{"iat":1700000000,"exp":1700003600}`), from: issued, until: expires},
		"one of the old kind never ends":              {token: unsigned(`{"sub":"system:serviceaccount:a:b"}`)},
		"one that is no JWT says nothing":             {token: "abcdef.0123456789abcdef"},
		"one with other claims than a JWT's neither":  {token: unsigned(`{"exp":"soon"}`)},
		"a certificate says until when":               {certificate: certificate, until: until},
		"a certificate is looked at before the token": {certificate: certificate, token: unsigned(`{"exp":1}`), until: until},
		"what is no certificate says nothing":         {certificate: []byte("certificate")},
		"a plugin's credential is not known":          {},
	} {
		t.Run(name, func(t *testing.T) {
			got := validityOf(&rest.Config{BearerToken: test.token, TLSClientConfig: rest.TLSClientConfig{CertData: test.certificate}})
			assert.True(t, test.until.Equal(got.NotAfter), "until %s", got.NotAfter)
			if test.certificate == nil {
				assert.True(t, test.from.Equal(got.NotBefore), "from %s", got.NotBefore)
			}
		})
	}
}

func TestCheckToken(t *testing.T) {
	const (
		us        = "system:serviceaccount:clusterpass-system:clusterpass"
		notThere  = "404"
		unnamed   = "403 by a proxy"
		forbidden = "403"
		junk      = "401"
	)
	answer := func(w http.ResponseWriter, resource, what, user string) {
		w.Header().Set("Content-Type", "application/json")
		status := &metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure}
		switch what {
		case notThere:
			http.NotFound(w, nil)
			return
		case unnamed:
			http.Error(w, "<html>no</html>", http.StatusForbidden)
			return
		case junk:
			status.Code, status.Reason, status.Message = http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized"
		case forbidden:
			status.Code, status.Reason = http.StatusForbidden, metav1.StatusReasonForbidden
			status.Message = fmt.Sprintf(`%s is forbidden: User %q cannot create resource %q in API group "x" at the cluster scope`,
				resource, user, resource)
		default:
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, what)
			return
		}
		w.WriteHeader(int(status.Code))
		_ = json.NewEncoder(w).Encode(status)
	}
	is := func(user string) string {
		return fmt.Sprintf(`{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":{"username":%q}}}`, user)
	}
	may := func(allowed bool) string {
		return fmt.Sprintf(`{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":%t}}`, allowed)
	}
	for name, test := range map[string]struct {
		// who and rights answer the two reviews, user is in a 403, others answers the second for a token
		// of nobody.
		who, rights, user, others string
		want                      string
	}{
		"it says that it is us":                               {who: is(us)},
		"it says that it is somebody else":                    {who: is("alice"), want: `takes the token for that of user "alice"`},
		"it refuses the token":                                {who: junk, want: "Unauthorized"},
		"it forbids the review to us":                         {who: forbidden, user: us},
		"it forbids the review to nobody: a proxy dropped it": {who: forbidden, user: "system:anonymous", want: "system:anonymous"},
		"it has no such review, and we may renew":             {who: notThere, rights: may(true), others: junk},
		"it has no such review, and we may not renew":         {who: notThere, rights: may(false), others: junk, want: ErrNoRights.Error()},
		"it has no such review, and forbids the other to us":  {who: notThere, rights: forbidden, user: us},
		"it has no such review, and forbids the other to nobody": {
			who: notThere, rights: forbidden, user: "system:anonymous", want: "system:anonymous",
		},
		"it has no such review, and refuses the token":  {who: notThere, rights: junk, want: "Unauthorized"},
		"it has no such review, and accepts any token":  {who: notThere, rights: may(true), others: may(true), want: "accepts any token"},
		"it has neither review":                         {who: notThere, rights: notThere, want: "could not find"},
		"a proxy forbids the review, and we may renew":  {who: unnamed, rights: may(true), others: junk},
		"a proxy forbids both":                          {who: unnamed, rights: unnamed, want: "<html>no</html>"},
		"a name that only looks like ours is another's": {who: forbidden, user: us + `" cannot`, want: "takes the token for"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ours := r.Header.Get("Authorization") == "Bearer a-token"
				switch {
				case strings.HasSuffix(r.URL.Path, "/selfsubjectreviews"):
					answer(w, "selfsubjectreviews", test.who, test.user)
				case ours:
					answer(w, "selfsubjectaccessreviews", test.rights, test.user)
				default:
					answer(w, "selfsubjectaccessreviews", test.others, "system:anonymous")
				}
			}))
			defer server.Close()
			err := CheckToken(t.Context(), func(token string) Reviews {
				client, err := kubernetes.NewForConfig(&rest.Config{
					Host: server.URL, BearerToken: token, ContentConfig: rest.ContentConfig{ContentType: "application/json"},
				})
				require.NoError(t, err)
				return client
			}, "a-token", "clusterpass-system", "clusterpass")
			if test.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, test.want)
		})
	}
}
