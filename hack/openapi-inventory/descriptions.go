// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

const metadataDescription = "Standard object's metadata. " +
	"More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"

// descriptions are ours, for the fields that upstream left without: <Go type>.<name in JSON>.
var descriptions = map[string]string{
	"AccessProvider.name": "Name identifies the way of access, such as kubeconfig-secretreader. A consumer uses the entries " +
		"whose names it is configured for.",
	"ClusterProfile.metadata":    metadataDescription,
	"PlacementDecision.metadata": metadataDescription,
}

// listOf returns the schema of the list of the kind with Go type t, which no CRD has.
func listOf(t reflect.Type, item *spec.Schema) *spec.Schema {
	list := &spec.Schema{}
	list.Description = fmt.Sprintf("%sList contains a list of %s.", t.Name(), t.Name())
	list.Type = spec.StringOrArray{"object"}
	list.Required = []string{"items"}
	items := spec.Schema{}
	items.Description = fmt.Sprintf("Items are the %ss of this page of the list.", t.Name())
	items.Type = spec.StringOrArray{"array"}
	items.Items = &spec.SchemaOrArray{Schema: &spec.Schema{SchemaProps: reference(definitionName(t), "")}}
	list.Properties = map[string]spec.Schema{
		"apiVersion": item.Properties["apiVersion"],
		"kind":       item.Properties["kind"],
		"metadata":   {SchemaProps: reference(metav1.ListMeta{}.OpenAPIModelName(), metadataDescription)},
		"items":      items,
	}
	return list
}
