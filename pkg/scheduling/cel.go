// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/version"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

const (
	celProfile = "clusterProfile"
	// celManagedCluster is for expressions from OCM.
	celManagedCluster = "managedCluster"
	// celStatus is a field of both, and of conditions.
	celStatus = "status"
)

// expression is a CEL expression that is to be true.
type expression struct {
	text    string
	program cel.Program
	// steps bounds those of one evaluation.
	steps int64
}

const (
	// celCostLimit bounds one evaluation, in the units of CEL. Kubernetes allows a hundred times as
	// much to what is evaluated once a request; this is evaluated once a cluster.
	celCostLimit = 10_000
	// celClusterLimit bounds what all expressions of a placement cost for one cluster.
	celClusterLimit = 10 * celCostLimit
)

// celEnvironment has the variables with their types, and the functions of Kubernetes.
// checkExpression allows some of them.
var celEnvironment = sync.OnceValues(func() (*cel.Env, error) {
	extended, err := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()).Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions: []cel.EnvOption{
			// Others repeat what they are given, so that a chain of them doubles with each one.
			cel.ClearMacros(), cel.Macros(cel.StandardMacros...),
			cel.Variable(celProfile, celProfileType.CelType()), cel.Variable(celManagedCluster, celManagedClusterType.CelType()),
		},
		DeclTypes: []*apiservercel.DeclType{celProfileType, celManagedClusterType},
	})
	if err != nil {
		return nil, err
	}
	return extended.StoredExpressionsEnv(), nil
})

func compileExpressions(texts []string, path *field.Path) ([]expression, field.ErrorList) {
	var errs field.ErrorList
	compiled := make([]expression, len(texts))
	for i, text := range texts {
		var err error
		if compiled[i], err = compileExpression(text); err != nil {
			errs = append(errs, field.Invalid(path.Index(i), text, err.Error()))
		}
	}
	return compiled, errs
}

func compileExpression(text string) (expression, error) {
	env, err := celEnvironment()
	if err != nil {
		return expression{}, err
	}
	ast, issues := env.Parse(text)
	if issues.Err() != nil {
		return expression{}, issues.Err()
	}
	if err := checkParsed(ast.NativeRep().Expr()); err != nil {
		return expression{}, err
	}
	if ast, issues = env.Check(ast); issues.Err() != nil {
		return expression{}, issues.Err()
	}
	if output := ast.OutputType(); !output.IsExactType(cel.BoolType) {
		return expression{}, fmt.Errorf("it is of type %s, and must be true or false", output)
	}
	steps, err := checkExpression(env, ast)
	if err != nil {
		return expression{}, err
	}
	program, err := env.Program(ast, cel.CostLimit(celCostLimit))
	return expression{text, program, steps}, err
}

// holds returns whether the expression is true of the cluster, or why that cannot be told.
func (e *expression) holds(c *candidate) (bool, error) {
	if c.spent > celClusterLimit {
		return false, fmt.Errorf("the expressions of this placement cost more than %d units for this cluster", celClusterLimit)
	}
	value, details, err := e.program.Eval(c.object())
	if cost := details.ActualCost(); cost != nil {
		c.spent += *cost
	}
	if err != nil {
		return false, err
	}
	return value == types.True, nil
}

// celObjects returns the variables of expressions: the ClusterProfile, and the same as OCM's
// ManagedCluster has it. They are as small as celTypes say: a text that is too long is left out of
// a map, and else cut off, and of too many entries the first are there.
func celObjects(c *Cluster) map[string]any {
	metadata := map[string]any{"name": c.Name, "namespace": c.Namespace, "labels": seen(c.Labels), "annotations": seen(c.Annotations)}
	values := seen(c.Properties)
	properties := make([]any, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		properties = append(properties, map[string]any{"name": name, "value": values[name]})
	}
	conditions, kubernetes := celConditions(c.Conditions), map[string]any{"kubernetes": cutText(c.KubernetesVersion)}
	object := func(propertiesField string) map[string]any {
		status := map[string]any{"version": kubernetes, "conditions": conditions, propertiesField: properties}
		return map[string]any{"metadata": metadata, celStatus: status}
	}
	return map[string]any{celProfile: object("properties"), celManagedCluster: object("clusterClaims")}
}

func celConditions(conditions []metav1.Condition) []any {
	objects := make([]any, min(len(conditions), maxCELConditions))
	for i := range objects {
		condition := &conditions[i]
		objects[i] = map[string]any{
			"type":               cutText(condition.Type),
			celStatus:            cutText(string(condition.Status)),
			"reason":             cutText(condition.Reason),
			"message":            cutText(condition.Message),
			"lastTransitionTime": condition.LastTransitionTime.Time,
		}
	}
	return objects
}

// seen returns the entries of a map that expressions see, of many those whose keys come first.
func seen(all map[string]string) map[string]string {
	short := make(map[string]string, min(len(all), maxCELItems))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if value := all[key]; len(short) < maxCELItems && len(key) <= maxCELText && len(value) <= maxCELText {
			short[key] = value
		}
	}
	return short
}

func cutText(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxCELText)], "") }

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

	celProfileType        = celClusterType("ClusterProfile", "properties")
	celManagedClusterType = celClusterType("ManagedCluster", "clusterClaims")
)

func celClusterType(name, propertiesField string) *apiservercel.DeclType {
	return celObject(name, map[string]*apiservercel.DeclType{
		"metadata": celMetadata,
		celStatus: celObject(name+"Status", map[string]*apiservercel.DeclType{
			"version": celVersion, "conditions": celConditionList, propertiesField: celProperties,
		}),
	})
}

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
		return &checker.SizeEstimate{Max: uint64(maxItems(node.Type()))} //nolint:gosec // never negative
	default:
		return nil
	}
}

// maxItems returns how many entries a list or map of that type has at most, if it is not written
// down.
func maxItems(t *types.Type) int64 {
	if t.IsExactType(celConditionList.CelType()) {
		return maxCELConditions
	}
	return maxCELItems
}

// EstimateCallCost implements checker.CostEstimator.
func (celSizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}
