// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/words"
)

const (
	partOfLabel = "app.kubernetes.io/part-of"
	partOf      = "clusterpass"
	// partOfSelector selects what is deployed, on the hub and by join on members.
	partOfSelector = partOfLabel + "=" + partOf
	// ourManager is the cluster manager of the profiles that join makes where it is not told of
	// another.
	ourManager = "clusterpass"
	// maxLeft bounds how many objects of a kind are named.
	maxLeft = 5
)

// stage is a part of an installation that has to be gone before the next one is taken away.
type stage struct {
	name string
	// left returns what is still there, by words for people, and the command that takes it away.
	left func(ctx context.Context, u *uninstallation) (leftovers, error)
	// mend says what to do when that is not known.
	mend string
}

type leftovers struct {
	// things are named with their kind. Empty: nothing is left.
	things []string
	// next is a sentence with the command.
	next string
	// gone says it for people, where there is nothing.
	gone string
	// skipped, where not empty, says why nobody has looked.
	skipped string
}

// stages are in the order of an uninstallation. What ends tokens comes first, while the server and
// the members can be reached: unjoin marks a member as leaving and revokes its grants, so that no
// requester gets another token, and other grants are of members without a Secret. The APIServices
// go before the server: while they lead nowhere, no namespace of the hub can be deleted.
var stages = []stage{
	{name: "sets", left: leftSets, mend: mendUnserved},
	{name: "members", left: leftMembers, mend: mendHub},
	{name: "grants", left: leftGrants, mend: mendUnserved},
	{name: "on-members", left: leftOnMembers, mend: "Run the command again when the member answers, or without its --member-context"},
	{name: "apiservices", left: leftAPIServices, mend: mendHub},
	{name: resourceNamespaces, left: leftNamespaces, mend: mendHub},
	{name: "hub", left: leftOnHub, mend: mendHub},
}

type uninstallation struct {
	*Clients
	// members are clients for member clusters, by the contexts that lead there.
	members map[string]*Clients
}

// Uninstall says what is left of clusterpass on the hub, and on the members that are given by the
// names of their contexts, in the order in which it has to go. The first thing that is left has the
// command that is next.
func Uninstall(ctx context.Context, clients *Clients, members map[string]*Clients) []Finding {
	ctx, cancel := context.WithTimeout(member.Quiet(ctx), checkTimeout) // annotations of Secrets may quote what is in them
	defer cancel()
	u := &uninstallation{Clients: clients, members: members}
	var all findings
	waits := false
	for i, s := range stages {
		left, err := s.left(ctx, u)
		switch {
		case err != nil && waits:
			all.warn("", "", "unknown: %v", err)
		case apierrors.IsForbidden(err):
			all.fail("", "Have a cluster-admin of the hub run the command", "you may not read this: %v", err)
		case err != nil:
			all.fail("", s.mend, "cannot tell what is left: %v", err)
		case left.skipped != "":
			all.skip("", "%s", left.skipped)
		case len(left.things) == 0:
			all.ok("", "%s", left.gone)
		case waits:
			all.warn("", "", "later: %s", words.Some(left.things, ", ", maxLeft))
		default:
			all.fail("", left.next, "%s", words.Some(left.things, ", ", maxLeft))
		}
		all[i].Check = s.name
		waits = Worst(all) == Fail
	}
	return all
}

const mendHub = "Run the command again when the hub answers"

var mendUnserved = "Make the server answer again, as it must revoke what it granted: kubectl -n " + SystemNamespace + " get pods. " +
	"If it or its storage is lost for ever, nothing can be revoked from here; go on with: kubectl delete apiservice " +
	strings.Join(allServices(), " ")

// unserved turns the hub's answer that it does not know a resource into words: without APIServices
// nobody can tell what there is.
func unserved(left leftovers, resource string, err error) (leftovers, error) {
	if apierrors.IsNotFound(err) {
		left.skipped = "unknown: the hub does not serve " + resource + " any more"
		return left, nil
	}
	return left, err
}

