// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/kueue"
	"clusterpass.dev/pkg/words"
)

// IsBlocked returns whether an error of Sync or Remove is one that somebody has to do something
// about, and returns the condition that says so.
func IsBlocked(set *v1alpha1.ClusterCredentialSet, err error) (metav1.Condition, bool) {
	if _, ok := errors.AsType[kueue.ForbiddenError](err); ok {
		return condition(set, v1alpha1.MultiKueueReasonForbidden, err.Error()), true
	}
	return metav1.Condition{}, false
}

// blocked is the condition of a set for which nothing was compared.
func blocked(set *v1alpha1.ClusterCredentialSet, err error) metav1.Condition {
	if blocked, ok := IsBlocked(set, err); ok {
		return blocked
	}
	if errors.Is(err, kueue.ErrNotInstalled) {
		return condition(set, v1alpha1.MultiKueueReasonNotInstalled, err.Error())
	}
	return condition(set, v1alpha1.MultiKueueReasonNotActive, err.Error())
}

// condition returns what has come of a pass over so many clusters, that ended with an error or nil.
func (p *pass) condition(workers int, err error) metav1.Condition {
	active, first := p.active()
	report := func(reason, format string, args ...any) metav1.Condition {
		return condition(p.set, reason, fmt.Sprintf(format, args...))
	}
	switch {
	case len(p.lacking) > 0:
		return report(v1alpha1.MultiKueueReasonForbidden, "its author %q lacks: %s", p.author(), strings.Join(p.lacking, "; "))
	case len(p.taken) > 0:
		return report(v1alpha1.MultiKueueReasonNameTaken, "not this set's, and left alone: %s", strings.Join(p.taken, ", "))
	case err != nil:
		return report(v1alpha1.MultiKueueReasonNotActive, "%v", err)
	case len(p.kept) == 0:
		return report(v1alpha1.MultiKueueReasonNoClusters, "no cluster has a credential; a MultiKueueConfig can't be empty, so there is none")
	case active < len(p.kept):
		return report(v1alpha1.MultiKueueReasonNotActive, "Kueue is connected to %d of %d clusters; %s", active, len(p.kept), first)
	case workers > len(p.kept):
		return report(v1alpha1.MultiKueueReasonTooManyClusters, "Kueue is connected to %d of %d clusters: a MultiKueueConfig can't have more",
			active, workers)
	default:
		return report(v1alpha1.MultiKueueReasonActive, "Kueue is connected to %d clusters", active)
	}
}

func (p *pass) author() string {
	if p.set.Spec.Author == nil {
		return ""
	}
	return p.set.Spec.Author.Username
}

// active counts the clusters that Kueue is connected to, and returns what it says of the first of
// the others.
func (p *pass) active() (count int, first string) {
	for _, name := range p.kept {
		says := "Kueue has not reported on it yet"
		if cluster, err := p.listers[clusterKind].Get(name); err == nil {
			if connected := connection(cluster); connected != nil {
				if connected.Status == metav1.ConditionTrue {
					count++
					continue
				}
				says = connected.Reason + ": " + connected.Message
			}
		}
		if first == "" {
			first = name + ": " + says
		}
	}
	return count, first
}

// condition returns the condition MultiKueueReady by one of its reasons.
func condition(set *v1alpha1.ClusterCredentialSet, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if reason == v1alpha1.MultiKueueReasonActive || reason == v1alpha1.MultiKueueReasonTooManyClusters {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{
		Type: v1alpha1.MultiKueueReady, Status: status, ObservedGeneration: set.Generation, Reason: reason,
		Message: words.Message(message),
	}
}
