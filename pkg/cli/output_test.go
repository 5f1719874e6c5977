// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// decoders read the formats that hold all of an object.
var decoders = map[string]func([]byte, any) error{
	"json":  json.Unmarshal,
	"yaml":  func(data []byte, into any) error { return yaml.UnmarshalStrict(data, into) },
	"kyaml": func(data []byte, into any) error { return yaml.UnmarshalStrict(data, into) },
}

// outputs are what a command prints by the flags for its output.
type outputs map[string]struct {
	args []string
	want string
}

func (o outputs) expect(t *testing.T, command ...string) {
	t.Helper()
	for name, test := range o {
		t.Run(name, func(t *testing.T) {
			out, stderr, err := execute(t, slices.Concat(command, test.args)...)
			require.NoError(t, err)
			assert.Equal(t, test.want, out)
			assert.Empty(t, stderr)
		})
	}
}

func TestToken_Output(t *testing.T) {
	newFakeHub(t)
	template := filepath.Join(t.TempDir(), "template")
	require.NoError(t, os.WriteFile(template, []byte("{.grantName}"), 0o600))
	outputs{
		"the token alone":          {nil, secretToken + "\n"},
		"an empty format":          {[]string{"--output="}, secretToken + "\n"},
		"a JSONPath":               {[]string{"-o", "jsonpath={.token} {.grantName}"}, secretToken + " grant"},
		"a JSONPath as JSON":       {[]string{"-o", "jsonpath-as-json={.grantName}"}, "[\n    \"grant\"\n]\n"},
		"a JSONPath of a file":     {[]string{"-o", "jsonpath-file=" + template}, "grant"},
		"a template":               {[]string{"-o", "go-template={{.cluster.server}}"}, "https://bravelion.example.com:6443"},
		"base64decode":             {[]string{"-o", `go-template={{index .cluster "certificate-authority-data" | base64decode}}`}, "authority"},
		"--template alone":         {[]string{"--template={{.grantName}}"}, "grant"},
		"the kind of the answer":   {[]string{"-o", "jsonpath={.apiVersion} {.kind}"}, "clusterpass.dev/v1alpha1 AuthTokenRequestStatus"},
		"a missing field is empty": {[]string{"-o", "jsonpath={.metadata.name}"}, ""},
	}.expect(t, "token", "bravelion")
	for format, decode := range decoders {
		t.Run(format, func(t *testing.T) {
			out := succeed(t, "token", "bravelion", "-o", format)
			var answer struct {
				metav1.TypeMeta                 `json:",inline"`
				v1alpha1.AuthTokenRequestStatus `json:",inline"`
			}
			require.NoError(t, decode([]byte(out), &answer))
			assert.Equal(t, secretToken, answer.Token)
			assert.Equal(t, "grant", answer.GrantName)
			assert.Equal(t, "authority", string(answer.Cluster.CertificateAuthorityData))
			assert.NotNil(t, answer.ExpirationTimestamp)
		})
	}
}

// A printer's own error quotes the answer, and with it the token.
func TestToken_OutputRefused(t *testing.T) {
	for name, test := range map[string]struct {
		args   []string
		want   string
		minted int
	}{
		"an unknown format":            {[]string{"-o", "wide"}, `output format "wide", allowed formats are: go-template`, 0},
		"a name":                       {[]string{"-o", "name"}, `output format "name", allowed formats are: go-template`, 0},
		"a JSONPath that is none":      {[]string{"-o", "jsonpath={"}, "error parsing jsonpath", 0},
		"a template that is none":      {[]string{"-o", "go-template={{"}, "error parsing template", 0},
		"a JSONPath that does not fit": {[]string{"-o", "jsonpath={.token[0]}"}, "does not fit", 1},
		"a missing field":              {[]string{"-o=jsonpath={.tokens}", "--allow-missing-template-keys=false"}, "does not fit", 1},
		"a template that does not fit": {[]string{"-o", "go-template={{.token}}{{.token.kind}}"}, "does not fit", 1},
		"what a function refuses":      {[]string{"-o", "go-template={{.token | base64decode}}"}, "does not fit", 1},
		"the same in a template":       {[]string{"-o=go-template={{.tokens}}", "--allow-missing-template-keys=false"}, "does not fit", 1},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newFakeHub(t)
			out, stderr, err := execute(t, append([]string{"token", "bravelion"}, test.args...)...)
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, out+stderr+err.Error(), secretToken)
			assert.Len(t, hub.asked, test.minted)
		})
	}
}

func TestGrants_Output(t *testing.T) {
	hub := newFakeHub(t)
	hub.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("fieldSelector") != "spec.requester.username=alice" {
			http.NotFound(w, r)
			return
		}
		list := &clusterpassv1alpha1.AuthTokenGrantList{}
		list.SetGroupVersionKind(clusterpassv1alpha1.SchemeGroupVersion.WithKind("AuthTokenGrantList"))
		for _, name := range []string{"one", "two"} {
			list.Items = append(list.Items, clusterpassv1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{
				Namespace: "fleet", Name: name, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "clusterpass-apiserver"}},
			}})
		}
		answer(w, http.StatusOK, list)
	})
	outputs{
		"names":                {[]string{"-o", "name"}, "authtokengrant.clusterpass.dev/one\nauthtokengrant.clusterpass.dev/two\n"},
		"a JSONPath":           {[]string{"-o", "jsonpath={.items[*].metadata.name}"}, "one two"},
		"the kind of the list": {[]string{"-o", "jsonpath={.apiVersion} {.kind}"}, "clusterpass.dev/v1alpha1 AuthTokenGrantList"},
		"the kind of each":     {[]string{"-o", "jsonpath={.items[0].kind},{.items[1].kind}"}, "AuthTokenGrant,AuthTokenGrant"},
		"the version of each":  {[]string{"-o", "jsonpath={.items[1].apiVersion}"}, "clusterpass.dev/v1alpha1"},
		"a template":           {[]string{"-o", "go-template={{range .items}}{{.metadata.name}},{{end}}"}, "one,two,"},
		"--template alone":     {[]string{"--template={{range .items}}{{.metadata.name}},{{end}}"}, "one,two,"},
	}.expect(t, "grants", "--requester=alice")
	for format, decode := range decoders {
		t.Run(format, func(t *testing.T) {
			out := succeed(t, "grants", "--requester=alice", "-o", format)
			assert.NotContains(t, out, "managedFields")
			var list clusterpassv1alpha1.AuthTokenGrantList
			require.NoError(t, decode([]byte(out), &list))
			assert.Equal(t, "AuthTokenGrantList", list.Kind)
			require.Len(t, list.Items, 2)
			assert.Equal(t, "AuthTokenGrant", list.Items[0].Kind)
			assert.Equal(t, "one", list.Items[0].Name)
		})
	}
}
