// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/waiting"
)

// isOurs returns whether a ClusterProfile may be deleted with its member: it is of our own cluster
// manager, or join has made it. Whoever makes one owns its cluster manager, which nobody can
// change.
func isOurs(profile *inventoryv1alpha1.ClusterProfile) bool {
	if profile.Spec.ClusterManager.Name == DefaultClusterManager {
		return true
	}
	made := false
	for _, entry := range profile.ManagedFields {
		if entry.FieldsV1 == nil || !bytes.Contains(entry.FieldsV1.GetRawBytes(), []byte(`"f:clusterManager"`)) {
			continue
		}
		if entry.Manager != FieldManager || entry.Operation != metav1.ManagedFieldsOperationApply {
			return false
		}
		made = true
	}
	return made
}

// checkManager refuses a ClusterProfile of another cluster manager than the user has named, or, if
// it is to be adopted, one that is not there or is ours. It may be nil.
func (j *joiner) checkManager(profile *inventoryv1alpha1.ClusterProfile, adopt bool) error {
	switch {
	case adopt && profile == nil:
		return fmt.Errorf("hub: there is no ClusterProfile %s. --adopt is for one that another cluster manager has made; "+
			"see --namespace, or join the cluster without --adopt", j.profileName())
	case adopt && isOurs(profile):
		return fmt.Errorf("hub: ClusterProfile %s is clusterpass's own (its cluster manager is %q): join the cluster without --adopt",
			j.profileName(), profile.Spec.ClusterManager.Name)
	case adopt || profile == nil || profile.Spec.ClusterManager.Name == j.ClusterManager:
		return nil
	}
	return fmt.Errorf("hub: ClusterProfile %s belongs to the cluster manager %q, not to %q; see --cluster-manager. "+
		"To use it and leave it to its manager, add --adopt", j.profileName(), profile.Spec.ClusterManager.Name, j.ClusterManager)
}

