// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAccessSpecs(t *testing.T) {
	t.Parallel()
	hour := time.Now().Add(time.Hour)
	good := credential(token(hour), hour)
	server, ca := member(t, "uid", nil)
	redirecting, itsCA := member(t, "uid", func(w http.ResponseWriter) bool {
		w.Header().Set("Location", server)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	})
	flooding, floodCA := member(t, "uid", func(w http.ResponseWriter) bool {
		_, _ = io.Copy(w, io.LimitReader(zeros{}, 10*memberAnswer)) // nobody reads to its end
		return true
	})
	nameless, namelessCA := member(t, "uid", func(w http.ResponseWriter) bool {
		fmt.Fprint(w, `{"status":{"userInfo":{"username":"system:anonymous"}}}`)
		return true
	})
	echoing, echoCA := member(t, "uid", func(w http.ResponseWriter) bool {
		fmt.Fprintf(w, `{"status":{"userInfo":{"username":%q}}}`, "work-"+token(hour)[10:40]+"-work")
		return true
	})
	busy, busyCA := member(t, "uid", func(w http.ResponseWriter) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	quoting, quoteCA := member(t, "uid", func(w http.ResponseWriter) bool {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			fmt.Fprintf(connection, "HTTP/1.1 %s\r\n\r\n", secretWord)
			err = connection.Close()
		}
		return err == nil
	})
	for name, test := range map[string]struct {
		id, answer     string
		profile        *unstructured.Unstructured
		outcome, words string
	}{
		"the provider is there":     {id: "access-provider", answer: good, outcome: passed, words: `"a": tested`},
		"no provider is configured": {id: "access-provider", answer: good, profile: newProfile("a"), outcome: notConformant, words: `"a"`},
		"the server is no URL": {
			id: "access-provider", answer: good, profile: newProfile("a", through("not-a-url", ca)), outcome: notConformant, words: `"not-a-url"`,
		},
		"a cluster is known as down": {
			id: "access-provider", answer: good, profile: newProfile("a", down), outcome: skippedSpec, words: "healthy",
		},
		"a credential is given":     {id: "access-credential", answer: good, outcome: passed},
		"the plugin prints no JSON": {id: "access-credential", answer: secretWord, outcome: notConformant, words: "prints no ExecCredential"},
		"the plugin prints no time": {
			id: "access-credential", answer: strings.Replace(good, `"expirationTimestamp":"`, `"expirationTimestamp":"`+secretWord, 1),
			outcome: notConformant, words: "prints no",
		},
		"the plugin prints too much": {
			id: "access-credential", answer: good + strings.Repeat(" ", pluginOutput), outcome: notConformant, words: "too long",
		},
		"the version is another": {
			id: "access-credential", answer: strings.Replace(good, "/v1", "/v1beta1", 1), outcome: notConformant, words: "does not answer with",
		},
		"the credential is empty": {
			id: "access-credential", answer: credential("", hour), outcome: notConformant, words: "neither a token nor",
		},
		"a certificate lacks its key": {
			id: "access-credential", answer: strings.Replace(good, `"token"`, `"clientCertificateData"`, 1),
			outcome: notConformant, words: "not both",
		},
		"the member knows the token": {id: "access-authenticated", answer: good, outcome: passed, words: `"a": work`},
		"the member refuses": {
			id: "access-authenticated", answer: credential("wrong", hour), outcome: notConformant, words: "answers 401",
		},
		"the member knows no name": {
			id: "access-authenticated", answer: good, profile: newProfile("a", through(nameless, namelessCA)),
			outcome: notConformant, words: "does not know",
		},
		"the member says the token": {
			id: "access-authenticated", answer: good, profile: newProfile("a", through(echoing, echoCA)),
			outcome: notConformant, words: "a part of it, as the name",
		},
		"the member says the token where a status is to be": {
			id: "access-authenticated", answer: good, profile: newProfile("a", through(quoting, quoteCA)),
			outcome: unknown, words: "is not HTTP",
		},
		"the member is busy": {
			id: "access-authenticated", answer: good, profile: newProfile("a", through(busy, busyCA)), outcome: unknown, words: "answers 503",
		},
		"the member is down": {
			id: "access-authenticated", answer: good, profile: newProfile("a", through("https://127.0.0.1:1", ca)),
			outcome: unknown, words: "can't be reached",
		},
		"the member redirects": {
			id: "access-authenticated", answer: good, profile: newProfile("a", through(redirecting, itsCA)),
			outcome: notConformant, words: "answers 307",
		},
		"the member answers too much": {
			id: "access-authenticated", answer: good, profile: newProfile("a", through(flooding, floodCA)), outcome: unknown, words: "too long",
		},
		"the member has another CA": {
			id: "access-authenticated", answer: good, profile: newProfile("a", through(server, itsCA[:0])), outcome: unknown, words: "certificate",
		},
		"the member is not to be verified": {
			id: "access-authenticated", answer: good, profile: newProfile("a", through(server, nil), unverified),
			outcome: skippedSpec, words: "insecure-skip-tls-verify",
		},
		"the member speaks no TLS": {
			id: "access-authenticated", answer: good, profile: newProfile("a", through("http://127.0.0.1:1", ca)),
			outcome: unknown, words: "https alone",
		},
		"an expiry is reported": {id: "expiry-reported", answer: good, outcome: passed, words: "expires in"},
		"no expiry is reported": {
			id: "expiry-reported", answer: credential(token(hour), time.Time{}), outcome: notConformant, words: "no expiry",
		},
		"no expiry can be known": {
			id: "expiry-reported", answer: credential(secretWord, time.Time{}), outcome: skippedSpec, words: "does not show",
		},
		"it has expired already": {
			id: "expiry-reported", answer: credential(token(hour), hour.Add(-2*time.Hour)),
			outcome: notConformant, words: "before the plugin was asked",
		},
		"it expires earlier": {
			id: "expiry-reported", answer: credential(token(hour), hour.Add(time.Minute)),
			outcome: notConformant, words: "and the credential ends at",
		},
		"an expiry is far away": {id: "credential-renewed", answer: good, outcome: skippedSpec, words: "longer than --watch-for"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			profile := test.profile
			if profile == nil {
				profile = newProfile("a", through(server, ca))
			}
			h, _ := fakeHub(profile)
			h.Providers, h.Log = plugin(t, test.answer), t.Output()
			result := specOf(t, test.id).run(t.Context(), h)
			expectResult(t, result, test.outcome, test.words)
			if strings.Contains(result.Message+result.Observed, secretWord) {
				t.Errorf("the credential is in the report: %s%s", result.Message, result.Observed)
			}
		})
	}
}

