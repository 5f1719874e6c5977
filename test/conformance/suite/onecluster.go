// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// checkOneCluster reaches the profiles under test, and, if that is wanted, those of other
// namespaces that share an id with one of them.
func checkOneCluster(ctx context.Context, h *hub) (string, error) {
	logins, err := h.login(ctx)
	if err != nil {
		return "", err
	}
	var elsewhere []profile
	if h.OtherNamespaces {
		if elsewhere, err = h.profilesIn(ctx, metav1.NamespaceAll); err != nil && !unreadable(err) {
			return "", err
		}
	}
	shares := func(p *profile) bool {
		return p.Namespace != h.Namespace && p.memberID() != "" &&
			slices.ContainsFunc(h.logins, func(l *login) bool { return l.profile.memberID() == p.memberID() })
	}
	all := slices.Clone(logins)
	for i := range elsewhere {
		if provider, access := h.choose(&elsewhere[i]); provider != nil && shares(&elsewhere[i]) && len(all) < 2*maxLogins {
			l := &login{profile: elsewhere[i], provider: provider, access: access}
			l.try(ctx, h)
			all = append(all, l)
		}
	}
	return compareClusters(all)
}

// compareClusters holds the ids of profiles against the clusters that they reach.
func compareClusters(all []*login) (string, error) {
	var found, pairs []string
	clusterOf, idOf, reached := map[string]*login{}, map[string]*login{}, 0
	for _, l := range all {
		id := l.profile.memberID()
		if id == "" || l.uidErr != nil {
			continue
		}
		reached++
		if other := clusterOf[id]; other == nil {
			clusterOf[id] = l
		} else if other.uid != l.uid {
			found = append(found, fmt.Sprintf("%s and %s have one id and reach two clusters",
				quote(other.profile.String()), quote(l.profile.String())))
		} else {
			pairs = append(pairs, quote(other.profile.String())+" and "+quote(l.profile.String()))
		}
		if other := idOf[l.uid]; other == nil {
			idOf[l.uid] = l
		} else if other.profile.memberID() != id {
			found = append(found, fmt.Sprintf("%s and %s have different ids and reach one cluster",
				quote(other.profile.String()), quote(l.profile.String())))
		}
	}
	switch {
	case len(found) > 0:
		return "", violated("%s", these(found))
	case reached < 2:
		return "", skipped("fewer than two profiles have an id and let the suite read the UID of kube-system")
	}
	return fmt.Sprintf("%d profiles reach %d clusters; %d are of a cluster that has another: %s",
		reached, len(idOf), len(pairs), these(pairs)), nil
}
