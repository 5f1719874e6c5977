// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd reads the CustomResourceDefinitions of ClusterProfile and PlacementDecision
// out of the module of cluster-inventory-api that go.mod pins, the one whose Go types are served.
package crd

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/yaml"
)

// module is where both the Go types and the CRDs are from.
const module = "sigs.k8s.io/cluster-inventory-api"

// Load returns upstream's CRDs, ordered by the names of their files. It runs the go command,
// so the working directory has to be within the module of clusterpass.
func Load(ctx context.Context) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	dir, err := moduleDir(ctx)
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(dir, "config", "crd", "bases", "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("CRDs of %s: %w", module, err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("module %s has no CRDs in config/crd/bases", module)
	}
	crds := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(paths))
	for _, path := range paths {
		crd, err := read(path)
		if err != nil {
			return nil, err
		}
		crds = append(crds, crd)
	}
	return crds, nil
}

// Schema returns the schema of the only version of crd, and an error if there are several.
func Schema(crd *apiextensionsv1.CustomResourceDefinition) (*spec.Schema, error) {
	if versions := crd.Spec.Versions; len(versions) != 1 || versions[0].Schema == nil {
		return nil, fmt.Errorf("CRD %s: one version with a schema expected, found %d", crd.Name, len(versions))
	}
	data, err := json.Marshal(crd.Spec.Versions[0].Schema.OpenAPIV3Schema)
	if err != nil {
		return nil, fmt.Errorf("encoding the schema: %w", err)
	}
	schema := &spec.Schema{}
	if err := json.Unmarshal(data, schema); err != nil {
		return nil, fmt.Errorf("decoding the schema: %w", err)
	}
	return schema, nil
}

func moduleDir(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("locating module %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func read(path string) (*apiextensionsv1.CustomResourceDefinition, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a CRD: %w", err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(data, crd); err != nil {
		return nil, fmt.Errorf("parsing %s: %w", filepath.Base(path), err)
	}
	return crd, nil
}
