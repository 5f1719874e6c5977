// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"clusterpass.dev/pkg/member"
)

func checkServerRBAC(ctx context.Context, e *examination) findings {
	return e.checkRBAC(ctx, e.ServerUser, DefaultServerUser, needsOf(serverName))
}

func checkManagerRBAC(ctx context.Context, e *examination) findings {
	return e.checkRBAC(ctx, e.ManagerUser, DefaultManagerUser, needsOf(managerName))
}

// checkRBAC has the hub's authoriser say whether a user holds all of needs.
func (e *examination) checkRBAC(ctx context.Context, username, deployed string, needs []need) findings {
	var f findings
	needs = e.applicable(needs)
	missing := make([]string, len(needs))
	// Without a context of its own: client-go logs answers that are cut off.
	var group errgroup.Group
	group.SetLimit(parallelCalls)
	for i, n := range needs {
		group.Go(func() (err error) {
			missing[i], err = e.lacks(ctx, username, n)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		if apierrors.IsForbidden(err) {
			f.skip(username, "you may not ask what others may do: that takes create on subjectaccessreviews.authorization.k8s.io")
			return f
		}
		f.unknown(username, err)
		return f
	}
	mend := "Apply the roles as they are delivered: kubectl apply -k artifacts/deploy/rbac"
	if username != deployed {
		mend = "Bind the roles of artifacts/deploy/rbac to this user instead of " + deployed + ": kubectl kustomize artifacts/deploy/rbac"
	}
	for i, n := range needs {
		if missing[i] != "" {
			f.fail(username, mend, "it lacks %s; without it, %s", missing[i], n.without)
		}
	}
	if len(f) == 0 {
		f.ok(username, "it holds everything that artifacts/deploy/rbac gives")
	}
	return f
}

// applicable returns those of needs that the hub's mode takes; Secrets are read in the namespaces
// of the access configuration.
func (e *examination) applicable(needs []need) []need {
	var all []need
	for _, n := range needs {
		switch {
		case n.mode != "" && n.mode != e.mode():
		case n.group == "" && n.resources[0] == resourceSecrets:
			for _, namespace := range member.SecretNamespaces(e.Access) {
				n.namespace = namespace
				all = append(all, n)
			}
		default:
			all = append(all, n)
		}
	}
	return all
}

// lacks returns what of n the user does not have, as a person would grant it; empty: nothing.
func (e *examination) lacks(ctx context.Context, username string, n need) (string, error) {
	var resources []string
	verbs := sets.New[string]()
	for _, resource := range n.resources {
		lacking := false
		for _, verb := range n.verbs {
			allowed, err := e.allowed(ctx, username, n.attributes(resource, verb))
			if err != nil {
				return "", err
			}
			if !allowed {
				lacking = true
				verbs.Insert(verb)
			}
		}
		if lacking {
			resources = append(resources, resource)
		}
	}
	if len(resources) == 0 {
		return "", nil
	}
	return n.describe(sets.List(verbs), resources), nil
}

func (n need) attributes(resource, verb string) *authorizationv1.ResourceAttributes {
	resource, subresource, _ := strings.Cut(resource, "/")
	return &authorizationv1.ResourceAttributes{
		Namespace: n.namespace, Verb: verb, Group: n.group, Resource: resource, Subresource: subresource, Name: n.name,
	}
}

func (n need) describe(verbs, resources []string) string {
	where := "in all namespaces"
	if n.namespace != "" {
		where = "in namespace " + n.namespace
	}
	group, name := n.group, n.name
	if group == "" {
		group = "the core group"
	}
	if name != "" {
		name = fmt.Sprintf(" %q", name)
	}
	return fmt.Sprintf("%s on %s%s of %s, %s", strings.Join(verbs, ", "), strings.Join(resources, ", "), name, group, where)
}

// allowed asks the hub's authoriser.
func (e *examination) allowed(ctx context.Context, username string, attributes *authorizationv1.ResourceAttributes) (bool, error) {
	review, err := e.Kubernetes.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: username, Groups: groupsOf(username), ResourceAttributes: attributes},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// groupsOf returns the groups that the hub's authenticator puts a user into, as far as the name
// tells them.
func groupsOf(username string) []string {
	groups := []string{user.AllAuthenticated}
	namespace, _, err := serviceaccount.SplitUsername(username)
	if err != nil {
		return groups
	}
	return append(serviceaccount.MakeGroupNames(namespace), groups...)
}
