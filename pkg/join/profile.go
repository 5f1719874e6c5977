// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha2 "clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/taints"
	"clusterpass.dev/pkg/waiting"
)

const (
	statusPart = "status"
	// execExtension is the extension that KEP-5339 reserves for what a provider has to know of a
	// cluster.
	execExtension = "client.authentication.k8s.io/exec"
	// consumersProvider is the access provider that clusterpass-credential-plugin is for.
	consumersProvider = "clusterpass"
)

// profile returns the ClusterProfile, nil if there is none.
func (j *joiner) profile(ctx context.Context) (*inventoryv1alpha1.ClusterProfile, error) {
	o, err := j.hub.get(ctx, profileKind, j.Namespace, j.Name)
	if err != nil || o == nil {
		return nil, err
	}
	profile := &inventoryv1alpha1.ClusterProfile{}
	return profile, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, profile)
}

// notedMember returns the UID of the cluster that a profile or else its Secret is for, empty if
// neither says. Both may be nil.
func notedMember(profile *inventoryv1alpha1.ClusterProfile, secret *corev1.Secret) string {
	noted := ""
	if profile != nil {
		noted = profile.Annotations[member.MemberUIDAnnotation]
	}
	if noted == "" && secret != nil {
		noted = secret.Annotations[member.MemberUIDAnnotation]
	}
	return noted
}

// checkProfile refuses a ClusterProfile that is there and is for another cluster, or another
// cluster manager's, unless it is to be adopted. That has to be there.
func (j *joiner) checkProfile(ctx context.Context, o *Options, secret *corev1.Secret) error {
	profile, err := j.profile(ctx)
	if err != nil {
		return err
	}
	if err := j.checkManager(profile, o.Adopt); err != nil {
		return err
	}
	id := notedMember(profile, secret)
	j.sameMember = id == j.memberID
	switch {
	case id != "" && !j.sameMember && profile == nil:
		return fmt.Errorf("hub: Secret %s, of ClusterProfile %s that is gone, is for another cluster: "+
			"the UID of its namespace kube-system is %s, and the member's is %s. %s", secret.Name, j.profileName(), id, j.memberID, j.unjoinHint())
	case id != "" && !j.sameMember:
		return fmt.Errorf("hub: ClusterProfile %s is for another cluster: the UID of its namespace kube-system is %s, and the member's is %s. %s",
			j.profileName(), id, j.memberID, j.unjoinHint())
	case id != "" || profile == nil:
		return nil
	}
	if access := accessOf(profile); access != nil && leadsElsewhere(access, &o.Member) {
		return fmt.Errorf("hub: ClusterProfile %s leads to a cluster of another address or CA. %s", j.profileName(), j.unjoinHint())
	}
	return nil
}

func (j *joiner) unjoinHint() string {
	return fmt.Sprintf("Remove it first: kubectl clusterpass unjoin %s -n %s", j.Name, j.Namespace)
}

// profileReady makes the hub have the ClusterProfile, with an access provider that leads to the
// Secret.
func (j *joiner) profileReady(ctx context.Context, o *Options) error {
	memberID, err := j.inventoryMemberID(ctx, o)
	if err != nil {
		return err
	}
	labels := map[string]string{inventoryv1alpha1.LabelClusterManagerKey: j.ClusterManager}
	if memberID != "" {
		labels[multiclusterv1alpha2.LabelInventoryMemberID] = memberID
	}
	maps.Copy(labels, o.Labels)
	annotations := map[string]string{member.MemberUIDAnnotation: j.memberID}
	// From the beginning, so that no placement selects the cluster first.
	tainted, err := j.taintsFor(ctx, o)
	if err != nil {
		return err
	}
	if tainted != "" {
		annotations[clusterpassv1alpha1.AnnotationTaints] = tainted
	}
	profile := newObject(profileKind, j.Namespace, j.Name)
	profile.SetLabels(labels)
	profile.SetAnnotations(annotations)
	profile.Object["spec"] = map[string]any{"displayName": j.Name, "clusterManager": map[string]any{"name": j.ClusterManager}}
	if err := j.hub.apply(ctx, FieldManager, profile, nil); err != nil {
		return err
	}
	if tainted != "" {
		// Owned for good: what the ClusterProfile was applied with goes when it is applied without.
		profile := newObject(profileKind, j.Namespace, j.Name)
		profile.SetAnnotations(map[string]string{clusterpassv1alpha1.AnnotationTaints: tainted})
		if err := j.hub.apply(ctx, taintManager, profile, nil); err != nil {
			return err
		}
	}
	return j.accessReady(ctx, o)
}

// inventoryMemberID returns the value to apply for the label inventory-member-id: that of the
// options, or else the one that an earlier join has set, or else the UID of the member. It is empty
// if somebody else has set the label: they go on owning it.
func (j *joiner) inventoryMemberID(ctx context.Context, o *Options) (string, error) {
	if o.MemberID != "" {
		return o.MemberID, nil
	}
	profile, err := j.profile(ctx)
	if err != nil {
		return "", err
	}
	if profile == nil || profile.Labels[multiclusterv1alpha2.LabelInventoryMemberID] == "" {
		return j.memberID, nil
	}
	ours := func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Manager == FieldManager && entry.FieldsV1 != nil &&
			bytes.Contains(entry.FieldsV1.GetRawBytes(), []byte(`"f:`+multiclusterv1alpha2.LabelInventoryMemberID+`"`))
	}
	if slices.ContainsFunc(profile.ManagedFields, ours) {
		return profile.Labels[multiclusterv1alpha2.LabelInventoryMemberID], nil
	}
	return "", nil
}