func leftSets(ctx context.Context, u *uninstallation) (leftovers, error) {
	left := leftovers{
		gone: "no ClusterCredentialSet is left",
		next: "Delete them, and wait until their Secrets and grants are gone: kubectl delete clustercredentialsets --all --all-namespaces",
	}
	list := u.Clusterpass.ClusterpassV1alpha1().ClusterCredentialSets(metav1.NamespaceAll).List
	err := each(ctx, list, func(set *clusterpassv1alpha1.ClusterCredentialSet) {
		left.things = append(left.things, aboutObject("ClusterCredentialSet", set)+
			going(set, conditionText(set.Status.Conditions, clusterpassv1alpha1.CredentialSetReady, "")))
	})
	return unserved(left, "clustercredentialsets", err)
}

func leftGrants(ctx context.Context, u *uninstallation) (leftovers, error) {
	left := leftovers{
		gone: "no AuthTokenGrant is left: no token works any more",
		next: "Revoke them, and wait: kubectl delete authtokengrants --all --all-namespaces. " +
			"If there are new ones, somebody still asks for tokens: delete the ClusterProfile first. " +
			"If a member is gone for ever, abandon its grants: kubectl clusterpass unjoin NAME --namespace NAMESPACE --abandon-member",
	}
	list := u.Clusterpass.ClusterpassV1alpha1().AuthTokenGrants(metav1.NamespaceAll).List
	err := each(ctx, list, func(g *clusterpassv1alpha1.AuthTokenGrant) {
		left.things = append(left.things, aboutObject("AuthTokenGrant", g)+
			going(g, conditionText(g.Status.Conditions, clusterpassv1alpha1.GrantRevoked, "")))
	})
	return unserved(left, "authtokengrants: what was granted works on until it expires, unless nothing is left on the members", err)
}

// going says that an object is being deleted, what holds it, and what its condition says about
// that.
func going(object metav1.Object, condition string) string {
	if object.GetDeletionTimestamp() == nil {
		return ""
	}
	text := " (being deleted"
	if finalizers := object.GetFinalizers(); len(finalizers) > 0 {
		text += "; finalizers " + strings.Join(finalizers, ", ")
	}
	if condition != "" {
		text += "; " + condition
	}
	return text + ")"
}

// leftMembers looks for the hub's credentials of members. Each is one member that is still joined.
// The command is for the first: those that were joined by hand come before others, as unjoin leaves
// the account on the member that it shares with one of them.
func leftMembers(ctx context.Context, u *uninstallation) (leftovers, error) {
	left := leftovers{gone: "no member is joined"}
	secrets, err := u.Metadata.Resource(secretsResource).Namespace(SystemNamespace).List(ctx,
		metav1.ListOptions{LabelSelector: member.KubeconfigLabel})
	if err != nil {
		return left, err
	}
	slices.SortStableFunc(secrets.Items, func(a, b metav1.PartialObjectMetadata) int {
		return cmp.Compare(min(len(a.Annotations[member.MemberUIDAnnotation]), 1), min(len(b.Annotations[member.MemberUIDAnnotation]), 1))
	})
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		of := slices.DeleteFunc(member.SecretProfiles(secret), func(of types.NamespacedName) bool {
			return len(utilvalidation.IsDNS1123Label(of.Namespace)) > 0 || len(utilvalidation.IsDNS1123Subdomain(of.Name)) > 0
		})
		if len(of) == 0 {
			left.things = append(left.things, "Secret "+SystemNamespace+"/"+secret.Name+" with a credential for no ClusterProfile")
			left.next = cmp.Or(left.next, "It is for no cluster: kubectl -n "+SystemNamespace+" delete secret "+secret.Name)
			continue
		}
		for _, name := range of {
			left.things = append(left.things, kindProfile+" "+name.String())
		}
		if left.next != "" {
			continue
		}
		if left.next, err = u.takeOut(ctx, secret, of[0].Namespace, of[0].Name); err != nil {
			return left, err
		}
	}
	return left, nil
}

