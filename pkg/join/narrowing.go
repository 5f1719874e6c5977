// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
)

// maxNamed bounds the grants that a message names.
const maxNamed = 10

// lacks returns what a grant needs of the member that a does not allow, sorted, each once.
func (a *Allowed) lacks(g *clusterpassv1alpha1.AuthTokenGrant) []string {
	missing := sets.New[string]()
	namespace := func(name string) {
		if !slices.Contains(a.Namespaces, name) {
			missing.Insert("namespace " + name)
		}
	}
	namespace(g.Spec.ServiceAccount.Namespace)
	for _, role := range g.Spec.ClusterRoles {
		switch {
		case len(role.Rules) > 0 && !a.Rules:
			missing.Insert("--allow-rules")
		case len(role.Rules) == 0 && !a.AllClusterRoles && !slices.Contains(a.ClusterRoles, role.Name):
			missing.Insert("ClusterRole " + role.Name)
		}
	}
	for _, role := range g.Spec.Roles {
		namespace(role.Namespace)
		if len(role.Rules) > 0 && !a.Rules {
			missing.Insert("--allow-rules")
		}
	}
	return sets.List(missing)
}

// checkNarrowing refuses to take away what grants need that are there: the hub could not revoke them any more, or their tokens would
// keep what is not allowed. It says whether there are any, where they are to be revoked.
func (j *joiner) checkNarrowing(ctx context.Context, o *Options) (narrows bool, err error) {
	grants, err := j.grants(ctx)
	if err != nil {
		return false, fmt.Errorf("%w. Joining again takes `list` on authtokengrants, to see whether any of them needs what is no longer allowed", err)
	}
	var names []string
	for i := range grants {
		g := &clusterpassv1alpha1.AuthTokenGrant{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(grants[i].Object, g); err != nil {
			return false, fmt.Errorf("hub: %s: %w", refOf(&grants[i]), err)
		}
		lacks := o.Allowed.lacks(g)
		if len(lacks) == 0 {
			continue
		}
		why := strings.Join(lacks, ", ")
		if owner := metav1.GetControllerOfNoCopy(g); owner != nil {
			why += "; of " + owner.Kind + " " + owner.Name
		}
		names = append(names, fmt.Sprintf("%s/%s (%s)", g.Namespace, g.Name, why))
	}
	if len(names) == 0 || o.RevokeGrants {
		return len(names) > 0, nil
	}
	more := ""
	if left := len(names) - maxNamed; left > 0 {
		more = fmt.Sprintf(" and %d more", left)
	}
	return false, fmt.Errorf("hub: grants need what would no longer be allowed: %s%s.\n"+
		"Allow it still, or end them first: change the ClusterCredentialSets, and revoke the others with `kubectl clusterpass revoke`. "+
		"With --revoke-grants join revokes them all", strings.Join(names[:min(len(names), maxNamed)], "; "), more)
}
