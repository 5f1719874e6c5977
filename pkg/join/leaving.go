// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/pkg/member"
)

// leave marks the member as leaving, on its Secret on the hub: from then on nobody gets a token for
// it, and sets let go of it. A mark that is there is kept.
func (j *joiner) leave(ctx context.Context, secret *corev1.Secret) error {
	what := "secret/" + secret.Name + " in " + SystemNamespace + " as leaving"
	if since, ok := secret.Annotations[member.LeavingAnnotation]; ok {
		j.report.found("hub", what, "since "+since)
		return nil
	}
	now := time.Now().UTC().Format(time.RFC3339)
	return j.mark(ctx, secret, &now, "marked", what)
}

// stay takes the mark of an unjoin that was begun away, also of one that was begun during this
// join.
func (j *joiner) stay(ctx context.Context) error {
	secret, err := j.secret(ctx)
	if err != nil || secret == nil {
		return err
	}
	if _, ok := secret.Annotations[member.LeavingAnnotation]; !ok {
		return nil
	}
	return j.mark(ctx, secret, nil, "unmarked", "secret/"+secret.Name+" in "+SystemNamespace+" as leaving")
}

// checkStays returns an error where somebody has begun to take the member out again.
func (j *joiner) checkStays(ctx context.Context) error {
	secret, err := j.secret(ctx)
	if err != nil || secret == nil {
		return err
	}
	if since, ok := secret.Annotations[member.LeavingAnnotation]; ok {
		return fmt.Errorf("hub: ClusterProfile %s is joined, but `kubectl clusterpass unjoin` marks it as leaving since %s: "+
			"requests for tokens are refused. Run the same command again to keep it", j.profileName(), since)
	}
	return nil
}

// mark sets the annotation of the Secret that was seen, or removes it where value is nil. Nothing
// else of it is touched: it is not applied, as what is applied would have to name all that join has
// applied.
func (j *joiner) mark(ctx context.Context, secret *corev1.Secret, value *string, verb, what string) error {
	if j.DryRun != DryRunNone {
		j.report.did("hub", verb, what)
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": secret.UID, "annotations": map[string]any{member.LeavingAnnotation: value},
	}})
	if err != nil {
		return err
	}
	_, err = j.hub.kube.CoreV1().Secrets(secret.Namespace).Patch(ctx, secret.Name, types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: FieldManager})
	switch {
	case apierrors.IsNotFound(err) && value != nil:
		return nil // without it nobody gets a token, either
	case err != nil:
		return j.hub.failed("annotate", "secret/"+secret.Name+" in "+SystemNamespace, err)
	}
	j.report.did("hub", verb, what)
	return nil
}