// findSharing finds the other ClusterProfiles of the member. Without --adopt it refuses to join a
// member once more that another Secret is for. It returns the Secret to use: secret, the one of the
// ClusterProfile, or else one of the member; nil if there is neither.
func (j *joiner) findSharing(ctx context.Context, o *Options, secret *corev1.Secret) (*corev1.Secret, error) {
	all, err := j.secrets(ctx)
	if err != nil {
		return nil, err
	}
	sharing := sets.New[types.NamespacedName]()
	if secret != nil {
		sharing.Insert(j.without(member.SecretProfiles(secret))...)
	}
	for i := range all {
		other := &all[i]
		if other.Annotations[member.MemberUIDAnnotation] != j.memberID || secret != nil && other.UID == secret.UID {
			continue
		}
		others := j.without(member.SecretProfiles(other))
		if len(others) > 0 && !o.Adopt && secret == nil { // the two would share one account
			return nil, fmt.Errorf("hub: this member is joined as ClusterProfile %s already; unjoin that first. "+
				"For a ClusterProfile that another cluster manager has made, add --adopt", others[0])
		}
		sharing.Insert(others...)
		if secret == nil && len(others) > 0 {
			secret, j.secretName = other, other.Name
		}
	}
	j.sharing = slices.SortedFunc(maps.Keys(sharing), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	if secret != nil && o.Adopt {
		err = j.checkByHand(o, secret)
	}
	return secret, err
}

// checkByHand refuses to adopt by a Secret that somebody has made by hand, and that join would
// change into another: one of another cluster, or one whose kubeconfig is elsewhere in it.
func (j *joiner) checkByHand(o *Options, secret *corev1.Secret) error {
	what := "hub: " + ref(secretKind, secret.Namespace, secret.Name)
	key, context := secret.Annotations[member.KeyAnnotation], secret.Annotations[member.ContextAnnotation]
	switch {
	case key != "" && key != kubeconfigKey, context != "":
		return fmt.Errorf("%s says that its kubeconfig is under key %q with context %q, and join writes none such; keep it by hand, or delete it",
			what, key, context)
	case secret.Annotations[member.MemberUIDAnnotation] == "" && !leadsBy(secret, []*clientcmdapi.Cluster{&o.Member.Endpoint}):
		return fmt.Errorf("%s does not say which cluster it is for, and leads to another address or CA than the member's. "+
			"If it is for this one, annotate it with %s=%s; otherwise delete it", what, member.MemberUIDAnnotation, j.memberID)
	}
	return nil
}

// checkSharing refuses to take from a member what it allows where other ClusterProfiles have it,
// too, unless what needs it is to be revoked.
func (j *joiner) checkSharing(ctx context.Context, o *Options) error {
	if len(j.sharing) == 0 || o.RevokeGrants {
		return nil
	}
	account, err := j.member.get(ctx, accountKind, hub.SystemNamespace, ServiceAccount)
	if err != nil {
		return err
	}
	noted, err := notedOn(account)
	if err != nil {
		return err
	}
	if noted == nil {
		return fmt.Errorf("member: ClusterProfile %s has it, too, and nothing says what it allows: "+
			"add --revoke-grants to allow what this command says, and nothing else", written(j.sharing))
	}
	if missing := noted.beyond(&o.Allowed); len(missing) > 0 {
		return fmt.Errorf("member: ClusterProfile %s has it, too, and this would no longer allow: %s.\n"+
			"Allow that as well. With --adopt and without flags that say what is allowed, the member stays as it is. "+
			"With --revoke-grants join takes it away, and revokes the grants that need it", written(j.sharing), strings.Join(missing, ", "))
	}
	return nil
}

// beyond returns what a allows and other does not, sorted.
func (a *Allowed) beyond(other *Allowed) []string {
	missing := sets.New[string]()
	add := func(kind string, all, allowed []string) {
		for _, name := range sets.List(sets.New(all...).Difference(sets.New(allowed...))) {
			missing.Insert(kind + " " + name)
		}
	}
	add("namespace", a.Namespaces, other.Namespaces)
	if !other.AllClusterRoles {
		add("ClusterRole", a.ClusterRoles, other.ClusterRoles)
	}
	for flag, lost := range map[string]bool{
		"--allow-all-cluster-roles": a.AllClusterRoles && !other.AllClusterRoles,
		"--allow-rules":             a.Rules && !other.Rules,
		"--allow-usage":             a.Usage && !other.Usage,
	} {
		if lost {
			missing.Insert(flag)
		}
	}
	return sets.List(missing)
}

// waitFound waits until the server finds the hub's Secret for the adopted ClusterProfile, by
// requests for tokens that are dry runs: they change nothing, and reach no member. Health is for
// the manager of the profile to say.
func (j *joiner) waitFound(ctx context.Context) error {
	fmt.Fprintf(j.Out, "hub: waiting until clusterpass-apiserver finds the credential for ClusterProfile %s\n", j.profileName())
	request := newObject(clusterpassv1alpha1.SchemeGroupVersion.WithKind("AuthTokenRequest"), j.Namespace, j.Name)
	request.Object["spec"] = map[string]any{
		"targetClusterProfile": map[string]any{"namespace": j.Namespace, "name": j.Name},
		"serviceAccountName":   "clusterpass-adopt", "serviceAccountNamespace": metav1.NamespaceDefault,
	}
	var last error
	err := waiting.Until(ctx, poll, j.Timeout, func(ctx context.Context) (bool, error) {
		_, last = j.hub.resource(request.GroupVersionKind(), j.Namespace).Create(ctx, request,
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return last == nil, last
	})
	tried := fmt.Sprintf("kubectl clusterpass doctor --mint %s -n %s", j.Name, j.Namespace)
	switch {
	case err == nil:
		fmt.Fprintf(j.Out, "hub: clusterprofile %s is adopted. To have the hub try the member: %s\n", j.profileName(), tried)
		return nil
	case apierrors.IsForbidden(last):
		fmt.Fprintf(j.Out, "hub: clusterprofile %s is adopted. You may not request tokens for it: "+
			"whether the hub finds the credential is unknown\n", j.profileName())
		return nil
	case wait.Interrupted(err) && ctx.Err() == nil:
		return fmt.Errorf("hub: ClusterProfile %s is adopted, but the server does not find the credential after %s: %w; see --wait and --timeout",
			j.profileName(), j.Timeout, last)
	}
	return j.hub.failed("create", "a dry run of "+refOf(request), err)
}
