// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func zeros(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("0,", n), ",") + "]" }

func TestCompileExpressions(t *testing.T) {
	t.Parallel()
	const annotation, properties = `clusterProfile.metadata.annotations["a"]`, `clusterProfile.status.properties`
	const conditions = `clusterProfile.status.conditions`
	doubled := `[clusterProfile.metadata.name]` + strings.Repeat(`.map(x, [x, x])`, 60)
	for _, test := range []struct {
		// problem is empty for what is allowed.
		name, text, problem string
	}{
		{"a label", `clusterProfile.metadata.labels["env"] == "prod"`, ""},
		{"a label that may be absent", `clusterProfile.metadata.labels[?"env"].orValue("none") in ["prod", "none"]`, ""},
		{"whether a label is there", `has(clusterProfile.metadata.labels.env) && "env" in clusterProfile.metadata.labels`, ""},
		{"keys of labels", `clusterProfile.metadata.labels.exists(key, key.startsWith("example.com/"))`, ""},
		{"a property", properties + `.exists(p, p.name == "zone" && p.value.matches("^eu-[a-z]+-[0-9]$"))`, ""},
		{"properties that are sifted", properties + `.filter(p, p.name.startsWith("gpu")).map(p, p.value).exists(v, v == "l4")`, ""},
		{"numbers", `int(clusterProfile.metadata.labels["nodes"]) + 1 > 3 && size(` + properties + `) < 10`, ""},
		{"a version", `semver(managedCluster.status.version.kubernetes, true).isGreaterThan(semver("1.36.0"))`, ""},
		{"a time", conditions + `.exists(c, c.type == "Joined" && c.lastTransitionTime < timestamp("2030-01-01T00:00:00Z"))`, ""},
		{"properties and conditions", properties + `.exists(p, p.name == "a" && p.value == "b") && ` +
			conditions + `.exists(c, c.type == "Joined" && c.status == "True")`, ""},
		{"a regular expression of a usual length",
			properties + `.exists(p, p.value.matches("^(NVIDIA-)?(A100|H100|H200|B200|L4|L40S)(-SXM[0-9]?|-PCIE)?(-[0-9]+GB)?$"))`, ""},
		{"an annotation that is searched", annotation + `.contains("gpu") || ` + annotation + `.lowerAscii().find("v[0-9]+") == "v1"`, ""},

		{"no condition", `clusterProfile.metadata.name`, "must be true or false"},
		{"a field that is not there", `clusterProfile.spec.displayName == "x"`, "undefined field 'spec'"},
		{"text that is replaced", annotation + `.replace("", ` + annotation + `) == ""`, "replace is not supported"},
		{"text that is replaced in a loop", properties + `.exists(p, p.value.replace("", "x") == "")`, "replace is not supported"},
		{"text that is joined", properties + `.map(p, p.value).join(` + annotation + `) == ""`, "join is not supported"},
		{"text that is formatted", `"%s".format([` + annotation + `]) == ""`, "format is not supported"},
		{"text that is put together", annotation + ` + ` + annotation + ` == ""`, "can't be concatenated"},
		{"text that is put together in the dark", `(` + annotation + ` + "a").size() > 1`, "can't be concatenated"},
		{"lists that are put together", `(` + properties + ` + ` + properties + `).size() > 1`, "can't be concatenated"},
		{"lists that are put together in a loop", `[[1]].map(x, x + x).size() > 1`, "lists and maps of lists and maps"},
		{"lists of lists", doubled + `.size() > 1`, "lists and maps of lists and maps"},
		{"lists of lists in a choice", `(true ? [` + properties + `] : []).size() > 1`, "lists and maps of lists and maps"},
		{"lists of what has no type", `[dyn(1), dyn("x")].size() > 1`, "is not known"},
		{"numbers that are counted out", `lists.range(1000000000).size() > 1`, "lists.range is not supported"},
		{"lists that are compared", properties + ` == ` + properties, "== of list"},
		{"objects that are compared", `clusterProfile.metadata == clusterProfile.metadata`, "== of"},
		{"objects that are looked for", properties + `[0] in ` + properties, "in of"},
		{"sets", `sets.contains(["a"], ["b"])`, "sets.contains is not supported"},
		{"a quantity that takes gigabytes to compare", `quantity("1e1000000000").isGreaterThan(quantity("1"))`, "quantity is not supported"},
		{"parts that may be absent and are compared", `clusterProfile.?status == clusterProfile.?status`, "== of"},
		{"parts that may be absent and are looked for", `clusterProfile.?metadata in [clusterProfile.?metadata]`, "in of"},
		{"what doubles with each repetition", `optional.of(1)` + strings.Repeat(`.optMap(x, x)`, 40) + `.hasValue()`,
			"undeclared reference to 'optMap'"},
		{"a loop over two variables", `[1].transformList(i, v, v).size() > 1`, "undeclared reference to 'transformList'"},
		{"a loop that CEL charges nothing for",
			`!` + zeros(150) + `.exists_one(a, ` + zeros(150) + `.exists_one(b, false))`, "more than 20000 steps"},
		{"a loop over what a loop has made", zeros(1900) + `.map(a, a).filter(a, a == 0).exists(a, a == 1)`, "more than 20000 steps"},
		{"a loop with a long body", zeros(1000) + `.all(a, ` + strings.Repeat("true && ", 100) + `true)`, "more than 20000 steps"},
		{"a message that is made", `google.protobuf.Struct{} == google.protobuf.Struct{}`, "can't be created"},
		{"maps whose types double", `[1].map(a, {a: a})` + strings.Repeat(`.map(a, {a: a})`, 39) + `.size() == 1`, "can't be created"},
		{"sums whose types nobody knows", `[` + strings.Repeat(`[] + [], `, 300) + `[]].size() == 1`, "can't be concatenated"},
		{"very many parts", zeros(3000) + `.size() == 1`, "more than 2000 parts"},
		{"a loop over what may be one list or another",
			`(true ? ` + properties + `.map(p, ` + conditions + `[0]) : ` + conditions + `).all(c, ` +
				strings.Repeat(`c.type == "a" || `, 20) + `false)`, "more than 20000 steps"},
		{"a character that is looked up", `clusterProfile.metadata.name.charAt(0) == "a"`, "charAt is not supported"},
		{"a regular expression in the place of the text", `matches("(?:` + strings.Repeat("a", 3300) + `){1000}", "x")`,
			"write TEXT.matches(PATTERN)"},
		{"a regular expression of nothing, often", `"x".matches("(?:` + strings.Repeat("()", 251) + `){1000}")`, "repeats too much"},
		{"a time somewhere", `timestamp("2030-01-01T00:00:00Z").getHours("Europe/Berlin") == 1`, "supports only UTC"},
		{"a search that is slow", annotation + `.indexOf("ab") == 1`, "indexOf is not supported"},
		{"a regular expression that is computed", `"x".matches(` + annotation + `)`, "must be a literal"},
		{"a regular expression that repeats", `"x".matches("((a{1,30}){1,30})")`, "repeats too much"},
		{"a regular expression of many steps", `"x".matches("` + strings.Repeat("a*", 200) + `")`, "repeats too much"},
		{"a long regular expression", `"x".matches("` + strings.Repeat(".{999}", 1650) + `")`, "has 9900 bytes, of at most 512"},
		{"a regular expression that is none", `"x".matches("(")`, "missing closing )"},
		{"loops in loops", properties + `.exists(a, ` + properties + `.exists(b, a.name == b.name))`, "more than 20000 steps"},
		{"a search of all annotations for long texts", `clusterProfile.metadata.annotations.exists(a, ` + annotation + `.contains(a))`,
			"may cost"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, errs := compileExpressions([]string{test.text}, field.NewPath("x"))
			if test.problem == "" {
				assert.NoError(t, errs.ToAggregate())
				return
			}
			require.Len(t, errs, 1)
			assert.Contains(t, errs[0].Error(), test.problem)
		})
	}
}

