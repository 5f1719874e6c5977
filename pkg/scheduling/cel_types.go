// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	apiservercel "k8s.io/apiserver/pkg/cel"
)

const (
	// maxCELText bounds each text that expressions see, in bytes.
	maxCELText = 4096
	// maxCELItems bounds the entries of labels, annotations and properties, and maxCELConditions the
	// conditions.
	maxCELItems      = 256
	maxCELConditions = 32
)

// Types of the variables of expressions. All is declared, so that an expression about what is not
// there is refused when it is written, and what one costs can be estimated then.
var (
	celText = func() *apiservercel.DeclType {
		text := apiservercel.NewSimpleTypeWithMinSize("string", cel.StringType, types.String(""), apiservercel.MinStringSize)
		text.MaxElements = maxCELText
		return text
	}()
	celTexts   = apiservercel.NewMapType(celText, celText, maxCELItems)
	celVersion = celObject("Version", map[string]*apiservercel.DeclType{"kubernetes": celText})

	celMetadata = celObject("Metadata", map[string]*apiservercel.DeclType{
		"name": celText, "namespace": celText, "labels": celTexts, "annotations": celTexts,
	})
	celProperties = apiservercel.NewListType(celObject("Property", map[string]*apiservercel.DeclType{"name": celText, "value": celText}),
		maxCELItems)
	celConditionList = apiservercel.NewListType(celObject("Condition", map[string]*apiservercel.DeclType{
		"type": celText, celStatus: celText, "reason": celText, "message": celText, "lastTransitionTime": apiservercel.TimestampType,
	}), maxCELConditions)

	celProfileType = celObject("ClusterProfile", map[string]*apiservercel.DeclType{
		"metadata": celMetadata,
		celStatus: celObject("ClusterProfileStatus", map[string]*apiservercel.DeclType{
			"version": celVersion, "conditions": celConditionList, "properties": celProperties,
		}),
	})
	celManagedClusterType = celObject("ManagedCluster", map[string]*apiservercel.DeclType{
		"metadata": celMetadata,
		celStatus: celObject("ManagedClusterStatus", map[string]*apiservercel.DeclType{
			"version": celVersion, "conditions": celConditionList, "clusterClaims": celProperties,
		}),
	})
)

// celTypes are all of these by their names.
var celTypes = apiservercel.NewDeclTypeProvider(celProfileType, celManagedClusterType)

func celObject(name string, fields map[string]*apiservercel.DeclType) *apiservercel.DeclType {
	declared := make(map[string]*apiservercel.DeclField, len(fields))
	for field, t := range fields {
		declared[field] = apiservercel.NewDeclField(field, t, true, nil, nil)
	}
	return apiservercel.NewObjectType(name, declared)
}

// celSizes estimates how long texts, lists and maps are at most. What is not a field of a variable,
// but made of one, is no longer.
type celSizes struct{}

// EstimateSize implements checker.CostEstimator.
func (celSizes) EstimateSize(node checker.AstNode) *checker.SizeEstimate {
	switch node.Type().Kind() {
	case types.StringKind:
		return &checker.SizeEstimate{Max: maxCELText}
	case types.ListKind, types.MapKind:
		return &checker.SizeEstimate{Max: uint64(mostItems(node.Type()))} //nolint:gosec // never negative
	default:
		return nil
	}
}

// mostItems returns how many entries a list or map of that type has at most, if it is not written
// down.
func mostItems(t *types.Type) int64 {
	if t.IsExactType(celConditionList.CelType()) {
		return maxCELConditions
	}
	return maxCELItems
}

// EstimateCallCost implements checker.CostEstimator.
func (celSizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}
