// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
// another token for it. Then its grants go, which ends their tokens, the ClusterProfile if it is
// ours, the hub's Secret, and what join has made on the member. Secret and member stay while they
// are for other ClusterProfiles. What is gone already is no error, so that Undo can be repeated.
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
	ours, err := j.checkUnjoin(profile, secret)
	if err != nil {
		return err
	}
	if j.noSecret = secret == nil; j.noSecret && profile == nil {
		fmt.Fprintf(j.Out, "hub: there is no ClusterProfile %s, and no Secret of it\n", j.profileName())
	}
	ways := waysTo(m, secret)
	if secret != nil {
		if err := j.leave(ctx); err != nil {
			return err
		}
	}
	if err := j.endGrants(ctx, []types.NamespacedName{j.key()}, nil, abandon); err != nil {
		return err
	}
	if profile != nil {
		if err := j.removeProfile(ctx, profile, ours); err != nil {
			return err
		}
		// A request that was under way when the member was marked may have got a grant. Now nobody gets
		// another.
		if err := j.endGrants(ctx, []types.NamespacedName{j.key()}, nil, abandon); err != nil {
			return err
		}
	}
	if secret != nil {
		if err := j.release(ctx); err != nil {
			return err
		}
	}
	if j.member == nil {
		fmt.Fprintln(j.Out, "member: left as it is; to remove what join made there, give --member-context")
		return nil
	}
	return j.cleanMember(ctx, ways)
}

// removeProfile deletes the ClusterProfile if it is ours. One of another manager stays: that would
// make it again at best.
func (j *joiner) removeProfile(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, ours bool) error {
	if ours {
		return j.hub.remove(ctx, profileKind, profile)
	}
	how := fmt.Sprintf("stays: it belongs to the cluster manager %q", profile.Spec.ClusterManager.Name)
	j.hub.found("clusterprofile "+j.profileName(), how)
	return nil
}

// checkUnjoin returns whether the ClusterProfile is ours, or why neither it nor its member may be
// touched.
func (j *joiner) checkUnjoin(profile *inventoryv1alpha1.ClusterProfile, secret *corev1.Secret) (ours bool, err error) {
	if ours, err = j.checkOwner(profile, secret); err == nil {
		err = j.checkSameMember(profile, secret)
	}
	return ours, err
}

// checkOwner returns whether the ClusterProfile, which may be nil, is ours. It refuses one of
// another cluster manager than the user has named, unless a Secret shows that it is adopted.
func (j *joiner) checkOwner(profile *inventoryv1alpha1.ClusterProfile, secret *corev1.Secret) (ours bool, err error) {
	if profile == nil {
		return false, nil
	}
	ours = isOurs(profile)
	switch manager := profile.Spec.ClusterManager.Name; {
	case manager == j.ClusterManager:
	case ours:
		return false, fmt.Errorf("hub: ClusterProfile %s belongs to the cluster manager %q, not to %q; see --cluster-manager",
			j.profileName(), manager, j.ClusterManager)
	case secret == nil:
		return false, fmt.Errorf("hub: ClusterProfile %s belongs to the cluster manager %q, and no Secret names it: it is not adopted. "+
			"To end what is left of its grants and on its member all the same, add --cluster-manager=%s", j.profileName(), manager, manager)
	}
	return ours, nil
}

// checkSameMember refuses to clean a member that the profile is not for.
func (j *joiner) checkSameMember(profile *inventoryv1alpha1.ClusterProfile, secret *corev1.Secret) error {
	noted := notedMember(profile, secret)
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
