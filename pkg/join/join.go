// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package join makes a member cluster part of a hub's inventory, and takes it out of it again: what
// `kubectl clusterpass join` and `unjoin` do. It is run by somebody who may write to both clusters,
// once; it does not know what is done with a member afterwards.
package join

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
)

// poll is how often a wait looks.
const poll = 500 * time.Millisecond

// joiner is one run of join or unjoin.
type joiner struct {
	Target
	hub, member *side
	// hubID and memberID are the UIDs of the clusters' namespaces kube-system.
	hubID, memberID string
	// sameMember says that the ClusterProfile or its Secret has the member's UID.
	sameMember bool
	// noSecret says that the hub cannot reach the member, to revoke what there is: it has no
	// kubeconfig for it.
	noSecret bool
	// sharing are the other ClusterProfiles of the member, once findSharing has looked for them.
	sharing []types.NamespacedName
	// secretName is that of the hub's Secret, once secret has looked for it.
	secretName string
	report     *report
}

// Run joins a member. What is there already and right is left alone, so that Run can be repeated,
// also after an error half way, which says so.
func Run(ctx context.Context, o *Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	checked := *o
	o = &checked
	var warnings []string
	o.Member.Endpoint, warnings = cleaned(o.Name, o.Member.Endpoint, time.Now())
	for _, warning := range slices.Concat(o.Allowed.warnings(), warnings) {
		fmt.Fprintln(o.Out, "warning: "+warning)
	}
	ctx = member.Quiet(ctx) // tokens and keys go back and forth
	j, err := newJoiner(ctx, &o.Target, &o.Member)
	if err != nil {
		return err
	}
	switch {
	case o.CredentialOnly:
		err = j.renew(ctx, &o.Member)
	case j.hub.profileVersion == "":
		err = fmt.Errorf("hub: it serves no ClusterProfiles in %s; see `kubectl clusterpass doctor`", hub.InventoryVersionNames())
	default:
		err = j.join(ctx, o)
	}
	if err != nil {
		return j.halfWay(err, fmt.Sprintf("What is listed above as created or configured is done. Run the same command again to go on from "+
			"here, or `kubectl clusterpass unjoin %s -n %s` with the same --member-context to undo it", j.Name, j.Namespace))
	}
	if !o.Wait || j.DryRun != DryRunNone {
		return nil
	}
	return cmp.Or(j.waitReady(ctx, o), j.checkStays(ctx))
}

// waitReady waits until the ClusterProfile is healthy, or, if it is adopted, until the hub finds
// its Secret. With --credential-only, one is adopted that join has given no access.
func (j *joiner) waitReady(ctx context.Context, o *Options) error {
	adopted := o.Adopt
	if o.CredentialOnly {
		profile, err := j.profile(ctx)
		if err != nil {
			return err
		}
		adopted = profile != nil && accessOf(profile) == nil
	}
	if adopted {
		return j.waitFound(ctx)
	}
	return j.waitHealthy(ctx, o.Member.Endpoint.Server)
}

func newJoiner(ctx context.Context, t *Target, m *Member) (*joiner, error) {
	j := &joiner{Target: *t, report: &report{out: t.Out, dryRun: t.DryRun}}
	var err error
	if j.hub, err = newSide("hub", t.Hub, j.report); err != nil {
		return nil, err
	}
	if j.hubID, err = grant.HubID(ctx, j.hub.kube); apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("%w; docs/members.md says which rights join and unjoin take", err)
	} else if err != nil {
		return nil, err
	}
	if err := j.hub.findProfiles(ctx); err != nil {
		return nil, err
	}
	if m == nil {
		return j, nil
	}
	if j.member, err = newSide("member", m.Config, j.report); err != nil {
		return nil, err
	}
	system, err := j.member.kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return nil, j.member.failed("read", ref(namespaceKind, "", metav1.NamespaceSystem), err)
	}
	j.memberID = string(system.UID)
	return j, nil
}

// halfWay adds to an error how far a run has come: what is so if it has changed something.
func (j *joiner) halfWay(err error, changed string) error {
	if j.report.changes == 0 {
		changed = "Nothing was changed on either cluster"
	}
	return fmt.Errorf("%w\n%s", err, changed)
}

// warnOfMissingRoles says which ClusterRoles are allowed that the member does not have: they may be
// made later, or be spelt wrongly.
func (j *joiner) warnOfMissingRoles(ctx context.Context, allowed *Allowed) error {
	for _, name := range allowed.ClusterRoles {
		role, err := j.member.get(ctx, clusterRoleKind, "", name)
		if err != nil {
			return err
		}
		if role == nil {
			fmt.Fprintf(j.Out, "warning: the member has no ClusterRole %s\n", name)
		}
	}
	return nil
}

