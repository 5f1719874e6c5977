// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterscore

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/utils/clock"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// text is the type of the columns.
const text = "string"

var columns = []metav1.TableColumnDefinition{
	{Name: "Cluster", Type: text, Description: "ClusterProfile that the figures are of."},
	{Name: "Resource", Type: text, Description: "Resource name that placements know the figures by."},
	{Name: "Valid Until", Type: text, Description: "Time until values and scores become unknown, unless they are renewed."},
}

// printer prints scores at the current time of its clock.
type printer struct {
	clock clock.PassiveClock
}

func (p printer) cells(score *v1alpha1.ClusterScore) []any {
	return []any{score.Spec.ClusterProfileName, score.Spec.ResourceName, p.validity(&score.Status)}
}

func (p printer) validity(status *v1alpha1.ClusterScoreStatus) string {
	if status.ValidUntil == nil {
		return "<none>"
	}
	left := status.ValidUntil.Sub(p.clock.Now()).Round(time.Second)
	if left < 0 {
		return "expired " + duration.HumanDuration(-left) + " ago"
	}
	return "in " + duration.HumanDuration(left)
}
