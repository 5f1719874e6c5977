// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
)

// parallelReviews bounds the concurrent reviews of one request. The first review runs alone.
const parallelReviews = 8

var clusterProfiles = schema.GroupResource{Group: inventoryv1alpha1.Group, Resource: "clusterprofiles"}

// permission is a verb that a requester needs on the target ClusterProfile.
type permission struct {
	verb, subresource string
}

// permissions returns the permissions that spec requires, without duplicates, as in the table of
// docs/entitlement.md. Verbs with a colon follow KEP-5284 (constrained impersonation).
func permissions(spec v1alpha1.AuthTokenRequestSpec) []permission {
	verbs := sets.New("in:" + spec.ServiceAccountNamespace)
	for _, role := range grant.Roles(spec.ClusterRoles, spec.Roles) {
		switch {
		case !role.IsExisting():
			verbs.Insert("escalate")
		case role.OfCluster():
			verbs.Insert("bind:" + role.Name)
		default:
			verbs.Insert("bind-role:" + role.Namespace + ":" + role.Name)
		}
	}
	for _, audience := range spec.Audiences {
		verbs.Insert("audience:" + audience)
	}
	all := []permission{{verb: "create", subresource: "token"}}
	for _, verb := range sets.List(verbs) {
		all = append(all, permission{verb: verb})
	}
	return all
}

// attributes returns the question whether u holds p on target.
func (p permission) attributes(u user.Info, target v1alpha1.ClusterProfileReference) authorizer.Attributes {
	return authorizer.AttributesRecord{
		User:            u,
		Verb:            p.verb,
		Namespace:       target.Namespace,
		APIGroup:        inventoryv1alpha1.Group,
		APIVersion:      inventoryv1alpha1.Version,
		Resource:        clusterProfiles.Resource,
		Subresource:     p.subresource,
		Name:            target.Name,
		ResourceRequest: true,
	}
}

// on returns p on target as text, in the words of an RBAC rule.
func (p permission) on(target v1alpha1.ClusterProfileReference) string {
	resource := clusterProfiles.Resource
	if p.subresource != "" {
		resource += "/" + p.subresource
	}
	return fmt.Sprintf("%s on %s.%s %q in namespace %q", p.verb, resource, clusterProfiles.Group, target.Name, target.Namespace)
}

// authorize returns nil if r's user holds all permissions that r requires, and otherwise 403, or
// 500 if the authoriser could not decide.
//
// The 403 lists the missing permissions, as far as they were reviewed. authorize reviews the right
// to create tokens first and alone, and starts no more reviews after one that fails: each may be a
// call to the hub, and a user without the right to create tokens must not cause dozens of calls. A
// user who is refused often has to wait for the 403, or gets 429. This does not apply to requests
// of sets, because the controller of sets waits by itself.
func (m *Minter) authorize(ctx context.Context, r Request) (err error) {
	defer observePhase(phaseAuthorize, m.Clock, m.Clock.Now(), &err)
	target := r.Spec.TargetClusterProfile
	if isAnonymous(r.User) {
		return apierrors.NewForbidden(clusterProfiles, target.Name, errors.New("anonymous users get no tokens"))
	}
	paced := r.Owner == nil
	if paced {
		if err := m.refusals.check(r.User); err != nil {
			return err
		}
	}
	rest := permissions(r.Spec)
	for batch := 1; len(rest) > 0; batch = parallelReviews {
		next := rest[:min(batch, len(rest))]
		rest = rest[len(next):]
		missing, err := m.review(ctx, r.User, target, next)
		if err != nil {
			return apierrors.NewInternalError(err)
		}
		if len(missing) == 0 {
			continue
		}
		refusal := forbidden(r.User, target, missing, rest)
		if paced {
			return m.refusals.wait(ctx, r.User, refusal)
		}
		return refusal
	}
	return nil
}

// review returns the permissions that u lacks on target. It reviews all of them in parallel.
func (m *Minter) review(
	ctx context.Context, u user.Info, target v1alpha1.ClusterProfileReference, needed []permission,
) ([]permission, error) {
	held := make([]bool, len(needed))
	group, ctx := errgroup.WithContext(ctx)
	for i, p := range needed {
		group.Go(func() error {
			decision, _, err := m.Authorizer.Authorize(ctx, p.attributes(u, target))
			held[i] = decision == authorizer.DecisionAllow
			if err != nil && !held[i] {
				return fmt.Errorf("review of %s: %w", p.on(target), err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var missing []permission
	for i, p := range needed {
		if !held[i] {
			missing = append(missing, p)
		}
	}
	return missing, nil
}

// forbidden returns 403 with the missing permissions, and those that were not reviewed because of
// them.
func forbidden(u user.Info, target v1alpha1.ClusterProfileReference, missing, unreviewed []permission) error {
	var causes []metav1.StatusCause
	list := func(kind metav1.CauseType, all []permission) string {
		words := make([]string, len(all))
		for i, p := range all {
			words[i] = p.on(target)
			causes = append(causes, metav1.StatusCause{Type: kind, Message: words[i]})
		}
		return strings.Join(words, "; ")
	}
	message := fmt.Sprintf("user %q lacks: %s", u.GetName(), list("MissingPermission", missing))
	if len(unreviewed) > 0 {
		message += fmt.Sprintf(" (not reviewed: %s)", list("NotReviewed", unreviewed))
	}
	err := apierrors.NewForbidden(clusterProfiles, target.Name, errors.New(message))
	err.ErrStatus.Details.Causes = causes
	return err
}

func isAnonymous(u user.Info) bool {
	return u == nil || u.GetName() == user.Anonymous || slices.Contains(u.GetGroups(), user.AllUnauthenticated)
}
