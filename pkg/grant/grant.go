// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package grant manages the objects of an AuthTokenGrant on its member cluster: their names and
// labels, and how they are created, repaired and removed. It authorises nobody and issues no
// tokens.
//
// Read the files in this order:
//
//	grant.go         New: the grant for a request; the names and labels of its objects
//	keeper.go        Ensure: the order in which objects are created or repaired; the ServiceAccount and
//	                 the Secret; Confirm: what is removed if the grant has changed meanwhile
//	objects.go       the list of a grant's objects; the roles and the bindings
//	fence.go         the wait between the end of earlier tokens and new rights
//	accesschecks.go  the access reviews that tell when the member's authoriser knows the bindings
//	leftovers.go     bindings that name a ServiceAccount that does not exist
//	remove.go        Remove, EndTokens and EndRights: the removal of a grant's objects
//	found.go         List: the objects of all grants on a member; Drift: what differs from a grant
package grant

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/names"
)

// Labels and annotations of the objects that clusterpass makes on members.
const (
	// LabelHubID has the ID of the hub that an object is for.
	LabelHubID = "clusterpass.dev/hub-id"
	// LabelGrantUID is the UID of the grant that an object is for.
	LabelGrantUID = "clusterpass.dev/grant-uid"
	// LabelManagedBy marks every object of clusterpass, with the value ManagedBy.
	LabelManagedBy = "clusterpass.dev/managed-by"
	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "clusterpass"

	// AnnotationGrant names the grant on the hub, as namespace/name.
	AnnotationGrant = "clusterpass.dev/grant"
	// AnnotationClusterProfile names the ClusterProfile on the hub, as namespace/name.
	AnnotationClusterProfile = "clusterpass.dev/cluster-profile"
	// AnnotationAuditID is the ID, in the hub's audit log, of the request that created the object.
	AnnotationAuditID = "clusterpass.dev/hub-audit-id"
	// AnnotationGeneration, on the Secret that tokens are bound to, is the generation of the grant
	// that the tokens are for.
	AnnotationGeneration = "clusterpass.dev/grant-generation"
)

// Prefix is the prefix of the names of roles and bindings that clusterpass creates. A request
// cannot name an existing role with this prefix.
const Prefix = "clusterpass:"

// SecretType is the type of the Secrets that tokens are bound to. They have no data.
const SecretType = "clusterpass.dev/token-binding" //nolint:gosec // a name, not a secret

// namePart bounds the parts of a grant's name from the names of cluster and account, in bytes.
const namePart = 100

// HubID returns the default ID of a hub: the UID of the namespace kube-system. Every cluster has
// that namespace, never deletes it, and restores it from a backup.
func HubID(ctx context.Context, hub kubernetes.Interface) (string, error) {
	system, err := hub.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("id of the hub: %w", err)
	}
	return strings.ToLower(string(system.UID)), nil
}

// ServerHubID returns the ID in the labels of grants' objects. It is the --hub-id of the server's
// Deployment in the namespace of clusterpass. It is HubID if the Deployment has no such flag, or if
// the server runs outside of the hub.
func ServerHubID(ctx context.Context, client kubernetes.Interface) (string, error) {
	server, err := client.AppsV1().Deployments(hub.SystemNamespace).Get(ctx, hub.ServerName, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("id of the hub: %w", err)
	}
	if err == nil {
		if id := hub.Flag(server, "--hub-id"); id != "" {
			return id, nil
		}
	}
	return HubID(ctx, client)
}

// Name returns the name of the grant for requests from namespace, for a ServiceAccount of the
// cluster. Two different triples may have the same name, by accident or on purpose. Callers that
// find a grant by its name must check it with IsFor.
func Name(namespace string, cluster v1alpha1.GrantedClusterProfile, account v1alpha1.GrantedServiceAccount) string {
	encoded, err := json.Marshal([]string{namespace, string(cluster.UID), account.Namespace, account.Name})
	if err != nil {
		panic(fmt.Sprintf("strings always encode: %v", err))
	}
	return names.Clip(cluster.Name, namePart) + "-" + names.Clip(account.Name, namePart) + "-" + names.Hash(encoded)
}

