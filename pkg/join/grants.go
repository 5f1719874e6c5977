// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
)

// abandonPatch lets a grant go although its member cannot be reached.
var abandonPatch = []byte(`{"metadata":{"annotations":{"` + clusterpassv1alpha1.AnnotationAbandonMember + `":"true"}}}`)

// ending ends the grants for a profile: it deletes them, and waits until all are gone, which is
// when none of their tokens works any more.
type ending struct {
	*joiner
	// only selects grants; nil: all.
	only func(*clusterpassv1alpha1.AuthTokenGrant) bool
	// abandon lets them go without revoking them on the member.
	abandon bool
	// begun are the grants, by UID, that were deleted here; cleaned those that are ended on the member
	// from here.
	begun   map[types.UID]bool
	cleaned map[types.UID]*cleaning
	// left are those that were there when they were last listed.
	left []clusterpassv1alpha1.AuthTokenGrant
}

// endGrants ends the grants for the profile, in whatever namespace and whatever UID it had: all, or
// those that only selects.
func (j *joiner) endGrants(ctx context.Context, only func(*clusterpassv1alpha1.AuthTokenGrant) bool, abandon bool) error {
	e := &ending{joiner: j, only: only, abandon: abandon, begun: map[types.UID]bool{}, cleaned: map[types.UID]*cleaning{}}
	if err := e.step(ctx); err != nil || len(e.left) == 0 || j.DryRun != DryRunNone {
		return err
	}
	fmt.Fprintln(j.Out, "hub: waiting until the tokens have ended")
	var last error
	err := wait.PollUntilContextTimeout(ctx, poll, j.Timeout, false, func(ctx context.Context) (bool, error) {
		err := e.step(ctx)
		if err != nil && ctx.Err() != nil {
			return false, nil //nolint:nilerr // What was cut off says nothing.
		}
		// The server may be away for a moment.
		last = err
		return last == nil && len(e.left) == 0, nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return e.timeout(last)
	}
	return err
}

// step deletes what grants there are: one that was asked for just before the member was marked as
// leaving may come late.
func (e *ending) step(ctx context.Context) error {
	grants, err := e.grants(ctx)
	if err != nil {
		return err
	}
	e.left = nil
	for i := range grants {
		g := &clusterpassv1alpha1.AuthTokenGrant{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(grants[i].Object, g); err != nil {
			return fmt.Errorf("hub: %s: %w", refOf(&grants[i]), err)
		}
		if e.only != nil && !e.only(g) {
			continue
		}
		e.left = append(e.left, *g)
		if !e.begun[g.UID] {
			if err := e.begin(ctx, &grants[i]); err != nil {
				return err
			}
			e.begun[g.UID] = true
		}
		if err := e.clean(ctx, g, &grants[i]); err != nil {
			return err
		}
	}
	return nil
}

func (e *ending) begin(ctx context.Context, o *unstructured.Unstructured) error {
	if e.abandon {
		if err := e.letGo(ctx, o); err != nil {
			return err
		}
	}
	if o.GetDeletionTimestamp() != nil {
		return nil
	}
	return e.hub.remove(ctx, o)
}

// grants returns the grants for the profile.
func (j *joiner) grants(ctx context.Context) ([]unstructured.Unstructured, error) {
	client, err := j.hub.resource(grantKind, metav1.NamespaceAll)
	if err != nil {
		return nil, err
	}
	list, err := client.List(ctx, metav1.ListOptions{FieldSelector: fields.Set{
		"spec.clusterProfile.namespace": j.Namespace, "spec.clusterProfile.name": j.Name,
	}.String()})
	if err != nil {
		return nil, j.hub.failed("list", "authtokengrants", err)
	}
	return list.Items, nil
}

// letGo annotates a grant to be let go.
func (j *joiner) letGo(ctx context.Context, grant *unstructured.Unstructured) error {
	if j.DryRun == DryRunNone {
		client, err := j.hub.resource(grantKind, grant.GetNamespace())
		if err != nil {
			return err
		}
		_, err = client.Patch(ctx, grant.GetName(), types.MergePatchType, abandonPatch, metav1.PatchOptions{FieldManager: FieldManager})
		if err != nil && !apierrors.IsNotFound(err) {
			return j.hub.failed("annotate", refOf(grant), err)
		}
	}
	j.report.did("hub", "abandoned", refOf(grant))
	return nil
}

// timeout says what is left, why, and what to do. last is why it was not known whether anything
// was, or nil.
func (e *ending) timeout(last error) error {
	if len(e.left) == 0 {
		return last
	}
	names := make([]string, 0, len(e.left))
	failed := e.noSecret
	for i := range e.left {
		g := &e.left[i]
		names = append(names, g.Namespace+"/"+g.Name+whyRevoking(g))
		failed = failed || hasFailed(g)
	}
	advice := "They are being revoked: run the same command again to wait for the rest. " +
		"If nothing changes, check that clusterpass-controller-manager runs on the hub"
	switch {
	case failed && e.member == nil:
		advice = "If you can reach the member, run the command again with --member-context: " +
			"what the hub can't revoke is then removed from there. If the member is gone for ever, abandon its grants with --abandon-member"
	case failed:
		advice = "Remove the cause, and run the same command again"
	}
	err := fmt.Errorf("hub: not revoked within %s: %s\n%s", e.Timeout, strings.Join(names, "; "), advice)
	return errors.Join(err, last)
}

// revoked returns the condition Revoked of a grant, or nil.
func revoked(g *clusterpassv1alpha1.AuthTokenGrant) *metav1.Condition {
	return apimeta.FindStatusCondition(g.Status.Conditions, clusterpassv1alpha1.GrantRevoked)
}

// hasFailed returns whether the hub could not revoke a grant when it last tried.
func hasFailed(g *clusterpassv1alpha1.AuthTokenGrant) bool {
	condition := revoked(g)
	return condition != nil && condition.Reason == clusterpassv1alpha1.GrantReasonMemberFailed
}

// whyRevoking returns what the condition Revoked of a grant says, in brackets, or nothing.
func whyRevoking(g *clusterpassv1alpha1.AuthTokenGrant) string {
	condition := revoked(g)
	if condition == nil {
		return ""
	}
	return fmt.Sprintf(" (%s: %s)", condition.Reason, condition.Message)
}
