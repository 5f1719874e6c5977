// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
)

// abandonPatch lets a grant go although its member can't be reached.
var abandonPatch = []byte(`{"metadata":{"annotations":{"` + clusterpassv1alpha1.AnnotationAbandonMember + `":"true"}}}`)

// endGrants deletes the grants for the profile, in whatever namespace and whatever UID it had, and waits until all
// are gone: until none of their tokens works.
func (j *joiner) endGrants(ctx context.Context, abandon bool) error {
	grants, err := j.grants(ctx)
	if err != nil {
		return err
	}
	for i := range grants {
		if abandon {
			if err := j.abandon(ctx, &grants[i]); err != nil {
				return err
			}
		}
		if grants[i].GetDeletionTimestamp() != nil {
			continue
		}
		if err := j.hub.remove(ctx, &grants[i]); err != nil {
			return err
		}
	}
	if len(grants) == 0 || j.DryRun != DryRunNone {
		return nil
	}
	return j.waitGrantsGone(ctx)
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

// abandon annotates a grant to be let go.
func (j *joiner) abandon(ctx context.Context, grant *unstructured.Unstructured) error {
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

// waitGrantsGone waits until the controller manager has revoked all grants for the profile.
func (j *joiner) waitGrantsGone(ctx context.Context) error {
	fmt.Fprintln(j.Out, "hub: waiting until the tokens have ended")
	var left []unstructured.Unstructured
	err := wait.PollUntilContextTimeout(ctx, poll, j.Timeout, true, func(ctx context.Context) (bool, error) {
		found, err := j.grants(ctx)
		if err != nil {
			// The time may be over in the midst of a list: what was left is what the one before has found.
			return false, err
		}
		left = found
		return len(left) == 0, nil
	})
	if !wait.Interrupted(err) || len(left) == 0 {
		return err
	}
	names := make([]string, 0, len(left))
	for i := range left {
		names = append(names, left[i].GetNamespace()+"/"+left[i].GetName()+whyRevoking(&left[i]))
	}
	return fmt.Errorf("hub: not revoked within %s: %s\nIf the member is gone for ever, let its grants go with --abandon-member", j.Timeout, strings.Join(names, "; "))
}

// whyRevoking returns what the condition Revoked of a grant says, in brackets, or nothing.
func whyRevoking(grant *unstructured.Unstructured) string {
	conditions, _, err := unstructured.NestedSlice(grant.Object, "status", "conditions")
	if err != nil {
		return ""
	}
	for _, c := range conditions {
		condition, ok := c.(map[string]any)
		if ok && condition["type"] == clusterpassv1alpha1.GrantRevoked {
			return fmt.Sprintf(" (%v: %v)", condition["reason"], condition["message"])
		}
	}
	return ""
}
