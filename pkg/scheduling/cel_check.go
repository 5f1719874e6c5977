// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"errors"
	"fmt"
	"math"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/cel/library"
)

// CEL charges for a function after the call, and for some loops not at all. So nothing may be
// called that takes much more time or memory than what it is given: text cannot be put together,
// lists and maps hold single values, and only single values are compared. And steps are counted
// before anything is evaluated, for lists as long as they may be.

const (
	// celEstimateLimit bounds what one evaluation is estimated to cost at most, in the units of CEL.
	// It is that of a rule in a CustomResourceDefinition.
	celEstimateLimit = 10_000_000
	// celStepsLimit bounds the steps of an expression: how many of its parts are evaluated, however
	// often. maxCELSteps is the bound of all expressions of a placement together.
	celStepsLimit = 20_000
	maxCELSteps   = 5 * celStepsLimit
	// maxPattern bounds a regular expression, in bytes, and maxPatternSteps what it may take for each
	// byte of a text.
	maxPattern      = 512
	maxPatternSteps = 128
	// maxParts bounds the parts of an expression: the check of their types takes more than linear
	// time.
	maxParts = 2000
)

// celFunctions are those that expressions may use, by the names that CEL has for them. All cost
// about as much as it takes to read their arguments. quantity is not among them: to compare
// 1e1000000000 takes minutes and gigabytes.
var celFunctions = sets.New(
	operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional, operators.NotStrictlyFalse,
	operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, operators.In,
	operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate,
	operators.Index, operators.OptIndex, operators.OptSelect, "optional.of", "optional.none", "hasValue", "value", "or", "orValue",
	overloads.TypeConvertBool, overloads.TypeConvertInt, overloads.TypeConvertUint, overloads.TypeConvertDouble, overloads.TypeConvertString,
	overloads.TypeConvertDuration, overloads.TypeConvertTimestamp,
	overloads.TimeGetFullYear, overloads.TimeGetMonth, overloads.TimeGetDate, overloads.TimeGetDayOfMonth, overloads.TimeGetDayOfWeek,
	overloads.TimeGetDayOfYear, overloads.TimeGetHours, overloads.TimeGetMinutes, overloads.TimeGetSeconds, overloads.TimeGetMilliseconds,
	overloads.Size, overloads.Contains, overloads.StartsWith, overloads.EndsWith, overloads.Matches, celFind,
	"lowerAscii", "upperAscii", "substring", "trim",
	"semver", "isSemver", "isGreaterThan", "isLessThan", "compareTo", "major", "minor", "patch",
)

// celFind is a function of Kubernetes that takes a regular expression, as matches does.
const celFind = "find"

// takesAll are the functions that may be given lists, maps and parts of a profile: they do not look
// into them.
var takesAll = sets.New(operators.Index, operators.OptIndex, operators.OptSelect, operators.Conditional, overloads.Size,
	"hasValue", "value", "or", "orValue")

// checkExpression returns how many steps an evaluation has at most, or why the expression is not
// allowed: it might cost much in one step, or costs too much in all.
func checkExpression(env *cel.Env, checked *cel.Ast) (steps int64, err error) {
	ast := checked.NativeRep()
	celast.PreOrderVisit(ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		if err == nil {
			err = checkNode(ast, e)
		}
	}))
	if err != nil {
		return 0, err
	}
	if steps = countSteps(ast, ast.Expr()); steps > celStepsLimit {
		return 0, fmt.Errorf("it may take more than %d steps: loops in loops, or over long lists, are too much", celStepsLimit)
	}
	cost, err := env.EstimateCost(checked, &library.CostEstimator{SizeEstimator: celSizes{}})
	if err != nil {
		return 0, err
	}
	if cost.Max > celEstimateLimit {
		return 0, fmt.Errorf("it may cost %s, and is allowed %d: searches of long texts are too much", units(cost.Max), celEstimateLimit)
	}
	return steps, nil
}

