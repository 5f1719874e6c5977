// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// ownDefinition are the packages whose structs become definitions. Others stay inline: the limits
// that the CRD puts on a metav1.Condition are not in the definition that all API groups share.
var ownDefinition = []string{
	reflect.TypeFor[inventoryv1alpha1.ClusterProfile]().PkgPath(),
	reflect.TypeFor[clientcmdv1.Cluster]().PkgPath(),
}

const metadataDescription = "Standard object's metadata. " +
	"More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"

// descriptions are ours, for the fields that upstream left without: <Go type>.<name in JSON>.
var descriptions = map[string]string{
	"AccessProvider.name": "Name identifies the way of access, such as kubeconfig-secretreader. A consumer uses the entries " +
		"whose names it is configured for.",
	"ClusterProfile.metadata":    metadataDescription,
	"PlacementDecision.metadata": metadataDescription,
}

// builder collects definitions by the canonical names of their Go types.
type builder struct {
	definitions map[string]*spec.Schema
	// unused are the keys of descriptions that no field has asked for.
	unused map[string]string
}

// addKind adds the definitions of the kind with Go type t, of its list and of all that it consists
// of.
func (b *builder) addKind(t reflect.Type, schema *spec.Schema) error {
	if t == nil {
		return errors.New("the CRD has no Go type here")
	}
	root := *schema
	if err := b.visit(schema, t); err != nil {
		return err
	}
	b.definitions[definitionName(t)+"List"] = listOf(t, &root)
	return nil
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

// finish reports descriptions of ours that upstream has no need of any more.
func (b *builder) finish() error {
	if len(b.unused) == 0 {
		return nil
	}
	return fmt.Errorf("descriptions for fields that are gone or have upstream's: %v", slices.Sorted(maps.Keys(b.unused)))
}

// visit moves the schema of each struct within t to a definition of its own and leaves a reference.
func (b *builder) visit(schema *spec.Schema, t reflect.Type) error {
	switch {
	case t == reflect.TypeFor[metav1.ObjectMeta]():
		schema.SchemaProps = reference(metav1.ObjectMeta{}.OpenAPIModelName(), schema.Description)
		return nil
	case t.Kind() == reflect.Slice && schema.Items != nil:
		return b.visitItems(schema.Items.Schema, t.Elem())
	case t.Kind() == reflect.Struct && slices.Contains(ownDefinition, t.PkgPath()):
		return b.define(schema, t)
	default:
		return describedInline(schema, t)
	}
}

// visitItems leaves the words about an entry of a list to its definition: kubectl explain prints
// both.
func (b *builder) visitItems(items *spec.Schema, t reflect.Type) error {
	if err := b.visit(items, t); err != nil {
		return err
	}
	if items.Ref.String() != "" {
		items.Description = ""
	}
	return nil
}

func (b *builder) define(schema *spec.Schema, t reflect.Type) error {
	fields := jsonFields(t)
	if !maps.EqualFunc(fields, schema.Properties, func(reflect.Type, spec.Schema) bool { return true }) {
		return fmt.Errorf("the fields of %s and of its schema differ", t)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		property := schema.Properties[name]
		if err := b.describe(&property, t.Name()+"."+name); err != nil {
			return err
		}
		if err := b.visit(&property, fields[name]); err != nil {
			return err
		}
		// The words are the field's. kubectl explain would print them once more with the definition.
		if definition := b.definitions[property.Ref.String()]; definition != nil {
			definition.Description = ""
		}
		schema.Properties[name] = property
	}
	name := definitionName(t)
	definition := *schema
	if other := b.definitions[name]; other != nil && !sameButDescription(other, &definition) {
		return fmt.Errorf("the CRDs have two schemas for %s", t)
	}
	b.definitions[name] = &definition
	*schema = spec.Schema{SchemaProps: reference(name, schema.Description)}
	return nil
}

// describe gives property our description if it has none.
func (b *builder) describe(property *spec.Schema, key string) error {
	if property.Description != "" {
		return nil
	}
	property.Description = descriptions[key]
	if property.Description == "" {
		return fmt.Errorf("no description of %s, neither upstream nor in our descriptions", key)
	}
	delete(b.unused, key)
	return nil
}

// describedInline returns an error if a field in a schema that stays inline has no description.
func describedInline(schema *spec.Schema, t reflect.Type) error {
	for name := range schema.Properties {
		if property := schema.Properties[name]; property.Description == "" {
			return fmt.Errorf("no description of %s.%s", t, name)
		}
	}
	return nil
}

func sameButDescription(a, b *spec.Schema) bool {
	x, y := *a, *b
	x.Description, y.Description = "", ""
	return reflect.DeepEqual(x, y)
}

// jsonFields returns the types of the fields of struct t by their names in JSON, inlined ones
// included.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if options == "inline" {
			maps.Copy(fields, jsonFields(field.Type))
			continue
		}
		fields[name] = field.Type
	}
	return fields
}

// definitionName is what the OpenAPI builder looks a type up by.
func definitionName(t reflect.Type) string {
	return util.GetCanonicalTypeName(reflect.New(t).Interface())
}

// reference returns a reference by the bare name of a definition; what loads it knows the document.
func reference(name, description string) spec.SchemaProps {
	return spec.SchemaProps{Description: description, Ref: spec.MustCreateRef(name)}
}
