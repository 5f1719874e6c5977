// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
)

// written returns ClusterProfiles as an annotation has them.
func written(profiles []types.NamespacedName) string {
	all := make([]string, len(profiles))
	for i := range profiles {
		all[i] = profiles[i].String()
	}
	return strings.Join(all, ",")
}

// annotate changes annotations of the hub's Secret: to what change returns for it, nil values are
// removed. verb and what of the change are printed. Nothing else of the Secret is touched: it is
// not applied, as what is applied would have to name all that join has applied. Whatever somebody
// else changes at the same time is kept.
func (j *joiner) annotate(ctx context.Context, change func(secret *corev1.Secret) (verb, what string, set map[string]*string)) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		secret, err := j.hub.kube.CoreV1().Secrets(hub.SystemNamespace).Get(ctx, j.secretName, metav1.GetOptions{})
		if err != nil {
			return j.hub.failed("read", ref(secretKind, hub.SystemNamespace, j.secretName), err)
		}
		verb, what, set := change(secret)
		if len(set) == 0 {
			return nil
		}
		if err := j.patchAnnotations(ctx, secret, set); err != nil {
			return err
		}
		j.hub.did(verb, what)
		return nil
	})
}

// patchAnnotations changes annotations of a Secret that was seen, and of no other and no later one.
func (j *joiner) patchAnnotations(ctx context.Context, secret *corev1.Secret, set map[string]*string) error {
	if j.DryRun != DryRunNone {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": secret.UID, "resourceVersion": secret.ResourceVersion, "annotations": set,
	}})
	if err != nil {
		return err
	}
	_, err = j.hub.kube.CoreV1().Secrets(secret.Namespace).Patch(ctx, secret.Name, types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: FieldManager})
	if err != nil {
		return j.hub.failed("annotate", ref(secretKind, secret.Namespace, secret.Name), err)
	}
	return nil
}

// leave marks the member as leaving, on its Secret on the hub: from then on nobody gets a token for
// it, and sets let go of it. Where the Secret is for other ClusterProfiles, too, it is this one
// alone that is marked. A mark that is there is kept.
func (j *joiner) leave(ctx context.Context) error {
	err := j.annotate(ctx, func(secret *corev1.Secret) (string, string, map[string]*string) {
		what := ref(secretKind, secret.Namespace, secret.Name)
		switch leaving, others := member.LeavingOf(secret, j.Namespace, j.Name), j.without(member.SecretProfiles(secret)); {
		case leaving != nil:
			j.hub.found(what+" as leaving", "since "+cmp.Or(secret.Annotations[member.LeavingAnnotation], "an earlier unjoin"))
			return "", "", nil
		case len(others) == 0:
			return "marked", what + " as leaving", map[string]*string{
				member.LeavingAnnotation: ptr.To(time.Now().UTC().Format(time.RFC3339)),
			}
		default:
			return "marked", "clusterprofile " + j.profileName() + " of " + what + " as leaving", map[string]*string{
				member.LeavingProfilesAnnotation: ptr.To(written(append(member.LeavingProfiles(secret), j.key()))),
			}
		}
	})
	if apierrors.IsNotFound(err) {
		return nil // without it nobody gets a token, either
	}
	return err
}

// stay takes the mark of an unjoin that was begun away, also of one that was begun during this
// join. Other ClusterProfiles of the Secret go on leaving.
func (j *joiner) stay(ctx context.Context) error {
	if secret, err := j.secret(ctx); err != nil || secret == nil || member.LeavingOf(secret, j.Namespace, j.Name) == nil {
		return err
	}
	return j.annotate(ctx, func(secret *corev1.Secret) (string, string, map[string]*string) {
		leaving := j.without(member.LeavingProfiles(secret))
		if _, whole := secret.Annotations[member.LeavingAnnotation]; whole {
			leaving = j.without(member.SecretProfiles(secret))
		}
		set := map[string]*string{member.LeavingAnnotation: nil, member.LeavingProfilesAnnotation: nil}
		if len(leaving) > 0 {
			set[member.LeavingProfilesAnnotation] = ptr.To(written(leaving))
		}
		return "unmarked", ref(secretKind, secret.Namespace, secret.Name) + " as leaving", set
	})
}