func (j *joiner) join(ctx context.Context, o *Options) error {
	secret, err := j.preflight(ctx, o)
	if err != nil {
		return err
	}
	if err := j.rightsReady(ctx, o, secret); err != nil {
		return err
	}
	if secret == nil {
		if err := j.removeOrphans(ctx); err != nil {
			return err
		}
	}
	if err := j.credentialReady(ctx, &o.Member, secret, j.kubeconfigFor(&o.Member, secret)); err != nil {
		return err
	}
	if !o.Adopt {
		if err := j.profileReady(ctx, o); err != nil {
			return err
		}
	}
	return j.stay(ctx)
}

// rightsReady makes the member have what is allowed, and ends the grants that need more. secret is
// the hub's, or nil.
func (j *joiner) rightsReady(ctx context.Context, o *Options, secret *corev1.Secret) error {
	if len(j.sharing) > 0 && o.KeepAllowed {
		return j.restore(ctx)
	}
	if err := j.checkSharing(ctx, o); err != nil {
		return err
	}
	if err := j.warnOfMissingRoles(ctx, &o.Allowed); err != nil {
		return err
	}
	narrows := false
	if secret != nil {
		var err error
		if narrows, err = j.checkNarrowing(ctx, o); err != nil {
			return err
		}
	}
	if err := j.memberReady(ctx, &o.Allowed); err != nil || !narrows {
		return err
	}
	// Now that the member allows it no more, nobody gets another one.
	lacks := func(g *clusterpassv1alpha1.AuthTokenGrant) bool { return len(o.Allowed.lacks(g)) > 0 }
	return j.endGrants(ctx, append(j.sharing, j.key()), lacks, false)
}

// preflight returns the hub's Secret for the profile, nil if there is none, after it has made sure
// that what is there on both sides is not for another cluster, and not another hub's. It changes
// nothing.
func (j *joiner) preflight(ctx context.Context, o *Options) (*corev1.Secret, error) {
	if err := j.checkHubNamespaces(ctx); err != nil {
		return nil, err
	}
	secret, err := j.secret(ctx)
	if err != nil {
		return nil, err
	}
	if err := j.checkProfile(ctx, o, secret); err != nil {
		return nil, err
	}
	if secret, err = j.findSharing(ctx, o, secret); err != nil {
		return nil, err
	}
	account, err := j.member.get(ctx, accountKind, hub.SystemNamespace, ServiceAccount)
	if err != nil || account == nil {
		return secret, err
	}
	return secret, j.checkOurs(account)
}

// checkHubNamespaces makes sure of the namespaces on the hub, which join does not create.
func (j *joiner) checkHubNamespaces(ctx context.Context) error {
	for namespace, hint := range map[string]string{
		hub.SystemNamespace: "install clusterpass on the hub first",
		j.Namespace:         "create it, or choose another one with --namespace",
	} {
		found, err := j.hub.get(ctx, namespaceKind, "", namespace)
		switch {
		case apierrors.IsForbidden(err):
			// It may be there: the writes will tell.
		case err != nil:
			return err
		case found == nil:
			return fmt.Errorf("hub: there is no namespace %s; %s", namespace, hint)
		}
	}
	return nil
}

// checkOurs refuses an object of the member that is not clusterpass's, or that is another hub's.
// One that was applied from artifacts/deploy/member names no hub, and is taken over.
func (j *joiner) checkOurs(existing *unstructured.Unstructured) error {
	labels := existing.GetLabels()
	if labels[partOfLabel] != partOf {
		return fmt.Errorf("member: %s exists and is not clusterpass's: it has no label %s=%s. It was not changed",
			refOf(existing), partOfLabel, partOf)
	}
	if by := labels[member.LabelJoinedBy]; by != "" && by != j.hubID {
		return fmt.Errorf("member: %s belongs to another hub (%s=%s; this one is %s). A member has one hub: unjoin it there first",
			refOf(existing), member.LabelJoinedBy, by, j.hubID)
	}
	return nil
}

// memberReady makes the member have what allowed says, and no more of what this hub has had before.
func (j *joiner) memberReady(ctx context.Context, allowed *Allowed) error {
	objects := allowed.notedObjects()
	for _, namespace := range allowed.Namespaces {
		if err := j.namespaceReady(ctx, namespace); err != nil {
			return err
		}
	}
	if err := j.prune(ctx, objects); err != nil {
		return err
	}
	for _, object := range objects {
		if err := j.applyToMember(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

func (j *joiner) applyToMember(ctx context.Context, o *unstructured.Unstructured) error {
	if o.GroupVersionKind() == namespaceKind {
		return j.systemNamespaceReady(ctx, o)
	}
	j.label(o, member.LabelJoinedBy)
	return j.member.apply(ctx, FieldManager, o, j.checkOurs)
}

// label marks an object as this hub's.
func (j *joiner) label(o *unstructured.Unstructured, key string) {
	utilruntime.Must(unstructured.SetNestedField(o.Object, j.hubID, "metadata", "labels", key))
}
