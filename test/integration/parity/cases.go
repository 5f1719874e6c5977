// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package parity holds the requests with which our server is compared to upstream's CRDs. The cases
// are data, so that the tests of the strategies in process and the tests of real servers share
// them.
package parity

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/multicluster/v1alpha2"
)

// Verdict is what becomes of a request.
type Verdict string

// The verdicts.
const (
	Accepted Verdict = "accepted"
	// Refused is a bad request (400) or an invalid object (422).
	Refused  Verdict = "refused"
	Conflict Verdict = "conflict"
	NotFound Verdict = "not found"
	// Failed is any other error, such as the code 500 of a server-side apply that can't be merged.
	Failed Verdict = "failed"
)

// Verb is how the object of a Case is sent.
type Verb string

// The verbs. Updates are PUTs, applies are server-side, patches are what Case.Patch is.
const (
	Create       Verb = "create"
	Update       Verb = "update"
	UpdateStatus Verb = "update-status"
	Apply        Verb = "apply"
	ApplyStatus  Verb = "apply-status"
	Patch        Verb = "patch"
	PatchStatus  Verb = "patch-status"
)

// The resources.
const (
	ClusterProfiles    = "clusterprofiles"
	PlacementDecisions = "placementdecisions"
)

// Name is that of an object in a Case that doesn't set another.
const Name = "subject"

// Case is one request and what becomes of it.
type Case struct {
	// Name is a sentence.
	Name string `json:"name"`
	// Resource is the plural name, the same for all cases of a file.
	Resource string `json:"-"`
	// Version is the version of the API in which the request is made, the same for all cases of a
	// file.
	Version string `json:"-"`
	Verb    Verb   `json:"verb"`
	// Before is the object that is there already, status included, made in v1alpha1. Creates have
	// none; for other verbs a plain object of the resource stands for none, unless Absent is set.
	Before map[string]any `json:"before,omitempty"`
	Absent bool           `json:"absent,omitempty"`
	// Object is sent. Its apiVersion, kind and, unless the case is about them, name and
	// resourceVersion are filled in.
	Object map[string]any `json:"object,omitempty"`
	// Patch is sent in place of Object: a map is a merge patch, a list a JSON patch.
	Patch any `json:"patch,omitempty"`
	// Force takes fields from other managers. For applies.
	Force bool `json:"force,omitempty"`
	// CRD is the verdict of a kube-apiserver with upstream's CRD.
	CRD Verdict `json:"crd"`
	// Server is our server's, if that differs.
	Server Verdict `json:"server,omitempty"`
	// ContentDiffers exempts what is stored, other than in ways that hold for all objects, from the
	// comparison.
	ContentDiffers bool `json:"contentDiffers,omitempty"`
	// Because says why Server or ContentDiffers is set.
	Because string `json:"because,omitempty"`
}

// Ours returns the verdict that our server has to come to.
func (c *Case) Ours() Verdict {
	if c.Server != "" {
		return c.Server
	}
	return c.CRD
}

// kinds are the kinds of the resources, and plain objects.
var kinds = map[string]struct {
	kind  string
	plain map[string]any
}{
	ClusterProfiles: {
		inventoryv1alpha1.ClusterProfileKind,
		map[string]any{"spec": map[string]any{"clusterManager": map[string]any{"name": "ocm"}}},
	},
	PlacementDecisions: {
		inventoryv1alpha1.PlacementDecisionKind,
		map[string]any{"decisions": []any{}},
	},
}

//go:embed *.yaml
var files embed.FS

// Cases returns the cases of all files, ready to be sent.
func Cases(t testing.TB) []Case {
	t.Helper()
	paths, err := fs.Glob(files, "*.yaml")
	require.NoError(t, err)
	var all []Case
	for _, path := range paths {
		resource, _, _ := strings.Cut(strings.TrimSuffix(path, ".yaml"), "-")
		require.Contains(t, kinds, resource)
		version := inventoryv1alpha1.Version
		if later := v1alpha2.SchemeGroupVersion.Version; strings.HasSuffix(path, "-"+later+".yaml") {
			version = later
		}
		for _, c := range parse(t, path) {
			c.Resource, c.Version = resource, version
			all = append(all, c)
		}
	}
	for i := range all {
		complete(t, &all[i])
	}
	return all
}

func parse(t testing.TB, path string) []Case {
	t.Helper()
	text, err := template.New(path).Funcs(template.FuncMap{
		"repeat":  strings.Repeat,
		"list":    func(n int) []int { return make([]int, n) },
		"strings": func(all ...string) []string { return all },
	}).ParseFS(files, path)
	require.NoError(t, err)
	var data bytes.Buffer
	require.NoError(t, text.Execute(&data, nil))
	var cases []Case
	require.NoError(t, yaml.UnmarshalStrict(data.Bytes(), &cases), path)
	return cases
}

func complete(t testing.TB, c *Case) {
	t.Helper()
	differs := c.Server != "" || c.ContentDiffers
	require.Equal(t, differs, c.Because != "", "case %q: a difference and its reason go together", c.Name)
	require.NotEqual(t, c.CRD, c.Server, "case %q: no difference", c.Name)
	require.Equal(t, c.Verb == Patch || c.Verb == PatchStatus, c.Patch != nil, "case %q: patches have a patch", c.Name)
	kind := kinds[c.Resource]
	if c.Before == nil && c.Verb != Create && !c.Absent {
		c.Before = kind.plain
	}
	if c.Before != nil {
		c.Before = withIdentity(c.Before, inventoryv1alpha1.Version, kind.kind)
	}
	c.Object = withIdentity(c.Object, c.Version, kind.kind)
}

// withIdentity returns a copy of object with what makes it addressable.
func withIdentity(object map[string]any, version, kind string) map[string]any {
	out := map[string]any{"apiVersion": inventoryv1alpha1.Group + "/" + version, "kind": kind}
	metadata := map[string]any{"name": Name}
	for key, value := range object {
		given, ok := value.(map[string]any)
		if key != "metadata" || !ok {
			out[key] = value
			continue
		}
		maps.Copy(metadata, given)
		if _, ok := given["generateName"]; ok {
			delete(metadata, "name")
		}
	}
	out["metadata"] = metadata
	return out
}

// String names the case in the output of a test.
func (c *Case) String() string {
	return fmt.Sprintf("%s/%s/%s/%s", c.Version, c.Resource, c.Verb, c.Name)
}
