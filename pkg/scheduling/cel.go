// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/cel-go/cel"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"
)

const (
	celProfile = "clusterProfile"
	// celManagedCluster is for expressions from OCM.
	celManagedCluster = "managedCluster"
)

// expression is a CEL expression that is to be true.
type expression struct {
	text    string
	program cel.Program
}

// celCostLimit bounds one evaluation, in the units of CEL: about a millisecond. Kubernetes allows a hundred times as much to what
// is evaluated once a request; this is evaluated once a cluster.
const celCostLimit = 10_000

// celEnvironment has the functions of Kubernetes.
var celEnvironment = sync.OnceValues(func() (*cel.Env, error) {
	base := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	extended, err := base.Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions:        []cel.EnvOption{cel.Variable(celProfile, cel.DynType), cel.Variable(celManagedCluster, cel.DynType)},
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
		program, err := compileExpression(text)
		if err != nil {
			errs = append(errs, field.Invalid(path.Index(i), text, err.Error()))
		}
		compiled[i] = expression{text: text, program: program}
	}
	return compiled, errs
}

func compileExpression(text string) (cel.Program, error) {
	env, err := celEnvironment()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if is := ast.OutputType(); !is.IsExactType(cel.BoolType) && !is.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("it is of type %s, and has to be true or false", is)
	}
	return env.Program(ast, cel.CostLimit(celCostLimit))
}

// holds returns whether the expression is true of the cluster, or why that can't be told.
func (e *expression) holds(c *candidate) (bool, error) {
	value, _, err := e.program.Eval(c.object())
	if err != nil {
		return false, err
	}
	holds, is := value.Value().(bool)
	return is && holds, nil
}

// celObjects returns the variables of expressions: the ClusterProfile, and the same as OCM's ManagedCluster has it.
func celObjects(c *Cluster) map[string]any {
	metadata := map[string]any{"name": c.Name, "namespace": c.Namespace, "labels": orEmpty(c.Labels), "annotations": orEmpty(c.Annotations)}
	properties := make([]any, 0, len(c.Properties))
	for _, name := range slices.Sorted(maps.Keys(c.Properties)) {
		properties = append(properties, map[string]any{"name": name, "value": c.Properties[name]})
	}
	status := map[string]any{
		"conditions": celConditions(c.Conditions),
		"version":    map[string]any{"kubernetes": c.KubernetesVersion},
	}
	profile, cluster := map[string]any{"properties": properties}, map[string]any{"clusterClaims": properties}
	for name, value := range status {
		profile[name], cluster[name] = value, value
	}
	return map[string]any{
		celProfile:        map[string]any{"metadata": metadata, "status": profile},
		celManagedCluster: map[string]any{"metadata": metadata, "status": cluster},
	}
}

func celConditions(conditions []metav1.Condition) []any {
	objects := make([]any, len(conditions))
	for i := range conditions {
		condition := &conditions[i]
		objects[i] = map[string]any{
			"type":               condition.Type,
			"status":             string(condition.Status),
			"reason":             condition.Reason,
			"message":            condition.Message,
			"lastTransitionTime": condition.LastTransitionTime.Time,
		}
	}
	return objects
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
