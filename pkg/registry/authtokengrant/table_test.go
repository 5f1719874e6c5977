// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokengrant

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/registry/internal/table"
)

func TestAtMost(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                               "within 0s",
		1500 * time.Millisecond:         "within 2s",
		9*time.Minute + 30*time.Second:  "within 9m30s",
		30*time.Minute + time.Second:    "within 31m",
		179 * time.Minute:               "within 179m",
		7*time.Hour + 30*time.Second:    "within 7h1m",
		9*time.Hour + 50*time.Minute:    "within 10h",
		50*time.Hour + 30*time.Minute:   "within 2d3h",
		9*24*time.Hour + 12*time.Hour:   "within 10d",
		100*24*time.Hour - time.Second:  "within 100d",
		8*time.Hour - time.Millisecond:  "within 8h",
		48*time.Hour - time.Millisecond: "within 2d",
	} {
		assert.Equal(t, want, atMost(d), d)
	}
}

func TestTable(t *testing.T) {
	more := []multiclusterv1alpha1.Role{{Namespace: "a", Name: "b"}, {Namespace: "c", Name: "d"}}
	failed := condition(v1alpha1.GrantRevoked, metav1.ConditionFalse, v1alpha1.GrantReasonMemberFailed)
	for name, tc := range map[string]struct {
		change func(*tokenGrant)
		want   string
	}{
		"a grant in use": {
			func(*tokenGrant) {},
			"bravelion|default/work|view,pods(rules),default/leader|alice|within 5m|within 53m|True|<unknown>|<none>|Ensured",
		},
		"a cluster of another namespace": {
			func(g *tokenGrant) { g.Spec.ClusterProfile.Namespace = "fleet" },
			"fleet/bravelion|default/work|view,pods(rules),default/leader|alice|within 5m|within 53m|True|<unknown>|<none>|Ensured",
		},
		"one that has expired, with audiences": {
			func(g *tokenGrant) {
				g.Status.ExpirationCeiling = ptr.To(metav1.NewTime(testTime.Add(-3 * time.Hour)))
				g.Spec.Audiences = []string{"vault", "api"}
			},
			"bravelion|default/work|view,pods(rules),default/leader|alice|within 5m|over 3h ago|True|<unknown>|vault,api|Ensured",
		},
		"one without roles that nothing is known of yet": {
			func(g *tokenGrant) {
				g.Spec.ClusterRoles, g.Spec.Roles, g.Status = nil, nil, v1alpha1.AuthTokenGrantStatus{}
			},
			"bravelion|default/work|<none>|alice|<none>|<none>|Unknown|<unknown>|<none>|<none>",
		},
		"one with many roles": {
			func(g *tokenGrant) { g.Spec.Roles = append(g.Spec.Roles, more...) },
			"bravelion|default/work|view,pods(rules),default/leader,+2|alice|within 5m|within 53m|True|<unknown>|<none>|Ensured",
		},
		"one that is being revoked": {
			func(g *tokenGrant) {
				g.DeletionTimestamp = ptr.To(metav1.NewTime(testTime))
				g.Status.Conditions = append(g.Status.Conditions, failed)
			},
			"bravelion|default/work|view,pods(rules),default/leader|alice|within 5m|within 53m|Revoking|<unknown>|<none>|MemberFailed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			printed := newGrant()
			tc.change(printed)
			result, err := table.New(columns, printer{testingclock.NewFakePassiveClock(testTime)}.cells).ConvertToTable(t.Context(), printed, nil)
			require.NoError(t, err)
			require.Len(t, result.Rows, 1)
			words := make([]string, 0, len(columns))
			for _, cell := range result.Rows[0].Cells[1:] {
				words = append(words, cell.(string))
			}
			assert.Equal(t, tc.want, strings.Join(words, "|"))
			assert.Len(t, result.ColumnDefinitions, len(result.Rows[0].Cells))
		})
	}
}
