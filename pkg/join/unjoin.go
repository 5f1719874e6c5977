// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
)

// UnjoinOptions are those of Undo.
type UnjoinOptions struct {
	Target
	// Member is the cluster whose objects are removed; nil: they stay.
	Member *Member
	// AbandonMember lets grants go that cannot be revoked, because the member is gone for ever.
	AbandonMember bool
}

// Undo takes a member out of the inventory. It is marked as leaving first, so that nobody gets
// another token for it. Then its grants go, which ends their tokens, the ClusterProfile, the hub's
// Secret, and what join has made on the member. What is gone already is no error, so that Undo can
// be repeated.
func Undo(ctx context.Context, o *UnjoinOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	if o.Member != nil && o.AbandonMember {
		return errors.New("--abandon-member is for a member that is gone for ever: it can't be used with --member-context or --member-kubeconfig")
	}
	ctx = member.Quiet(ctx) // the hub's Secret is read
	j, err := newJoiner(ctx, &o.Target, o.Member)
	if err != nil {
		return err
	}
	if err := j.unjoin(ctx, o.Member, o.AbandonMember); err != nil {
		return j.halfWay(err, "What is listed above as deleted is gone, and a member that is marked as leaving gets no more tokens. "+
			"Run the same command again to go on from here, or join it again to keep it")
	}
	return nil
}

func (j *joiner) unjoin(ctx context.Context, m *Member, abandon bool) error {
	profile, err := j.profile(ctx)
	if err != nil {
		return err
	}
	secret, err := j.secret(ctx)
	if err != nil {
		return err
	}
	if err := j.checkSameMember(profile, secret); err != nil {
		return err
	}
	if j.noSecret = secret == nil; j.noSecret && profile == nil {
		fmt.Fprintf(j.Out, "hub: there is no ClusterProfile %s, and no Secret of it\n", j.profileName())
	}
	ways := waysTo(m, secret)
	if secret != nil {
		if err := j.leave(ctx, secret); err != nil {
			return err
		}
	}
	if err := j.endGrants(ctx, nil, abandon); err != nil {
		return err
	}
	if profile != nil {
		if err := j.hub.remove(ctx, profileKind, profile); err != nil {
			return err
		}
		// A request that was under way when the member was marked may have got a grant. Now nobody gets
		// another.
		if err := j.endGrants(ctx, nil, abandon); err != nil {
			return err
		}
	}
	if secret != nil {
		if err := j.hub.remove(ctx, secretKind, secret); err != nil {
			return err
		}
	}
	if j.member == nil {
		fmt.Fprintln(j.Out, "member: left as it is; to remove what join made there, give --member-context")
		return nil
	}
	return j.cleanMember(ctx, ways)
}

// leave marks the member as leaving, on its Secret on the hub: from then on nobody gets a token for
// it, and sets let go of it. A mark that is there is kept.
func (j *joiner) leave(ctx context.Context, secret *corev1.Secret) error {
	if since, ok := secret.Annotations[member.LeavingAnnotation]; ok {
		j.hub.found(ref(secretKind, secret.Namespace, secret.Name)+" as leaving", "since "+since)
		return nil
	}
	return j.mark(ctx, secret, "marked", ptr.To(time.Now().UTC().Format(time.RFC3339)))
}

// stay takes the mark of an unjoin that was begun away, also of one that was begun during this
// join.
func (j *joiner) stay(ctx context.Context) error {
	secret, err := j.secret(ctx)
	if err != nil || secret == nil || !metav1.HasAnnotation(secret.ObjectMeta, member.LeavingAnnotation) {
		return err
	}
	return j.mark(ctx, secret, "unmarked", nil)
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
func (j *joiner) mark(ctx context.Context, secret *corev1.Secret, verb string, value *string) error {
	what := ref(secretKind, secret.Namespace, secret.Name)
	if j.DryRun == DryRunNone {
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
			return j.hub.failed("annotate", what, err)
		}
	}
	j.hub.did(verb, what+" as leaving")
	return nil
}

// checkSameMember refuses to take out a profile of another manager, or to clean a member that the
// profile is not for.
func (j *joiner) checkSameMember(profile *inventoryv1alpha1.ClusterProfile, secret *corev1.Secret) error {
	noted, err := j.notedMember(profile, secret)
	if err != nil {
		return err
	}
	j.sameMember = j.member != nil && noted == j.memberID
	if j.member != nil && noted != "" && !j.sameMember {
		return fmt.Errorf("ClusterProfile %s is not for this member: the UID of its namespace kube-system is %s, and the member's is %s",
			j.profileName(), noted, j.memberID)
	}
	return nil
}

// cleanMember removes what join has made on the member for this hub, rights first. Namespaces that
// were allowed stay. Nothing is removed while another ClusterProfile is for the member, be it that
// it was joined by hand: it shares the account.
func (j *joiner) cleanMember(ctx context.Context, ways []*clientcmdapi.Cluster) error {
	others, err := j.otherProfiles(ctx, ways...)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		fmt.Fprintf(j.Out, "member: left as it is; ClusterProfile %s needs it\n", others[0])
		return nil
	}
	removed, ours := 0, metav1.ListOptions{LabelSelector: partOfSelector + "," + member.LabelJoinedBy + "=" + j.hubID}
	for _, kind := range append(slices.Clone(rightsKinds), secretKind, accountKind) {
		found, err := j.member.list(ctx, kind, metav1.NamespaceAll, ours)
		if err != nil {
			return err
		}
		for i := range found {
			if err := j.member.remove(ctx, kind, &found[i]); err != nil {
				return err
			}
			removed++
		}
	}
	if err := j.removeSystemNamespace(ctx); err != nil {
		return err
	}
	if removed == 0 {
		fmt.Fprintln(j.Out, "member: nothing there is this hub's")
	}
	return nil
}

// removeSystemNamespace removes clusterpass's namespace from the member if join has created it and
// nothing else is in it.
func (j *joiner) removeSystemNamespace(ctx context.Context) error {
	namespace, err := j.member.get(ctx, namespaceKind, "", hub.SystemNamespace)
	if err != nil || namespace == nil || namespace.GetLabels()[member.LabelCreatedBy] != j.hubID || j.memberID == j.hubID {
		return err
	}
	if namespace.GetDeletionTimestamp() != nil {
		return nil
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
	return j.member.remove(ctx, namespaceKind, namespace)
}

// isOthers returns whether neither join nor Kubernetes has put an object into clusterpass's
// namespace.
func (j *joiner) isOthers(o unstructured.Unstructured) bool {
	kind, name := o.GroupVersionKind(), o.GetName()
	ofKubernetes := kind == accountKind && name == "default" || kind == configMapKind && name == "kube-root-ca.crt"
	return !ofKubernetes && o.GetLabels()[member.LabelJoinedBy] != j.hubID
}