// New returns the grant for spec, which must have its defaults and be valid. The grant is not
// stored. Its lists are sorted, so requests for the same rights give equal grants.
func New(
	namespace string, spec multiclusterv1alpha1.AuthTokenRequestSpec, profile types.UID, requester v1alpha1.Requester,
) *v1alpha1.AuthTokenGrant {
	g := &v1alpha1.AuthTokenGrant{Spec: v1alpha1.AuthTokenGrantSpec{
		ClusterProfile: v1alpha1.GrantedClusterProfile{
			Namespace: spec.TargetClusterProfile.Namespace,
			Name:      spec.TargetClusterProfile.Name,
			UID:       profile,
		},
		ServiceAccount: v1alpha1.GrantedServiceAccount{Namespace: spec.ServiceAccountNamespace, Name: spec.ServiceAccountName},
		ClusterRoles: slices.SortedFunc(slices.Values(spec.ClusterRoles), func(a, b multiclusterv1alpha1.ClusterRole) int {
			return strings.Compare(a.Name, b.Name)
		}),
		Roles: slices.SortedFunc(slices.Values(spec.Roles), func(a, b multiclusterv1alpha1.Role) int {
			return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
		}),
		Audiences: slices.Sorted(slices.Values(spec.Audiences)),
		Requester: requester,
	}}
	g.Namespace = namespace
	g.Name = Name(namespace, g.Spec.ClusterProfile, g.Spec.ServiceAccount)
	g.Finalizers = []string{v1alpha1.GrantFinalizer}
	return g
}

// IsFor returns whether g and want are for the same ClusterProfile and the same ServiceAccount.
func IsFor(g, want *v1alpha1.AuthTokenGrant) bool {
	return g.Spec.ClusterProfile == want.Spec.ClusterProfile && g.Spec.ServiceAccount == want.Spec.ServiceAccount
}

// SetOf returns the UID of the ClusterCredentialSet whose requests g is for. It is empty for a
// grant for requests of users. It comes from a label that only the server changes: users who may
// update grants, and the garbage collector, can change owner references. Older grants without the
// label have only the reference.
func SetOf(g *v1alpha1.AuthTokenGrant) types.UID {
	if uid := g.Labels[v1alpha1.LabelCredentialSetUID]; uid != "" {
		return types.UID(uid)
	}
	if owner := metav1.GetControllerOfNoCopy(g); owner != nil {
		return owner.UID
	}
	return ""
}

// Account returns namespace and name of the ServiceAccount of g on the member.
func Account(g *v1alpha1.AuthTokenGrant) types.NamespacedName {
	return types.NamespacedName{Namespace: g.Spec.ServiceAccount.Namespace, Name: g.Spec.ServiceAccount.Name}
}

// Cluster returns namespace and name of the ClusterProfile of g.
func Cluster(g *v1alpha1.AuthTokenGrant) types.NamespacedName {
	return types.NamespacedName{Namespace: g.Spec.ClusterProfile.Namespace, Name: g.Spec.ClusterProfile.Name}
}

// SecretName returns the name of the Secret that the tokens of a grant are bound to.
func SecretName(uid types.UID) string { return "clusterpass-" + string(uid) }

// BindingName returns the name of the binding for a role of a grant, and of the role itself if it
// is created for the grant. Because of the UID in it, no other grant can bind the role as an
// existing one.
func BindingName(uid types.UID, role string) string { return Prefix + string(uid) + ":" + role }

// Selector selects the objects of all grants of a hub.
func Selector(hubID string) string {
	return LabelManagedBy + "=" + ManagedBy + "," + LabelHubID + "=" + hubID
}

// validAuditID returns id if it is a UUID, as the API server generates it, and else "". Clients can
// choose the Audit-ID header, and so this value.
func validAuditID(id string) string {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return ""
	}
	return parsed.String()
}
