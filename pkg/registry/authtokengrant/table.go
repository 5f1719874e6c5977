// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokengrant

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/utils/clock"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/registry/internal/table"
)

const (
	// printedRoles is how many roles are printed by name.
	printedRoles = 3
	none         = "<none>"
	// text is the type of the columns.
	text = "string"
	// revoking is printed as the readiness of a grant that is being deleted.
	revoking = "Revoking"
)

var columns = []metav1.TableColumnDefinition{
	{Name: "Cluster", Type: text, Description: "ClusterProfile of the member cluster, with its namespace where that is not the grant's."},
	{Name: "Service Account", Type: text, Description: "ServiceAccount on the member cluster, as namespace/name."},
	{Name: "Roles", Type: text, Description: "ClusterRoles by name, then Roles as namespace/name; (rules) marks those made for this grant. " +
		"After three, the number of the others."},
	{Name: "Requester", Type: text, Description: "User of the hub who set what is granted."},
	{Name: "Last Issued", Type: text,
		Description: "The newest token was issued within that time. Not every token is recorded here; the audit log has all of them."},
	{Name: "Tokens End", Type: text, Description: "All tokens end within that time, most of them earlier: " +
		"it is a bound, recorded hours ahead. A token's own expirationTimestamp is exact."},
	{Name: "Ready", Type: text, Description: "Status of the condition Ready, or Revoking while the grant is being deleted."},
	{Name: "Audiences", Type: text, Priority: table.Wide, Description: "Audiences of the tokens, if they are not the default ones."},
	{Name: "Reason", Type: text, Priority: table.Wide,
		Description: "Reason of the condition Ready, or of Revoked while the grant is being deleted."},
}

// printer prints grants at the current time of its clock.
type printer struct {
	clock clock.PassiveClock
}

func (p printer) cells(grant *v1alpha1.AuthTokenGrant) []any {
	ready, reason := state(grant)
	return []any{
		cluster(grant),
		grant.Spec.ServiceAccount.Namespace + "/" + grant.Spec.ServiceAccount.Name,
		roles(&grant.Spec),
		grant.Spec.Requester.Username,
		p.lastIssued(grant.Status.LastIssuedTime),
		p.tokensEnd(grant.Status.ExpirationCeiling),
		ready,
		joined(grant.Spec.Audiences),
		reason,
	}
}

func cluster(grant *v1alpha1.AuthTokenGrant) string {
	profile := grant.Spec.ClusterProfile
	if profile.Namespace == grant.Namespace {
		return profile.Name
	}
	return profile.Namespace + "/" + profile.Name
}

func roles(spec *v1alpha1.AuthTokenGrantSpec) string {
	var names []string
	for _, role := range grant.Roles(spec.ClusterRoles, spec.Roles) {
		name := role.String()
		if !role.IsExisting() {
			name += "(rules)"
		}
		names = append(names, name)
	}
	if more := len(names) - printedRoles; more > 0 {
		names = append(names[:printedRoles], fmt.Sprintf("+%d", more))
	}
	return joined(names)
}

func joined(words []string) string {
	return cmp.Or(strings.Join(words, ","), none)
}

// lastIssued prints when a token was last recorded. Tokens that were issued soon after it are not
// recorded.
func (p printer) lastIssued(at *metav1.Time) string {
	if at == nil {
		return none
	}
	return atMost(p.clock.Since(at.Time))
}

// tokensEnd prints the upper limit for the end of all tokens, which may be hours later than their
// real end. The exact time is not recorded.
func (p printer) tokensEnd(ceiling *metav1.Time) string {
	if ceiling == nil {
		return none
	}
	left := ceiling.Sub(p.clock.Now()).Round(time.Second)
	if left < 0 {
		return "over " + duration.HumanDuration(-left) + " ago"
	}
	return atMost(left)
}

// atMost prints an upper limit for d. It rounds up to a whole day, hour, minute or second, because
// HumanDuration rounds down to that unit.
func atMost(d time.Duration) string {
	unit := time.Second
	switch {
	case d >= 8*24*time.Hour:
		unit = 24 * time.Hour
	case d >= 8*time.Hour:
		unit = time.Hour
	case d >= 10*time.Minute:
		unit = time.Minute
	}
	return "within " + duration.HumanDuration((d + unit - 1).Truncate(unit))
}

// state returns the cells Ready and Reason of a grant.
func state(grant *v1alpha1.AuthTokenGrant) (ready, reason string) {
	if grant.DeletionTimestamp != nil {
		_, reason = conditionOf(grant, v1alpha1.GrantRevoked)
		return revoking, reason
	}
	return conditionOf(grant, v1alpha1.GrantReady)
}

func conditionOf(grant *v1alpha1.AuthTokenGrant, conditionType string) (status, reason string) {
	condition := meta.FindStatusCondition(grant.Status.Conditions, conditionType)
	if condition == nil {
		return string(metav1.ConditionUnknown), none
	}
	return string(condition.Status), condition.Reason
}
