// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

// hostile is a body that is cheap to send and would be dear to look at.
type hostile struct {
	group, resource, kind string
	// body is all but its kind, with %s for entries.
	body, entry string
	// most is how many bytes the body may have.
	most int
	// field is that of the list.
	field string
}

const (
	multiclusterGroup = "multicluster.x-k8s.io/v1alpha1"
	clusterpassGroup  = "clusterpass.dev/v1alpha1"
	requestSpec       = `"targetClusterProfile":{"name":"bravelion"},"serviceAccountName":"hostile","serviceAccountNamespace":"default"`
	setSpec           = `"clusters":{"names":["bravelion"]},"secret":{"namespace":"default","name":"{{.cluster.name}}","format":"kubeconfig"}`
	kibibyte          = 1 << 10
)

func hostiles() map[string]hostile {
	all := map[string]hostile{
		"rules of a role of a token request": {
			multiclusterGroup, "authtokenrequests", "AuthTokenRequest", `"spec":{` + requestSpec + `,"clusterRoles":[{"name":"a","rules":[%s]}]}`,
			`{}`, 128 * kibibyte, "spec.clusterRoles[].rules",
		},
		"roles of a token request": {
			clusterpassGroup, "authtokenrequests", "AuthTokenRequest", `"spec":{` + requestSpec + `,"roles":[%s]}`, `{}`, 128 * kibibyte,
			"spec.roles",
		},
		"audiences of a token request": {
			clusterpassGroup, "authtokenrequests", "AuthTokenRequest", `"spec":{` + requestSpec + `,"audiences":[%s]}`, `""`, 128 * kibibyte,
			"spec.audiences",
		},
		"rules of a set": {
			clusterpassGroup, "clustercredentialsets", "ClusterCredentialSet",
			`"spec":{` + setSpec + `,"template":{"clusterRoles":[{"name":"a","rules":[%s]}]}}`, `{}`, 1024 * kibibyte,
			"spec.template.clusterRoles[].rules",
		},
		"expressions of a set": {
			clusterpassGroup, "clustercredentialsets", "ClusterCredentialSet", `"spec":{"clusters":{"labelSelector":{"matchExpressions":[%s]}}}`,
			`{}`, 1024 * kibibyte,
			"spec.clusters.labelSelector.matchExpressions",
		},
		"predicates of a placement": {clusterpassGroup, "placements", "Placement", `"spec":{"predicates":[%s]}`, `{}`, 2048 * kibibyte,
			"spec.predicates"},
		"decisions": {multiclusterGroup, "placementdecisions", "PlacementDecision", `"decisions":[%s]`, `{}`, 3072 * kibibyte,
			"decisions"},
		"conditions of a new profile": {multiclusterGroup, "clusterprofiles", "ClusterProfile",
			`"spec":{"clusterManager":{"name":"a"}},"status":{"conditions":[%s]}`, `{}`, 3072 * kibibyte, ""},
		"values of a new score": {clusterpassGroup, "clusterscores", "ClusterScore",
			`"spec":{"clusterProfileName":"a","resourceName":"b"},"status":{"values":[%s]}`, `{}`, 1024 * kibibyte, ""},
	}
	for _, of := range []hostile{
		{group: multiclusterGroup, resource: "clusterprofiles", kind: "ClusterProfile", body: `"spec":{"clusterManager":{"name":"a"}}`},
		{group: clusterpassGroup, resource: "placements", kind: "Placement", body: `"spec":{}`},
	} {
		of.body, of.entry, of.most, of.field = `"metadata":{"generateName":"a","labels":{%s}},`+of.body, `"-%d":"-"`, 1024*kibibyte,
			"metadata.labels"
		all["labels of "+of.resource] = of
	}
	return all
}