// checkStays returns an error where somebody has begun to take the member out again.
func (j *joiner) checkStays(ctx context.Context) error {
	secret, err := j.secret(ctx)
	if err != nil || secret == nil || member.LeavingOf(secret, j.Namespace, j.Name) == nil {
		return err
	}
	since := ""
	if value, ok := secret.Annotations[member.LeavingAnnotation]; ok {
		since = " since " + value
	}
	return fmt.Errorf("hub: ClusterProfile %s is joined, but `kubectl clusterpass unjoin` marks it as leaving%s: "+
		"requests for tokens are refused. Run the same command again to keep it", j.profileName(), since)
}

// addName has the hub's Secret name the ClusterProfile, beside those that it names already.
func (j *joiner) addName(ctx context.Context) error {
	var full error
	err := j.annotate(ctx, func(secret *corev1.Secret) (string, string, map[string]*string) {
		var all []types.NamespacedName
		if all, full = j.withName(secret); full != nil || j.isOfProfile(secret) {
			return "", "", nil
		}
		return "configured", ref(secretKind, secret.Namespace, secret.Name) + " for clusterprofile " + j.profileName() + ", too",
			map[string]*string{member.ClusterProfileAnnotation: ptr.To(written(all))}
	})
	return cmp.Or(full, err)
}

// withName returns what a Secret names, and the ClusterProfile.
func (j *joiner) withName(secret metav1.Object) ([]types.NamespacedName, error) {
	all := member.SecretProfiles(secret)
	switch {
	case slices.Contains(all, j.key()):
		return all, nil
	case len(all) >= member.MaxSecretProfiles:
		return nil, fmt.Errorf("hub: %s names %d ClusterProfiles, and can't name more",
			ref(secretKind, hub.SystemNamespace, secret.GetName()), len(all))
	}
	return append(all, j.key()), nil
}

// release takes the ClusterProfile, and its mark, out of the hub's Secret. If the Secret is for no
// other one, it is deleted.
func (j *joiner) release(ctx context.Context) error {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		secret, err := j.hub.kube.CoreV1().Secrets(hub.SystemNamespace).Get(ctx, j.secretName, metav1.GetOptions{})
		if err != nil {
			return j.hub.failed("read", ref(secretKind, hub.SystemNamespace, j.secretName), err)
		}
		if others := j.without(member.SecretProfiles(secret)); len(others) > 0 {
			return j.leaveTo(ctx, secret, others)
		}
		what := ref(secretKind, secret.Namespace, secret.Name)
		if j.DryRun == DryRunNone {
			// Not where somebody else has named another ClusterProfile there since.
			seen := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion}}
			if err := j.hub.kube.CoreV1().Secrets(secret.Namespace).Delete(ctx, secret.Name, seen); err != nil {
				return j.hub.failed("delete", what, err)
			}
		}
		j.hub.did("deleted", what)
		return nil
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// leaveTo has a Secret be for others, and no longer for the ClusterProfile.
func (j *joiner) leaveTo(ctx context.Context, secret *corev1.Secret, others []types.NamespacedName) error {
	set := map[string]*string{member.ClusterProfileAnnotation: ptr.To(written(others)), member.LeavingProfilesAnnotation: nil}
	if leaving := j.without(member.LeavingProfiles(secret)); len(leaving) > 0 {
		set[member.LeavingProfilesAnnotation] = ptr.To(written(leaving))
	}
	if err := j.patchAnnotations(ctx, secret, set); err != nil {
		return err
	}
	j.hub.did("configured", ref(secretKind, secret.Namespace, secret.Name)+" for ClusterProfile "+written(others)+" alone")
	return nil
}
