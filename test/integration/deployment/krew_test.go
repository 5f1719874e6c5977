// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/test/testenv"
)

// krewPlugin is what Krew knows of a plugin, v1alpha2.
type krewPlugin struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Version          string         `json:"version"`
		Homepage         string         `json:"homepage"`
		ShortDescription string         `json:"shortDescription"`
		Description      string         `json:"description"`
		Caveats          string         `json:"caveats"`
		Platforms        []krewPlatform `json:"platforms"`
	} `json:"spec"`
}

type krewPlatform struct {
	Selector metav1.LabelSelector `json:"selector"`
	URI      string               `json:"uri"`
	Sha256   string               `json:"sha256"`
	Bin      string               `json:"bin"`
}

// The manifest names what is built.
func TestKrew_Manifest(t *testing.T) {
	template := filepath.Join(artifacts(t), "krew", "clusterpass.yaml")
	plugin := readKrewPlugin(t, template)
	assert.Equal(t, "krew.googlecontainertools.github.com/v1alpha2, Kind=Plugin", plugin.GroupVersionKind().String())
	assert.Equal(t, "clusterpass", plugin.Name)
	assert.NotEmpty(t, plugin.Spec.Homepage)
	assert.NotEmpty(t, plugin.Spec.Description)
	assert.LessOrEqual(t, len(plugin.Spec.ShortDescription), 50, "Krew's own rule")
	assert.DirExists(t, filepath.Join(artifacts(t), "..", "cmd", "kubectl-"+plugin.Name))

	var systems []string
	for _, platform := range plugin.Spec.Platforms {
		system := platform.Selector.MatchLabels["os"] + "-" + platform.Selector.MatchLabels["arch"]
		systems = append(systems, system)
		assert.Equal(t, "https://clusterpass.dev/releases/v0.0.0/kubectl-clusterpass-"+system+".tar.gz", platform.URI)
		assert.Equal(t, strings.Repeat("0", 64), platform.Sha256, "filled in at a release")
		want := "kubectl-clusterpass"
		if strings.HasPrefix(system, "windows") {
			want += ".exe"
		}
		assert.Equal(t, want, platform.Bin)
	}
	assert.ElementsMatch(t, []string{"linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64", "windows-amd64", "windows-arm64"}, systems)
}

// A release fills the manifest in.
func TestKrew_Release(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a release needs GNU tar and sed")
	}
	// This machine's platform alone: the others take minutes.
	plugin := readKrewPlugin(t, filepath.Join(artifacts(t), "krew", "clusterpass.yaml"))
	for _, platform := range plugin.Spec.Platforms {
		if platform.Selector.MatchLabels["os"] == runtime.GOOS && platform.Selector.MatchLabels["arch"] == runtime.GOARCH {
			plugin.Spec.Platforms = []krewPlatform{platform}
		}
	}
	require.Len(t, plugin.Spec.Platforms, 1)
	dir := t.TempDir()
	template := filepath.Join(dir, "template.yaml")
	writeKrewPlugin(t, template, plugin)
	root := filepath.Join(artifacts(t), "..")

	for _, version := range []string{"", "1.2"} {
		out, err := exec.CommandContext(t.Context(), "make", "--directory="+root, "krew", "VERSION="+version).CombinedOutput()
		failed, ok := errors.AsType[*exec.ExitError](err)
		require.True(t, ok, "that is no version: %v", err)
		assert.Equal(t, 2, failed.ExitCode())
		assert.Contains(t, string(out), "usage: make krew VERSION=vX.Y.Z\n")
	}
	build := filepath.Join(root, "hack", "build-krew.sh")
	out, err := exec.CommandContext(t.Context(), build, "v1.2.3", template, dir).CombinedOutput()
	require.NoError(t, err, "%s", out)

	filled := readKrewPlugin(t, filepath.Join(dir, "clusterpass.yaml"))
	require.Len(t, filled.Spec.Platforms, 1)
	platform := filled.Spec.Platforms[0]
	assert.Equal(t, "v1.2.3", filled.Spec.Version)
	assert.Contains(t, platform.URI, "/v1.2.3/")
	archive := testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(dir, path.Base(platform.URI))))
	sum := sha256.Sum256(archive)
	assert.Equal(t, hex.EncodeToString(sum[:]), platform.Sha256)
	files := untar(t, archive)
	assert.Len(t, files, 2)
	assert.NotEmpty(t, files["LICENSE"])

	program := filepath.Join(dir, platform.Bin)
	require.NoError(t, os.WriteFile(program, files[platform.Bin], 0o700))
	version := testenv.Must[[]byte](t)(exec.CommandContext(t.Context(), program, "version").Output())
	assert.Contains(t, string(version), "+clusterpass.")
}

func readKrewPlugin(t *testing.T, file string) *krewPlugin {
	t.Helper()
	plugin := &krewPlugin{}
	require.NoError(t, yaml.UnmarshalStrict(testenv.Must[[]byte](t)(os.ReadFile(file)), plugin))
	return plugin
}

// writeKrewPlugin writes the manifest as it is written by hand, with the sum after the uri.
func writeKrewPlugin(t *testing.T, file string, plugin *krewPlugin) {
	t.Helper()
	platform := plugin.Spec.Platforms[0]
	plugin.Spec.Platforms = nil
	data := testenv.Must[[]byte](t)(yaml.Marshal(plugin))
	filled := strings.Replace(string(data), "platforms: null\n",
		"platforms:\n  - uri: "+platform.URI+"\n    sha256: \""+platform.Sha256+"\"\n    bin: "+platform.Bin+"\n", 1)
	require.NoError(t, os.WriteFile(file, []byte(filled), 0o600))
}

// untar returns the content of the files of a gzipped archive, by name.
func untar(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	unzipped := testenv.Must[*gzip.Reader](t)(gzip.NewReader(bytes.NewReader(archive)))
	files := map[string][]byte{}
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		files[header.Name], err = io.ReadAll(reader)
		require.NoError(t, err)
	}
}
