// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Command openapi-inventory writes the OpenAPI definitions of ClusterProfile and PlacementDecision.
//
// Upstream's package carries no tag that openapi-gen would act on, and its Go comments don't
// hold what controller-gen makes of them (limits, patterns). So the definitions come from the
// CRDs of the same module, cut along the Go types into one definition each.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"reflect"

	"k8s.io/kube-openapi/pkg/validation/spec"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/hack/openapi-inventory/crd"
)

// output is relative to the root of the repository, where make runs.
const output = "pkg/generated/openapi/inventory/zz_generated.definitions.json"

// kinds are the Go types of what the CRDs define.
var kinds = map[string]reflect.Type{
	inventoryv1alpha1.ClusterProfileKind:    reflect.TypeFor[inventoryv1alpha1.ClusterProfile](),
	inventoryv1alpha1.PlacementDecisionKind: reflect.TypeFor[inventoryv1alpha1.PlacementDecision](),
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "openapi-inventory:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	crds, err := crd.Load(ctx)
	if err != nil {
		return err
	}
	b := &builder{definitions: map[string]*spec.Schema{}, unused: maps.Clone(descriptions)}
	for _, c := range crds {
		schema, err := crd.Schema(c)
		if err != nil {
			return err
		}
		kind := c.Spec.Names.Kind
		if err := b.addKind(kinds[kind], schema); err != nil {
			return fmt.Errorf("kind %s: %w", kind, err)
		}
	}
	if err := b.finish(); err != nil {
		return err
	}
	data, err := json.MarshalIndent(b.definitions, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the definitions: %w", err)
	}
	//nolint:gosec // Sources are for everyone to read.
	return os.WriteFile(output, append(data, '\n'), 0o644)
}
