// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

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
		if j.report.changes == 0 {
			return fmt.Errorf("%w\nNothing was changed on either cluster", err)
		}
		return fmt.Errorf("%w\nWhat is listed above as deleted is gone, and a member that is marked as leaving gets no more tokens. "+
			"Run the same command again to go on from here, or join it again to keep it", err)
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
		if err := j.removeTyped(ctx, profile); err != nil {
			return err
		}
		// A request that was under way when the member was marked may have got a grant. Now nobody gets
		// another.
		if err := j.endGrants(ctx, nil, abandon); err != nil {
			return err
		}
	}
	if secret != nil {
		secret.TypeMeta = core(kindSecret)
		secret.Data = nil
		if err := j.removeTyped(ctx, secret); err != nil {
			return err
		}
	}
	if j.member == nil {
		fmt.Fprintln(j.Out, "member: left as it is; to remove what join made there, give --member-context")
		return nil
	}
	return j.cleanMember(ctx, ways)
}

// checkSameMember refuses to take out a profile of another manager, or to clean a member that the
// profile is not for.
func (j *joiner) checkSameMember(profile *inventoryv1alpha1.ClusterProfile, secret *corev1.Secret) error {
	noted := ""
	if secret != nil {
		noted = secret.Annotations[memberIDAnnotation]
	}
	if profile != nil {
		if err := j.checkManager(profile); err != nil {
			return err
		}
		noted = cmp.Or(profile.Annotations[memberIDAnnotation], noted)
	}
	j.sameMember = j.member != nil && noted == j.memberID
	if j.member != nil && noted != "" && !j.sameMember {
		return fmt.Errorf("ClusterProfile %s is not for this member: the UID of its namespace kube-system is %s, and the member's is %s",
			j.profileName(), noted, j.memberID)
	}
	return nil
}

func (j *joiner) removeTyped(ctx context.Context, object runtime.Object) error {
	o, err := toUnstructured(object)
	if err != nil {
		return err
	}
	return j.hub.remove(ctx, o)
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
	removed := 0
	for _, kind := range append(slices.Clone(rightsKinds), corev1.SchemeGroupVersion.WithKind(kindSecret),
		corev1.SchemeGroupVersion.WithKind(kindServiceAccount)) {
		found, err := j.member.list(ctx, kind, metav1.NamespaceAll, partOfLabel+"="+partOf+","+member.LabelJoinedBy+"="+j.hubID)
		if err != nil {
			return err
		}
		for i := range found {
			if err := j.member.remove(ctx, &found[i]); err != nil {
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
	namespace, err := j.member.get(ctx, namespaceKind, "", SystemNamespace)
	if err != nil || namespace == nil || namespace.GetLabels()[member.LabelCreatedBy] != j.hubID || j.memberID == j.hubID {
		return err
	}
	if namespace.GetDeletionTimestamp() != nil {
		return nil
	}
	for _, kind := range []string{kindSecret, kindServiceAccount, "ConfigMap", "Pod"} {
		left, err := j.left(ctx, kind)
		if err != nil {
			return err
		}
		if left != nil {
			fmt.Fprintf(j.Out, "member: %s stays: %s is in it\n", refOf(namespace), refOf(left))
			return nil
		}
	}
	return j.member.remove(ctx, namespace)
}

// left returns an object of the kind in clusterpass's namespace that neither join nor Kubernetes
// has put there, nil where there is none.
func (j *joiner) left(ctx context.Context, kind string) (*unstructured.Unstructured, error) {
	found, err := j.member.list(ctx, corev1.SchemeGroupVersion.WithKind(kind), SystemNamespace, "")
	if err != nil {
		return nil, err
	}
	for i := range found {
		o := &found[i]
		ofKubernetes := kind == kindServiceAccount && o.GetName() == "default" || kind == "ConfigMap" && o.GetName() == "kube-root-ca.crt"
		if !ofKubernetes && o.GetLabels()[member.LabelJoinedBy] != j.hubID {
			return o, nil
		}
	}
	return nil, nil //nolint:nilnil // that there is none is an answer
}