// A plugin of the older version is asked, and answers, in that.
func TestAccessSpecs_V1beta1(t *testing.T) {
	const version = "client.authentication.k8s.io/v1beta1"
	hour := time.Now().Add(time.Hour)
	server, ca := member(t, "uid", nil)
	h, _ := fakeHub(newProfile("a", through(server, ca)))
	answer := strings.Replace(credential(token(hour), hour), "client.authentication.k8s.io/v1", version, 1)
	h.Providers, h.Log = plugin(t, answer), t.Output()
	h.Providers[0].ExecConfig.APIVersion = version
	for _, spec := range accessSpecs()[:4] {
		expect(t, h, spec.ID, passed, `"a": `)
	}
}

func TestAccessSpecs_NoPlugin(t *testing.T) {
	h, _ := fakeHub(newProfile("a", through("https://example.com", nil)))
	for _, spec := range accessSpecs() {
		expect(t, h, spec.ID, skippedSpec, "no plugin is configured")
	}
	expect(t, h, "credential-renewed", skippedSpec, "no plugin is configured")
}

func TestCredentialRenewed(t *testing.T) {
	t.Parallel()
	server, ca := member(t, "uid", nil)
	soon := time.Now().Add(2 * time.Second).Truncate(time.Second)
	hour := soon.Add(time.Hour)
	first := credential(token(soon), soon)
	for name, test := range map[string]struct{ next, outcome, words string }{
		"a new one":              {next: credential(token(hour), hour), outcome: passed, words: "a new credential, for work"},
		"the same one":           {next: first, outcome: notConformant, words: "same credential"},
		"one that ends with it":  {next: credential(token(hour), soon), outcome: notConformant, words: "does not expire later"},
		"one that does not work": {next: credential("wrong", hour), outcome: notConformant, words: "answers 401"},
		"one that lies of its end": {
			next: credential(token(hour), hour.Add(time.Hour)), outcome: notConformant, words: "and the credential ends at",
		},
		"none, as the plugin fails": {next: "", outcome: notConformant, words: "prints no ExecCredential"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := fakeHub(newProfile("a", through(server, ca)))
			h.deadline, h.Providers, h.Log = soon.Add(time.Minute), plugin(t, first, test.next), t.Output()
			expect(t, h, "credential-renewed", test.outcome, test.words)
		})
	}
}