// taintManager owns the taints that join has set, so that they stay when the cluster is joined
// again without any.
const taintManager = FieldManager + "-taints"

// ParseTaint returns the taint that is written KEY[=VALUE]:EFFECT, as kubectl has it for nodes.
func ParseTaint(written string) (clusterpassv1alpha1.ClusterTaint, error) {
	pair, effect, found := strings.Cut(written, ":")
	key, value, _ := strings.Cut(pair, "=")
	taint := clusterpassv1alpha1.ClusterTaint{Key: key, Value: value, Effect: clusterpassv1alpha1.TaintEffect(effect)}
	if !found {
		return taint, fmt.Errorf("taint %q is not KEY[=VALUE]:EFFECT", written)
	}
	encoded, err := json.Marshal([]clusterpassv1alpha1.ClusterTaint{taint})
	if err != nil {
		return taint, err
	}
	if _, err := taints.Parse(string(encoded)); err != nil {
		return taint, fmt.Errorf("taint %q is not KEY[=VALUE]:EFFECT: %w", written, err)
	}
	return taint, nil
}

// taintsFor returns the value of the annotation with the taints that o asks for and those that
// profile has besides; it is empty if o asks for none.
func (j *joiner) taintsFor(ctx context.Context, o *Options) (string, error) {
	if len(o.Taints) == 0 {
		return "", nil
	}
	profile, err := j.profile(ctx)
	if err != nil {
		return "", err
	}
	var present []clusterpassv1alpha1.ClusterTaint
	if profile != nil && profile.Annotations[clusterpassv1alpha1.AnnotationTaints] != "" {
		if present, err = taints.Parse(profile.Annotations[clusterpassv1alpha1.AnnotationTaints]); err != nil {
			return "", fmt.Errorf("hub: annotation %s of ClusterProfile %s: %w", clusterpassv1alpha1.AnnotationTaints, j.profileName(), err)
		}
	}
	merged, err := json.Marshal(mergeTaints(present, o.Taints, metav1.Now()))
	return string(merged), err
}

// mergeTaints returns the taints that are present, with those that are wanted in place of others of
// their key and effect.
func mergeTaints(present, wanted []clusterpassv1alpha1.ClusterTaint, now metav1.Time) []clusterpassv1alpha1.ClusterTaint {
	merged := slices.Clone(present)
	for _, taint := range wanted {
		i := slices.IndexFunc(merged, func(t clusterpassv1alpha1.ClusterTaint) bool { return t.Key == taint.Key && t.Effect == taint.Effect })
		taint.TimeAdded = metav1.NewTime(now.UTC())
		switch {
		case i < 0:
			merged = append(merged, taint)
		case merged[i].Value != taint.Value:
			merged[i] = taint
		}
	}
	return merged
}

// unreachable are the reasons for which the hub gets no connection to a member.
var unreachable = sets.New("Timeout", "ConnectionRefused", "Unreachable", "TLSFailed")

// waitHealthy waits until the profile's condition ControlPlaneHealthy is true. server is where the
// hub looks for the member.
func (j *joiner) waitHealthy(ctx context.Context, server string) error {
	const condition = inventoryv1alpha1.ClusterConditionControlPlaneHealthy
	fmt.Fprintf(j.Out, "hub: waiting for condition %s\n", condition)
	var last *metav1.Condition
	err := waiting.Until(ctx, poll, j.Timeout, func(ctx context.Context) (bool, error) {
		profile, err := j.profile(ctx)
		switch {
		case err != nil:
			return false, err
		case profile == nil:
			return false, fmt.Errorf("hub: ClusterProfile %s has been deleted", j.profileName())
		}
		last = apimeta.FindStatusCondition(profile.Status.Conditions, condition)
		return last != nil && last.Status == metav1.ConditionTrue && last.Reason != reasonRejoined, nil
	})
	switch {
	case wait.Interrupted(err) && ctx.Err() == nil:
		return fmt.Errorf("hub: ClusterProfile %s is joined, but its condition %s was not True within %s: %s",
			j.profileName(), condition, j.Timeout, notHealthy(last, server, err))
	case err != nil:
		return err
	}
	fmt.Fprintf(j.Out, "hub: clusterprofile %s is healthy\n", j.profileName())
	return nil
}

// notHealthy says why a member is not healthy, and what to do. last is its condition, err the end
// of the wait.
func notHealthy(last *metav1.Condition, server string, err error) string {
	if last == nil {
		return fmt.Sprintf("no controller has set it yet (%v); see --wait and --timeout", err)
	}
	why := fmt.Sprintf("it is %s (%s): %s", last.Status, last.Reason, last.Message)
	if unreachable.Has(last.Reason) {
		return why + fmt.Sprintf("\nYou reach the member, and the hub does not, at %s. "+
			"If the hub needs another address for it, run the same command again with --member-server=URL", server)
	}
	return why + "; see --wait and --timeout"
}
