// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/waiting"
)

// systemNamespaceReady creates clusterpass's namespace on the member. One that is there is left as
// it is: the member may be a hub itself.
func (j *joiner) systemNamespaceReady(ctx context.Context, o *unstructured.Unstructured) error {
	existing, err := j.namespace(ctx, o.GetName())
	if err != nil {
		return err
	}
	if existing != nil && existing.GetLabels()[member.LabelCreatedBy] != j.hubID {
		j.member.found(refOf(existing), "unchanged")
		return nil
	}
	j.label(o, member.LabelCreatedBy)
	return j.member.apply(ctx, FieldManager, o, nil)
}

// namespaceReady creates a namespace that is allowed. From then on it is the member's.
func (j *joiner) namespaceReady(ctx context.Context, name string) error {
	existing, err := j.namespace(ctx, name)
	if err != nil || existing != nil {
		return err
	}
	return j.member.apply(ctx, FieldManager, newObject(namespaceKind, "", name), nil)
}

// namespace returns a namespace of the member, nil if there is none. It waits for one that is being
// deleted, as after an unjoin: nothing can be created in it.
func (j *joiner) namespace(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	found, err := j.member.get(ctx, namespaceKind, "", name)
	if err != nil || found == nil || found.GetDeletionTimestamp() == nil {
		return found, err
	}
	if j.DryRun != DryRunNone {
		j.member.found(refOf(found), "being deleted")
		return nil, nil //nolint:nilnil // join would wait until there is none
	}
	err = j.untilGone(ctx, found)
	if wait.Interrupted(err) && ctx.Err() == nil {
		return nil, fmt.Errorf("member: %s is being deleted and was not gone within %s: %w; run the command again when it is gone",
			refOf(found), j.Timeout, err)
	}
	if err != nil {
		return nil, err
	}
	return j.member.get(ctx, namespaceKind, "", name)
}

// untilGone waits until a namespace of the member that is being deleted is gone. After the timeout,
// its error is one for which wait.Interrupted is true.
func (j *joiner) untilGone(ctx context.Context, namespace *unstructured.Unstructured) error {
	fmt.Fprintf(j.Out, "member: waiting until %s, which is being deleted, is gone\n", refOf(namespace))
	return waiting.Until(ctx, poll, j.Timeout, func(ctx context.Context) (bool, error) {
		now, err := j.member.get(ctx, namespaceKind, "", namespace.GetName())
		return err == nil && (now == nil || now.GetUID() != namespace.GetUID()), err
	})
}

// removeSystemNamespace removes clusterpass's namespace from the member if join has created it and
// nothing else is in it.
func (j *joiner) removeSystemNamespace(ctx context.Context) error {
	namespace, err := j.member.get(ctx, namespaceKind, "", hub.SystemNamespace)
	if err != nil || namespace == nil || namespace.GetLabels()[member.LabelCreatedBy] != j.hubID || j.memberID == j.hubID {
		return err
	}
	if namespace.GetDeletionTimestamp() != nil {
		return j.awaitGone(ctx, namespace)
	}
	for _, kind := range []schema.GroupVersionKind{secretKind, accountKind, configMapKind, podKind} {
		found, err := j.member.list(ctx, kind, hub.SystemNamespace, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(found, j.isOthers); i >= 0 {
			fmt.Fprintf(j.Out, "member: %s stays: %s is in it\n", refOf(namespace), refOf(&found[i]))
			return nil
		}
	}
	if err := j.member.remove(ctx, namespaceKind, namespace); err != nil || j.DryRun != DryRunNone {
		return err
	}
	return j.awaitGone(ctx, namespace)
}

// awaitGone waits until a namespace of the member that is being deleted is gone, and says so if it
// takes longer than a wait may.
func (j *joiner) awaitGone(ctx context.Context, namespace *unstructured.Unstructured) error {
	err := j.untilGone(ctx, namespace)
	if wait.Interrupted(err) && ctx.Err() == nil {
		j.member.found(refOf(namespace), fmt.Sprintf("is still ending after %s; nothing more is to be done", j.Timeout))
		return nil
	}
	return err
}

// isOthers returns whether neither join nor Kubernetes has put an object into clusterpass's
// namespace.
func (j *joiner) isOthers(o unstructured.Unstructured) bool {
	kind, name := o.GroupVersionKind(), o.GetName()
	ofKubernetes := kind == accountKind && name == "default" || kind == configMapKind && name == "kube-root-ca.crt"
	return !ofKubernetes && o.GetLabels()[member.LabelJoinedBy] != j.hubID
}