func TestMemberIDOneCluster(t *testing.T) {
	t.Parallel()
	hour := time.Now().Add(time.Hour)
	one, ca := member(t, "uid-1", nil)
	two, itsCA := member(t, "uid-2", nil)
	closed, closedCA := member(t, "", nil)
	sameID := labelled(labelMemberID, "id-of-a")
	for name, test := range map[string]struct {
		profiles       []*unstructured.Unstructured
		outcome, words string
	}{
		"one member of two namespaces": {
			profiles: []*unstructured.Unstructured{newProfile("a", through(one, ca)), newProfile("a", in("other"), through(one, ca))},
			outcome:  passed, words: `2 profiles reach 1 clusters; 1 are of a cluster that has another: "fleet/a" and "other/a"`,
		},
		"two members": {
			profiles: []*unstructured.Unstructured{newProfile("a", through(one, ca)), newProfile("b", through(two, itsCA))},
			outcome:  passed, words: "2 profiles reach 2 clusters",
		},
		"an id that is another's": {
			profiles: []*unstructured.Unstructured{newProfile("a", through(one, ca)), newProfile("x", in("other"), sameID, through(two, itsCA))},
			outcome:  notConformant, words: `"fleet/a" and "other/x" have one id and reach two clusters`,
		},
		"two ids of one cluster": {
			profiles: []*unstructured.Unstructured{newProfile("a", through(one, ca)), newProfile("b", through(one, ca))},
			outcome:  notConformant, words: "have different ids and reach one cluster",
		},
		"clusters that may not be told apart": {
			profiles: []*unstructured.Unstructured{newProfile("a", through(closed, closedCA)), newProfile("b", through(closed, closedCA))},
			outcome:  skippedSpec, words: "fewer than two",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := fakeHub(test.profiles...)
			h.Providers, h.Log, h.OtherNamespaces = plugin(t, credential(token(hour), hour)), t.Output(), true
			expect(t, h, "member-id-one-cluster", test.outcome, test.words)
		})
	}
}

// Whoever may write a profile in another namespace, with an id of the inventory, gets no credential
// sent to a server of theirs.
func TestMemberIDOneCluster_OtherNamespaces(t *testing.T) {
	hour := time.Now().Add(time.Hour)
	server, ca := member(t, "uid", nil)
	asked := 0
	theirs, theirCA := member(t, "uid", func(http.ResponseWriter) bool { asked++; return false })
	claiming := newProfile("x", in("other"), labelled(labelMemberID, "id-of-a"), through(theirs, theirCA))
	h, _ := fakeHub(newProfile("a", through(server, ca)), claiming)
	h.Providers, h.Log = plugin(t, credential(token(hour), hour)), t.Output()
	expect(t, h, "member-id-one-cluster", skippedSpec, "fewer than two")
	if asked > 0 {
		t.Error("the server of a profile in another namespace has been called")
	}
}

func TestLoadProviders(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"a provider": {content: `{"providers":[{"name":"a","execConfig":{"apiVersion":"client.authentication.k8s.io/v1","command":"x"}}]}`},
		"an unknown version": {
			content: `{"providers":[{"name":"a","execConfig":{"apiVersion":"v1","command":"x"}}]}`, want: "a provider needs",
		},
		"no command": {
			content: `{"providers":[{"name":"a","execConfig":{"apiVersion":"client.authentication.k8s.io/v1"}}]}`, want: "a provider needs",
		},
		"arguments that profiles choose": {
			content: `{"providers":[{"name":"a","profileSourcedCLIArgsPolicy":"Append"}]}`, want: "unknown field",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "providers.json")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := LoadProviders(path)
			if err == nil && test.want != "" || err != nil && (test.want == "" || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
