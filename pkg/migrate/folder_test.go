// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const stored = `
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ClusterProfile
metadata:
  name: bravelion
  namespace: default
  uid: 5f0c
  resourceVersion: "12"
  generation: 3
  creationTimestamp: "2026-01-02T03:04:05Z"
  managedFields: [{manager: somebody, operation: Update}]
  labels: {tier: gold}
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
  finalizers: [example.com/detach]
  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: "77"}]
spec:
  displayName: Brave Lion
  clusterManager: {name: somebody}
status:
  conditions:
  - {type: Joined, status: "True", reason: Joined, message: "", lastTransitionTime: "2026-01-02T03:04:05Z"}
  accessProviders:
  - name: kubeconfig-secretreader
    cluster:
      server: https://bravelion.example.com
      extensions: [{name: client.authentication.k8s.io/exec, extension: {z: 1, a: [2.5, null]}}]
`

// object decodes YAML.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	decoded := &unstructured.Unstructured{}
	data, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	require.NoError(t, decoded.UnmarshalJSON(data))
	return decoded
}

// profileCRD returns a definition that serves the version that moves.
func profileCRD() *apiextensionsv1.CustomResourceDefinition {
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "clusterprofiles.multicluster.x-k8s.io",
			UID: "c1", ResourceVersion: "9", Annotations: map[string]string{"api-approved.kubernetes.io": "yes"}},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: inventory.Group, Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "clusterprofiles"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: inventory.Version, Served: true}},
		},
	}
}

// laterCRD returns one that has served v1alpha1 before, and serves v1alpha2 alone now.
func laterCRD() *apiextensionsv1.CustomResourceDefinition {
	crd := profileCRD()
	crd.Spec.Versions[0].Served = false
	crd.Spec.Versions = append(crd.Spec.Versions, apiextensionsv1.CustomResourceDefinitionVersion{Name: "v1alpha2", Served: true})
	return crd
}

// exported returns a folder with one ClusterProfile.
func exported(t *testing.T) *folder {
	t.Helper()
	f, err := openFolder(filepath.Join(t.TempDir(), "migration"))
	require.NoError(t, err)
	export, err := f.save(kinds[0], profileCRD(), []*unstructured.Unstructured{object(t, stored)})
	require.NoError(t, err)
	require.NoError(t, f.saveManifest("hub", []resourceExport{export}))
	return f
}

// What is saved is loaded.
func TestFolder_Load(t *testing.T) {
	written := exported(t)
	require.NoError(t, written.complete(StepExport))
	f, err := openFolder(written.path)
	require.NoError(t, err)
	assert.Equal(t, written, f)
	assert.Equal(t, StepExport, f.state.Completed)
	assert.True(t, f.moved().Has("5f0c"))

	export := f.export("clusterprofiles")
	require.NotNil(t, export)
	assert.Equal(t, []objectID{{Namespace: "default", Name: "bravelion", UID: "5f0c", ResourceVersion: "12"}}, export.Objects)
	objects, err := f.load(export)
	require.NoError(t, err)
	require.Len(t, objects, 1)
	assert.Equal(t, exportForm(object(t, stored)), objects[0])
	different, err := kinds[0].differences(object(t, stored), objects[0])
	require.NoError(t, err)
	assert.Empty(t, different)

	definition := &apiextensionsv1.CustomResourceDefinition{}
	data, err := os.ReadFile(filepath.Join(f.path, export.CRDFile))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(data, definition))
	assert.Equal(t, profileCRD().Annotations, definition.Annotations)
	assert.Empty(t, definition.UID)
	assert.Equal(t, profileCRD().Spec.Versions, definition.Spec.Versions)
}

// A second export replaces the first, and leaves its file.
func TestFolder_SaveAgain(t *testing.T) {
	f := exported(t)
	first := *f.export("clusterprofiles")
	changed := object(t, stored)
	changed.SetLabels(map[string]string{"tier": "silver"})
	export, err := f.save(kinds[0], profileCRD(), []*unstructured.Unstructured{changed})
	require.NoError(t, err)

	t.Run("it does not count before the manifest has it", func(t *testing.T) {
		reopened, err := openFolder(f.path)
		require.NoError(t, err)
		objects, err := reopened.load(reopened.export("clusterprofiles"))
		require.NoError(t, err)
		assert.Equal(t, "gold", objects[0].GetLabels()["tier"])
	})
	require.NoError(t, f.saveManifest("hub", []resourceExport{export}))
	assert.Len(t, f.manifest.Exports, 1)
	objects, err := f.load(f.export("clusterprofiles"))
	require.NoError(t, err)
	assert.Equal(t, "silver", objects[0].GetLabels()["tier"])
	assert.FileExists(t, filepath.Join(f.path, first.File))
}

// A step that was completed stays completed.
func TestFolder_Complete(t *testing.T) {
	f := exported(t)
	for _, step := range []Step{StepExport, StepRegister, StepExport, StepRemove} {
		require.NoError(t, f.complete(step))
	}
	reopened, err := openFolder(f.path)
	require.NoError(t, err)
	assert.Equal(t, StepRegister, reopened.state.Completed)
}

// A folder that was tampered with is refused.
func TestFolder_Tampered(t *testing.T) {
	exportName := exported(t).export("clusterprofiles").File // the same in each folder
	for name, test := range map[string]struct{ file, content, want string }{
		"an export that was edited":    {exportName, `{"apiVersion":"v1","kind":"List","items":[]}`, exportName + " is not what was exported"},
		"an export that was removed":   {exportName, "", "no such file or directory"},
		"a manifest of something else": {manifestName, `{"name":"x"}`, "is not a file of a migration"},
		"half a manifest":              {manifestName, `{"hubUID":`, "is not a file of a migration"},
	} {
		t.Run(name, func(t *testing.T) {
			path := exported(t).path
			require.NoError(t, os.Remove(filepath.Join(path, test.file)))
			if test.content != "" {
				require.NoError(t, os.WriteFile(filepath.Join(path, test.file), []byte(test.content), 0o600))
			}
			f, err := openFolder(path)
			if err == nil {
				_, err = f.load(f.export("clusterprofiles"))
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}

// A write that fails leaves what was there.
func TestFolder_CompleteFailure(t *testing.T) {
	f := exported(t)
	before, err := os.ReadDir(f.path)
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(f.path, stateName), 0o700)) // nothing can be renamed to it
	require.Error(t, f.complete(StepExport))
	require.NoError(t, os.Remove(filepath.Join(f.path, stateName)))
	after, err := os.ReadDir(f.path)
	require.NoError(t, err)
	assert.Len(t, after, len(before), "a temporary file was left")
	assert.Empty(t, f.state.Completed)
}
