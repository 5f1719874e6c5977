// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	certutil "k8s.io/client-go/util/cert"
)

// answerEnv makes the binary of the tests a plugin, which prints the file of this name.
const answerEnv = "CONFORMANCE_TEST_ANSWER"

func TestMain(m *testing.M) {
	path := os.Getenv(answerEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	// The test's plugin fails without the cluster.
	var info struct {
		Spec struct {
			Cluster struct{ Server, Config string }
		}
	}
	if err := json.Unmarshal([]byte(os.Getenv(execInfoEnv)), &info); err != nil || info.Spec.Cluster.Config != "for the plugin" {
		os.Exit(9)
	}
	answer, err := os.ReadFile(path)
	if err != nil {
		os.Exit(8)
	}
	if _, err := os.Stdout.Write(answer); err != nil {
		os.Exit(7)
	}
	// The next answer, if there is one.
	if os.Rename(path+".next", path) != nil {
		os.Exit(0)
	}
}

// secretWord is in all credentials of these tests.
const secretWord = "s3cret"

// token returns a JWT that ends at a time.
func token(end time.Time) string {
	payload := fmt.Sprintf(`{"exp":%d,"jti":%q}`, end.Unix(), secretWord+end.Format(time.RFC3339Nano))
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "." + secretWord
}

// credential returns what a plugin prints.
func credential(token string, expires time.Time) string {
	status := object{"token": token}
	if !expires.IsZero() {
		status["expirationTimestamp"] = expires.UTC().Format(time.RFC3339)
	}
	data, err := json.Marshal(object{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})
	if err != nil {
		panic(err)
	}
	return string(data)
}

// member is an API server that knows every token with the secret word as the user work.
func member(t *testing.T, uid string, refuse func(w http.ResponseWriter) bool) (server string, ca []byte) {
	t.Helper()
	at := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case refuse != nil && refuse(w):
		case !strings.HasSuffix(r.Header.Get("Authorization"), secretWord):
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasSuffix(r.URL.Path, "/selfsubjectreviews"):
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"status":{"userInfo":{"username":"work"}}}`)
		case uid == "":
			w.WriteHeader(http.StatusForbidden)
		default:
			fmt.Fprintf(w, `{"metadata":{"name":"kube-system","uid":%q}}`, uid)
		}
	}))
	at.Config.ErrorLog = nil
	at.StartTLS()
	t.Cleanup(at.Close)
	ca, err := certutil.EncodeCertificates(at.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	return at.URL, ca
}

// through gives a profile an access provider.
func through(server string, ca []byte) func(*unstructured.Unstructured) {
	return func(o *unstructured.Unstructured) {
		providers := []any{object{"name": "tested", "cluster": object{
			"server": server, "certificate-authority-data": base64.StdEncoding.EncodeToString(ca),
			"extensions": []any{object{"name": execExtension, "extension": "for the plugin"}},
		}}}
		if err := unstructured.SetNestedSlice(o.Object, providers, "status", "accessProviders"); err != nil {
			panic(err)
		}
	}
}

// unverified has the member's certificate not be verified.
func unverified(o *unstructured.Unstructured) {
	providers, _, _ := unstructured.NestedSlice(o.Object, "status", "accessProviders")
	providers[0].(object)["cluster"].(object)["insecure-skip-tls-verify"] = true
	if err := unstructured.SetNestedSlice(o.Object, providers, "status", "accessProviders"); err != nil {
		panic(err)
	}
}

// plugin returns a provider whose plugin prints one answer after another.
func plugin(t *testing.T, answers ...string) []Provider {
	t.Helper()
	path := filepath.Join(t.TempDir(), "answer")
	for i, answer := range answers {
		if err := os.WriteFile(path+strings.Repeat(".next", i), []byte(answer), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []Provider{{Name: "tested", ExecConfig: &clientcmdv1.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: program, ProvideClusterInfo: true,
		Env: []clientcmdv1.ExecEnvVar{{Name: answerEnv, Value: path}},
	}}}
}

func down(o *unstructured.Unstructured) {
	conditions := []any{object{
		"type": conditionHealthy, "status": "False", "reason": "Test", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z",
	}}
	if err := unstructured.SetNestedSlice(o.Object, conditions, "status", "conditions"); err != nil {
		panic(err)
	}
}

type zeros struct{}

func (zeros) Read(data []byte) (int, error) {
	clear(data)
	return len(data), nil
}
