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
		program, steps, err := compileExpression(text)
		if err != nil {
			errs = append(errs, field.Invalid(path.Index(i), text, err.Error()))
		}
		compiled[i] = expression{text: text, program: program, steps: steps}
	}
	return compiled, errs
}

// compileExpression returns a program, and how many steps one evaluation has at most.
func compileExpression(text string) (cel.Program, int64, error) {
	env, err := celEnvironment()
	if err != nil {
		return nil, 0, err
	}
	ast, issues := env.Parse(text)
	if issues.Err() != nil {
		return nil, 0, issues.Err()
	}
	if err := checkParsed(ast.NativeRep().Expr()); err != nil {
		return nil, 0, err
	}
	if ast, issues = env.Check(ast); issues.Err() != nil {
		return nil, 0, issues.Err()
	}
	if output := ast.OutputType(); !output.IsExactType(cel.BoolType) {
		return nil, 0, fmt.Errorf("it is of type %s, and must be true or false", output)
	}
	steps, err := checkExpression(env, ast)
	if err != nil {
		return nil, 0, err
	}
	program, err := env.Program(ast, cel.CostLimit(celCostLimit))
	return program, steps, err
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
	status := map[string]any{
		"conditions": celConditions(c.Conditions),
		"version":    map[string]any{"kubernetes": cutText(c.KubernetesVersion)},
	}
	profile, cluster := map[string]any{"properties": properties}, map[string]any{"clusterClaims": properties}
	for name, value := range status {
		profile[name], cluster[name] = value, value
	}
	return map[string]any{
		celProfile:        map[string]any{"metadata": metadata, celStatus: profile},
		celManagedCluster: map[string]any{"metadata": metadata, celStatus: cluster},
	}
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