// largest returns a profile as large as expressions see it, and larger.
func largest() *candidate {
	long := strings.Repeat("a", maxCELText)
	profile := Cluster{Annotations: map[string]string{"a": long, "too long": long + "a"}, Properties: map[string]string{}}
	for i := range 2 * maxCELItems {
		profile.Properties[fmt.Sprintf("%03d", i)] = long
		profile.Conditions = append(profile.Conditions, metav1.Condition{Type: "C", Message: long + long})
	}
	object := celObjects(&profile)
	return &candidate{entry: &entry{Cluster: profile, object: func() map[string]any { return object }}}
}

// TestExpression_IsBounded is not parallel: it counts what is allocated.
func TestExpression_IsBounded(t *testing.T) {
	c := largest()
	const dear = `clusterProfile.status.properties.exists(p, p.value.matches("^(a|b)*c$"))`
	for text, problem := range map[string]string{
		`clusterProfile.metadata.annotations["a"].size() == 4096 && !("too long" in clusterProfile.metadata.annotations)`:    "",
		`clusterProfile.status.conditions.size() == 32 && clusterProfile.status.conditions.all(c, c.message.size() == 4096)`: "",
		`clusterProfile.status.properties.size() == 256 && clusterProfile.status.properties.all(p, p.name < "256")`:          "",
		`clusterProfile.metadata.annotations["a"].matches("^(a|b|c|d|e|f)+(k|l)?(m|n)?$")`:                                   "",
		dear: "cost limit exceeded",
	} {
		c.spent = 0
		compiled, errs := compileExpressions([]string{text}, field.NewPath("x"))
		require.NoError(t, errs.ToAggregate(), text)
		var holds bool
		var err error
		assert.Less(t, allocated(func() { holds, err = compiled[0].holds(c) }), uint64(maxAllocated), text)
		if problem == "" {
			require.NoError(t, err, text)
			assert.True(t, holds, text)
		} else {
			require.ErrorContains(t, err, problem, text)
		}
	}
	t.Run("all of a placement together", func(t *testing.T) {
		compiled, errs := compileExpressions(slices.Repeat([]string{dear}, 100), field.NewPath("x"))
		require.NoError(t, errs.ToAggregate())
		c.spent = 0
		for i := range compiled {
			_, err := compiled[i].holds(c)
			require.Error(t, err)
		}
		assert.Less(t, c.spent, uint64(celClusterLimit+2*celCostLimit))
	})
	t.Run("steps of a placement together", func(t *testing.T) {
		loop := `clusterProfile.status.properties.exists(p, p.name == "a" || p.value == "b")`
		spec := predicateSpec(byExpression(slices.Repeat([]string{loop}, 100)...))
		_, errs := compilePredicates(spec.Predicates, field.NewPath("predicates"))
		require.Len(t, errs, 1)
		assert.Contains(t, errs[0].Error(), "may take more than 100000")
	})
}

