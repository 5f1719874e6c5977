// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"fmt"
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
)

// parallelReviews bounds the reviews of one request that are under way at once.
const parallelReviews = 8

var clusterProfiles = schema.GroupResource{Group: inventoryv1alpha1.Group, Resource: "clusterprofiles"}

// permission is a verb that a requester needs on the target ClusterProfile.
type permission struct {
	verb, subresource string
}

// permissions lists what spec takes, each once: the table of docs/security.md. A
// verb with a colon follows KEP-5284 (constrained impersonation).
func permissions(spec v1alpha1.AuthTokenRequestSpec) []permission {
	verbs := sets.New("in:" + spec.ServiceAccountNamespace)
	for _, role := range spec.ClusterRoles {
		if len(role.Rules) > 0 {
			verbs.Insert("escalate")
		} else {
			verbs.Insert("bind:" + role.Name)
		}
	}
	for _, role := range spec.Roles {
		if len(role.Rules) > 0 {
			verbs.Insert("escalate")
		} else {
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

// attributes asks whether u holds p on target.
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

// on says p as a person would grant it.
func (p permission) on(target v1alpha1.ClusterProfileReference) string {
	resource := clusterProfiles.Resource
	if p.subresource != "" {
		resource += "/" + p.subresource
	}
	return fmt.Sprintf("%s on %s.%s %q in namespace %q", p.verb, resource, clusterProfiles.Group, target.Name, target.Namespace)
}

// authorize returns nil when r's user holds every permission that r takes, else
// 403 with all that are missing, or 500 when the authoriser could not decide.
func (m *Minter) authorize(ctx context.Context, r Request) (err error) {
	defer observePhase(phaseAuthorize, m.Clock, m.Clock.Now(), &err)
	target := r.Spec.TargetClusterProfile
	if isAnonymous(r.User) {
		return apierrors.NewForbidden(clusterProfiles, target.Name, errors.New("anonymous users get no tokens"))
	}
	needed := permissions(r.Spec)
	held := make([]bool, len(needed))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallelReviews)
	for i, p := range needed {
		group.Go(func() error {
			decision, _, err := m.Authorizer.Authorize(groupCtx, p.attributes(r.User, target))
			held[i] = decision == authorizer.DecisionAllow
			if err != nil && !held[i] {
				return fmt.Errorf("review of %s: %w", p.on(target), err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return apierrors.NewInternalError(err)
	}
	var missing []string
	for i, p := range needed {
		if !held[i] {
			missing = append(missing, p.on(target))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return forbidden(r.User, target, missing)
}

func forbidden(u user.Info, target v1alpha1.ClusterProfileReference, missing []string) error {
	err := apierrors.NewForbidden(clusterProfiles, target.Name,
		fmt.Errorf("user %q lacks: %s", u.GetName(), strings.Join(missing, "; ")))
	for _, one := range missing {
		err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes,
			metav1.StatusCause{Type: metav1.CauseType("MissingPermission"), Message: one})
	}
	return err
}

func isAnonymous(u user.Info) bool {
	if u == nil || u.GetName() == user.Anonymous {
		return true
	}
	return sets.New(u.GetGroups()...).Has(user.AllUnauthenticated)
}