// of returns the body with so many entries.
func (h *hostile) of(entries int) string {
	list := make([]string, entries)
	for i := range list {
		list[i] = h.entry
		if strings.Contains(h.entry, "%d") {
			list[i] = fmt.Sprintf(h.entry, i)
		}
	}
	body := fmt.Sprintf(h.body, strings.Join(list, ","))
	if !strings.Contains(body, `"metadata"`) {
		body = `"metadata":{"generateName":"a"},` + body
	}
	return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,%s}`, h.group, h.kind, body)
}

// send returns the answer to a body, as a dry run, and how long it took.
func (h *hostile) send(t *testing.T, client rest.Interface, namespace, body string) (*metav1.Status, int, time.Duration) {
	t.Helper()
	begun := time.Now()
	result := client.Post().AbsPath("/apis", h.group, "namespaces", namespace, h.resource).Param("dryRun", "All").
		SetHeader("Content-Type", "application/json").Body([]byte(body)).Do(t.Context())
	took := time.Since(begun)
	answer, err := result.Raw()
	if err == nil {
		return &metav1.Status{Code: http.StatusCreated}, len(answer), took
	}
	is := &metav1.Status{}
	require.NoError(t, json.Unmarshal(answer, is), "%v: %s", err, answer)
	return is, len(answer), took
}

// TestBodies_Hostile sends few bytes that would be many parts of an object, as somebody who may
// create all kinds.
func TestBodies_Hostile(t *testing.T) {
	const namespace = metav1.NamespaceDefault
	kubeconfig := ordinaryUser(t, "hostile", rbacv1.PolicyRule{
		APIGroups: []string{"multicluster.x-k8s.io", "clusterpass.dev"}, Resources: []string{"*"}, Verbs: []string{"create"},
	})
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	require.NoError(t, err)
	client := testenv.Kube(t, config).Discovery().RESTClient()
	for name, h := range hostiles() {
		t.Run(name, func(t *testing.T) {
			for _, entries := range []int{1001, 9999, 10_001, (h.most - kibibyte) / (len(h.entry) + 6)} {
				body := h.of(entries)
				status, size, took := h.send(t, client, namespace, body)
				t.Logf("%d entries, %d bytes: %d in %s, answer of %d bytes", entries, len(body), status.Code, took, size)
				assert.Less(t, size, 64*kibibyte, "the answer")
				if status.Details != nil {
					assert.LessOrEqual(t, len(status.Details.Causes), 21)
				}
				switch {
				case entries > 10_000, h.resource == "authtokenrequests":
					assert.Equal(t, int32(http.StatusRequestEntityTooLarge), status.Code, status.Message)
				case h.field != "":
					assert.Equal(t, int32(http.StatusUnprocessableEntity), status.Code, status.Message)
					assert.Contains(t, status.Message, h.field+": Too many")
				}
			}
			h.requireCheap(t, client, namespace)
		})
	}
}

// requireCheap compares what the dearest body costs with what one costs that is as large as it may
// be, and harmless.
func (h *hostile) requireCheap(t *testing.T, client rest.Interface, namespace string) {
	t.Helper()
	benign := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"generateName":"a","annotations":{"a":%q}}}`,
		h.group, h.kind, strings.Repeat("a", h.most-kibibyte))
	for _, entries := range []int{1000, 9999} {
		body := h.of(entries)
		least, harmless := time.Hour, time.Hour
		// The one after the other: what else runs on the machine is to slow both down. The least of many
		// is what they cost.
		for round := 0; round < 5 || round < 50 && least > 3*harmless; round++ {
			_, _, took := h.send(t, client, namespace, benign)
			harmless = min(harmless, took)
			_, _, took = h.send(t, client, namespace, body)
			least = min(least, took)
		}
		t.Logf("%d entries: %s, harmless %s: %.1f", entries, least, harmless, float64(least)/float64(harmless))
		assert.LessOrEqual(t, least, 3*harmless, "%d entries", entries)
	}
}

// TestBodies_HostileQuantities has amounts that take minutes and gigabytes to read or to compare.
func TestBodies_HostileQuantities(t *testing.T) {
	kubeconfig := ordinaryUser(t, "hostile-quantities", rbacv1.PolicyRule{
		APIGroups: []string{"clusterpass.dev"}, Resources: []string{"placements", "clusterscores"}, Verbs: []string{"create"},
	})
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	require.NoError(t, err)
	client := testenv.Kube(t, config).Discovery().RESTClient()
	for resource, body := range map[string]string{
		"placements": `{"apiVersion":"clusterpass.dev/v1alpha1","kind":"Placement","metadata":{"name":"hostile"},"spec":{"predicates":[
			{"requiredClusterSelector":{"scoreSelector":{"requirements":[{"name":"cpu","atLeast":%q}]}}}]}}`,
		"clusterscores": `{"apiVersion":"clusterpass.dev/v1alpha1","kind":"ClusterScore","metadata":{"name":"hostile"},
			"spec":{"clusterProfileName":"bravelion","resourceName":"usage"},"status":{"values":[{"name":"cpu","value":%q}]}}`,
	} {
		for _, amount := range []string{"1e1000000000", "12345678901234567890e100000000"} {
			err := client.Post().AbsPath("/apis/clusterpass.dev/v1alpha1/namespaces/default", resource).
				SetHeader("Content-Type", "application/json").Body(fmt.Appendf(nil, body, amount)).Do(t.Context()).Error()
			require.True(t, apierrors.IsBadRequest(err), "%s: %v", resource, err)
			require.ErrorContains(t, err, "a number that is too large: "+amount)
		}
	}
}