// takeOut returns a sentence with the command that ends the hub's access to a member.
func (u *uninstallation) takeOut(ctx context.Context, secret metav1.Object, namespace, name string) (string, error) {
	if secret.GetAnnotations()[member.MemberUIDAnnotation] == "" {
		ofSecret := "kubectl -n " + SystemNamespace + " %s secret " + secret.GetName()
		return fmt.Sprintf("It was joined by hand. Have it refuse new tokens, revoke the others, and delete the hub's credential: "+
			ofSecret+" --overwrite %s=true && kubectl clusterpass revoke --cluster-profile %s/%s --all-namespaces && "+ofSecret,
			"annotate", member.LeavingAnnotation, namespace, name, "delete"), nil
	}
	profile, err := u.Profiles.ApisV1alpha1().ClusterProfiles(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return "", err
	}
	manager := ""
	if err == nil && profile.Spec.ClusterManager.Name != ourManager {
		manager = " --cluster-manager " + profile.Spec.ClusterManager.Name
		if len(utilvalidation.IsValidLabelValue(profile.Spec.ClusterManager.Name)) > 0 {
			manager = " --cluster-manager MANAGER" // it may be anything, and is not for a shell
		}
	}
	return "Remove it, with a context for an admin of the member: kubectl clusterpass unjoin " + name + " --namespace " + namespace + manager +
		" --member-context CONTEXT", nil
}

// leftOnMembers looks on the members that it was given contexts of, for what is this hub's or
// nobody's.
func leftOnMembers(ctx context.Context, u *uninstallation) (leftovers, error) {
	if len(u.members) == 0 {
		return leftovers{skipped: "not checked: name the members' contexts with --member-context"}, nil
	}
	hubID, err := grant.HubID(ctx, u.Kubernetes)
	if err != nil {
		return leftovers{}, err
	}
	grantsOf, err := grant.ServerHubID(ctx, u.Kubernetes)
	if err != nil {
		return leftovers{}, err
	}
	left := leftovers{gone: "nothing of hub " + grantsOf + " is left on members " + strings.Join(slices.Sorted(maps.Keys(u.members)), ", ")}
	for _, name := range slices.Sorted(maps.Keys(u.members)) {
		if err := left.on(ctx, name, u.members[name], hubID, grantsOf); err != nil {
			return left, fmt.Errorf("member %s: %w", name, err)
		}
	}
	return left, nil
}

// on adds what is left on a member: what join has made there for the hub, and what is of grants of
// grantsOf, which is the hub's id too, unless the server was given another. The command is for the
// first kind of these.
func (l *leftovers) on(ctx context.Context, name string, cluster *Clients, hubID, grantsOf string) error {
	memberID, err := grant.HubID(ctx, cluster.Kubernetes)
	if err != nil {
		return err
	}
	selectors := []string{
		grant.Selector(grantsOf),
		partOfSelector + "," + member.LabelJoinedBy + "=" + hubID,
		partOfSelector + "," + member.LabelCreatedBy + "=" + hubID,
	}
	// What was applied by the manifests says no hub. On a hub that is a member, its own or another's,
	// it may be the installation itself.
	deployments, err := cluster.Metadata.Resource(deploymentsResource).Namespace(SystemNamespace).List(ctx,
		metav1.ListOptions{LabelSelector: partOfSelector, Limit: 1})
	if err != nil {
		return err
	}
	if memberID != hubID && len(deployments.Items) == 0 {
		selectors = append(selectors, partOfSelector+",!"+member.LabelJoinedBy+",!"+member.LabelCreatedBy)
	}
	for _, selector := range selectors {
		found, kinds, err := labelled(ctx, cluster.Metadata, selector)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			continue
		}
		for _, thing := range found {
			l.things = append(l.things, thing+" on "+name)
		}
		l.next = cmp.Or(l.next, "Delete them, rights first: "+deleteLabelled(name, kinds, selector))
	}
	return nil
}