// maxAllocated is what one evaluation may allocate, in bytes: CEL copies a text of 4 KiB to count
// its characters, for instance.
const maxAllocated = 64 << 20

func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// FuzzExpression evaluates whatever is allowed.
func FuzzExpression(f *testing.F) {
	for _, text := range []string{
		`clusterProfile.metadata.labels["env"] == "prod"`,
		`clusterProfile.status.properties.filter(p, p.name.startsWith("1")).map(p, p.value).exists(v, v.matches("^(a|b)*c$"))`,
		`clusterProfile.metadata.labels[?"env"].orValue("none") in ["prod", "none"] ? int("1") + 1 > 3 : true`,
		`semver(managedCluster.status.version.kubernetes, true).isGreaterThan(semver("1.36.0"))`,
		`managedCluster.status.conditions.all(c, c.lastTransitionTime < timestamp("2030-01-01T00:00:00Z"))`,
		`[[1]].map(x, x + x).size() > 1`,
	} {
		f.Add(text)
	}
	c := largest()
	f.Fuzz(func(t *testing.T, text string) {
		compiled, errs := compileExpressions([]string{text}, field.NewPath("x"))
		if len(errs) > 0 {
			return
		}
		c.spent = 0
		assert.LessOrEqual(t, allocated(func() { _, _ = compiled[0].holds(c) }), uint64(maxAllocated), text)
	})
}