// TestBodies_HostilePlacements has an ordinary user create what would fill the memory of the server
// and of the controller manager.
func TestBodies_HostilePlacements(t *testing.T) {
	user := ordinaryUser(t, "hostile-placements", rbacv1.PolicyRule{
		APIGroups: []string{"clusterpass.dev"}, Resources: []string{"placements"}, Verbs: []string{"create"},
	})
	selected := func(selector string) string {
		return `{"apiVersion":"clusterpass.dev/v1alpha1","kind":"Placement","metadata":{"name":"hostile"},` +
			`"spec":{"predicates":[{"requiredClusterSelector":` + selector + `}]}}`
	}
	expression := func(text string) string {
		return selected(fmt.Sprintf(`{"celSelector":{"celExpressions":[%q]}}`, text))
	}
	for name, test := range map[string]struct{ manifest, words string }{
		"text that is replaced": {expression(`clusterProfile.metadata.name.replace("", "aa") == ""`), "replace is not supported here"},
		"macros that double":    {expression(`optional.of(1)` + strings.Repeat(`.optMap(x, x)`, 40) + `.hasValue()`), "optMap"},
		"types that double": {expression(`[1].map(a, {a: a})` + strings.Repeat(`.map(a, {a: a})`, 39) + `.size() == 1`),
			"maps and objects can't be created here"},
		"loops that are free": {expression(
			`clusterProfile.metadata.labels.exists_one(a, clusterProfile.metadata.labels.exists_one(b, false))`), "more than 20000 steps"},
		"an amount of no use": {selected(`{"scoreSelector":{"requirements":[{"name":"cpu","atLeast":"e1000000000"}]}}`),
			"a number that is too large"},
		"an amount of no use, too": {selected(`{"scoreSelector":{"requirements":[{"name":"cpu","atLeast":" 1e1000000000"}]}}`),
			"a number that is too large"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, args := range [][]string{{}, {"--dry-run=server"}} {
				_, err := testenv.Kubectl(t.Context(), user, test.manifest, append([]string{"create", "-f", "-"}, args...)...)
				require.ErrorContains(t, err, test.words)
			}
		})
	}
}

// TestBodies_HostileStatus is about lists that only an update of the status keeps. What is stored
// may stay as it is.
func TestBodies_HostileStatus(t *testing.T) {
	namespace := newNamespace(t)
	profiles := profilesIn(t, namespace)
	profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Name: "bravelion"}}
	profile.Spec.ClusterManager.Name = "somebody"
	testenv.Create(t, profiles, profile)
	patch := func(list, entry string, entries int) error {
		all := make([]string, entries)
		for i := range all {
			all[i] = fmt.Sprintf(entry, i)
		}
		_, err := profiles.Patch(t.Context(), "bravelion", types.MergePatchType,
			fmt.Appendf(nil, `{"status":{%q:[%s]}}`, list, strings.Join(all, ",")), metav1.PatchOptions{}, "status")
		return err
	}
	for list, entry := range map[string]string{
		"conditions":      `{"type":"a%d","status":"True","reason":"A","message":"","lastTransitionTime":"2026-05-04T12:00:00Z"}`,
		"properties":      `{"name":"a%d","value":"a"}`,
		"accessProviders": `{"name":"a%d"}`,
	} {
		t.Run(list, func(t *testing.T) {
			require.NoError(t, patch(list, entry, 1000))
			err := patch(list, entry, 1001)
			require.True(t, apierrors.IsInvalid(err), err)
			require.ErrorContains(t, err, "status."+list+": Too many: 1001: must have at most 1000 items")
			require.NoError(t, patch(list, entry, 1), "it becomes shorter")
		})
	}
}