// countSteps returns how many parts of an expression an evaluation has at most, counted as often as
// loops repeat them; no more than celStepsLimit+1.
func countSteps(ast *celast.AST, e celast.Expr) int64 {
	steps := int64(1)
	add := func(times int64, parts ...celast.Expr) {
		for _, part := range parts {
			if steps <= celStepsLimit {
				steps += times * countSteps(ast, part)
			}
		}
	}
	switch e.Kind() {
	case celast.CallKind:
		call := e.AsCall()
		if call.IsMemberFunction() {
			add(1, call.Target())
		}
		add(1, call.Args()...)
	case celast.ComprehensionKind:
		loop := e.AsComprehension()
		turns := countTurns(ast, loop.IterRange())
		add(1, loop.IterRange(), loop.AccuInit(), loop.Result())
		add(turns, loop.LoopCondition(), loop.LoopStep())
	case celast.ListKind:
		add(1, e.AsList().Elements()...)
	case celast.SelectKind:
		add(1, e.AsSelect().Operand())
	default:
	}
	return min(steps, celStepsLimit+1)
}

// countTurns returns how often a loop over a list or map is run through at most.
func countTurns(ast *celast.AST, over celast.Expr) int64 {
	switch over.Kind() {
	case celast.ListKind:
		return int64(over.AsList().Size())
	case celast.ComprehensionKind:
		// map and filter return one item for each at most.
		return countTurns(ast, over.AsComprehension().IterRange())
	case celast.SelectKind:
		return maxItems(ast.GetType(over.ID()))
	default:
	}
	turns := int64(maxCELItems)
	celast.PreOrderVisit(over, celast.NewExprVisitor(func(e celast.Expr) {
		if e.Kind() == celast.ListKind {
			turns = max(turns, int64(e.AsList().Size()))
		}
	}))
	return turns
}

func units(cost uint64) string {
	if cost == math.MaxUint64 {
		return "any number of units"
	}
	return fmt.Sprintf("%d units", cost)
}

func checkNode(ast *celast.AST, e celast.Expr) error {
	if t := ast.GetType(e.ID()); t != nil {
		if err := checkType(t); err != nil {
			return err
		}
	}
	if e.Kind() == celast.CallKind {
		return checkCall(ast, e)
	}
	return nil
}

// checkType allows what has a type, and lists and maps of single values and of what a
// ClusterProfile has.
func checkType(t *types.Type) error {
	if t.Kind() == types.DynKind {
		return errors.New("the type of a part of it is not known: dyn() and lists of different types are not supported")
	}
	for _, parameter := range t.Parameters() {
		if isAggregate(t) && isAggregate(parameter) {
			return fmt.Errorf("%s: lists and maps of lists and maps are not supported", t)
		}
		if err := checkType(parameter); err != nil {
			return err
		}
	}
	return nil
}

// isAggregate returns whether values of the type are lists or maps, or may be.
func isAggregate(t *types.Type) bool {
	return mayBe(t, func(t *types.Type) bool { return t.Kind() == types.ListKind || t.Kind() == types.MapKind })
}

// isPart returns whether values of the type are, or may be, a part of a variable that has fields.
func isPart(t *types.Type) bool {
	return mayBe(t, func(t *types.Type) bool {
		_, found := celTypes.FindDeclType(t.TypeName())
		return found && t.Kind() == types.StructKind
	})
}

// mayBe returns whether a type is of some kind, or optional and one of its parameters may be.
func mayBe(t *types.Type, ofKind func(*types.Type) bool) bool {
	return ofKind(t) ||
		t.Kind() == types.OpaqueKind && slices.ContainsFunc(t.Parameters(), func(t *types.Type) bool { return mayBe(t, ofKind) })
}

func checkCall(ast *celast.AST, e celast.Expr) error {
	call := e.AsCall()
	function, args := call.FunctionName(), call.Args()
	if call.IsMemberFunction() {
		args = append([]celast.Expr{call.Target()}, args...)
	}
	switch {
	case !celFunctions.Has(function):
		return fmt.Errorf("%s is not supported here", displayName(function))
	case function == operators.Add:
		return checkAdd(ast, e.ID(), args)
	case strings.HasPrefix(function, "get") && len(args) > 1:
		return fmt.Errorf("%s supports only UTC here", function)
	}
	for i, arg := range args {
		t := ast.GetType(arg.ID())
		if t == nil || !isAggregate(t) && !isPart(t) || takesAll.Has(function) || function == operators.In && i == 1 {
			continue
		}
		return fmt.Errorf("%s of %s is not supported here: compare single values", displayName(function), t)
	}
	return nil
}

// checkAdd allows to add numbers and times, and what the macros map and filter do: one more item to
// their result.
func checkAdd(ast *celast.AST, id int64, args []celast.Expr) error {
	for _, overload := range ast.GetOverloadIDs(id) {
		switch overload {
		case overloads.AddString, overloads.AddBytes:
			return errors.New("text can't be concatenated by + here")
		case overloads.AddList:
			if !isAppend(args) {
				return errListsTogether
			}
		default:
		}
	}
	return nil
}

// checkParsed allows what is quick to check: there are bounds to what an expression consists of,
// since its types may be much larger than its text, and its regular expressions are compiled by the
// check.
func checkParsed(e celast.Expr) (err error) {
	parts := 0
	celast.PreOrderVisit(e, celast.NewExprVisitor(func(e celast.Expr) {
		if parts++; err == nil && parts > maxParts {
			err = fmt.Errorf("it has more than %d parts", maxParts)
		}
		if err == nil {
			err = checkPart(e)
		}
	}))
	return err
}

func checkPart(e celast.Expr) error {
	switch e.Kind() {
	case celast.MapKind, celast.StructKind:
		return errors.New("maps and objects can't be created here")
	case celast.CallKind:
	default:
		return nil
	}
	call := e.AsCall()
	switch call.FunctionName() {
	case overloads.Matches, celFind:
		if !call.IsMemberFunction() || len(call.Args()) != 1 {
			return fmt.Errorf("write TEXT.%s(PATTERN)", call.FunctionName())
		}
		return checkPattern(call.Args()[0])
	case operators.Add:
		isList := func(e celast.Expr) bool { return e.Kind() == celast.ListKind }
		if slices.ContainsFunc(call.Args(), isList) && !isAppend(call.Args()) {
			return errListsTogether
		}
	}
	return nil
}

var errListsTogether = errors.New("lists can't be concatenated by + here")

// isAppend returns whether a sum is what the macros map and filter do: one more item to their
// result.
func isAppend(args []celast.Expr) bool {
	return args[0].Kind() == celast.IdentKind && args[1].Kind() == celast.ListKind && args[1].AsList().Size() == 1
}

// checkPattern allows regular expressions that are written down, short, and take few steps for a
// character of text.
func checkPattern(arg celast.Expr) error {
	if arg.Kind() != celast.LiteralKind {
		return errors.New("a regular expression must be a literal, and can't be computed")
	}
	pattern, _ := arg.AsLiteral().Value().(string)
	if len(pattern) > maxPattern {
		return fmt.Errorf("a regular expression has %d bytes, of at most %d", len(pattern), maxPattern)
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return err
	}
	if countPattern(parsed) > maxPatternSteps {
		return fmt.Errorf("the regular expression %q takes more than %d steps for a character: it is too long, or repeats too much",
			pattern, maxPatternSteps)
	}
	return nil
}

// countPattern returns how many steps a regular expression takes for a character at most; no more
// than maxPatternSteps+1. It is not compiled for that, since repetitions become as many copies.
func countPattern(e *syntax.Regexp) int {
	steps := 1 + len(e.Rune)
	if e.Op == syntax.OpCharClass {
		steps = 1
	}
	for _, sub := range e.Sub {
		steps = min(steps+1+countPattern(sub), maxPatternSteps+1)
	}
	if e.Op == syntax.OpRepeat {
		steps *= max(e.Min+1, e.Max)
	}
	return min(steps, maxPatternSteps+1)
}

// displayName returns what a function is called in an expression.
func displayName(function string) string {
	if name, found := operators.FindReverse(function); found && name != "" {
		return name
	}
	return function
}
