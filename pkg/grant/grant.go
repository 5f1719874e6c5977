// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package grant knows what an AuthTokenGrant is on its member cluster: which
// objects, by which names and labels, how they are made, mended and removed. It
// authorises nobody and issues no tokens.
package grant

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/names"
)

// Labels and annotations of the objects that clusterpass makes on members.
const (
	// LabelHubID tells which hub an object is for.
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
	// AnnotationAuditID is the id that the hub's audit log has for the request that made the object.
	AnnotationAuditID = "clusterpass.dev/hub-audit-id"
	// AnnotationGeneration, on the Secret that tokens are bound to, is the generation of the grant that they are for.
	AnnotationGeneration = "clusterpass.dev/grant-generation"
)

// Prefix is what the names of roles and bindings made by clusterpass begin with.
// Nothing of that name can be asked for as an existing role.
const Prefix = "clusterpass:"

// SecretType is the type of the Secrets that tokens are bound to. They hold nothing.
const SecretType = "clusterpass.dev/token-binding" //nolint:gosec // a name, not a secret

// namePart bounds how much of a cluster's and of an account's name is in a grant's.
const namePart = 100

// HubID returns the id of a hub that was given none: the UID of a namespace that
// every cluster has, never deletes, and gets back from a backup.
func HubID(ctx context.Context, hub kubernetes.Interface) (string, error) {
	system, err := hub.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("id of the hub: %w", err)
	}
	return strings.ToLower(string(system.UID)), nil
}

// serverName is the name of the server's Deployment.
const serverName = "clusterpass-apiserver"

// ServerHubID returns the id that the objects of grants carry: the --hub-id that the server is deployed with in the
// namespace of clusterpass, or HubID where it has none, or runs outside of the hub.
func ServerHubID(ctx context.Context, hub kubernetes.Interface, namespace string) (string, error) {
	server, err := hub.AppsV1().Deployments(namespace).Get(ctx, serverName, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("id of the hub: %w", err)
	}
	if err == nil {
		for _, container := range server.Spec.Template.Spec.Containers {
			for _, arg := range slices.Concat(container.Command, container.Args) {
				if id, ok := strings.CutPrefix(arg, "--hub-id="); ok {
					return id, nil
				}
			}
		}
	}
	return HubID(ctx, hub)
}

// Name returns the name of the grant for requests from namespace, for a
// ServiceAccount of the cluster. Two of these three may, by bad luck or on purpose,
// share one name: whoever finds a grant by it compares what it is for (IsFor).
func Name(namespace string, cluster v1alpha1.GrantedClusterProfile, account v1alpha1.GrantedServiceAccount) string {
	encoded, err := json.Marshal([]string{namespace, string(cluster.UID), account.Namespace, account.Name})
	if err != nil {
		panic(fmt.Sprintf("strings always encode: %v", err))
	}
	return names.Clip(cluster.Name, namePart) + "-" + names.Clip(account.Name, namePart) + "-" + names.Hash(encoded)
}

// New returns the grant that spec, which has been defaulted and validated, asks
// for: not yet stored. Lists are sorted, so that requests for the same are equal.
func New(namespace string, spec multiclusterv1alpha1.AuthTokenRequestSpec, profile types.UID, requester v1alpha1.Requester) *v1alpha1.AuthTokenGrant {
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

// IsFor returns whether g is for the ClusterProfile and the ServiceAccount that want is for.
func IsFor(g, want *v1alpha1.AuthTokenGrant) bool {
	return g.Spec.ClusterProfile == want.Spec.ClusterProfile && g.Spec.ServiceAccount == want.Spec.ServiceAccount
}

// SetOf returns the UID of the ClusterCredentialSet whose requests g is for, empty for a grant of users' requests. It is in a label,
// which nobody but the server changes: owner references are anybody's who may update grants, and the garbage collector's. Grants from
// before there was that label have the reference alone.
func SetOf(g *v1alpha1.AuthTokenGrant) types.UID {
	if uid := g.Labels[v1alpha1.LabelCredentialSetUID]; uid != "" {
		return types.UID(uid)
	}
	if owner := metav1.GetControllerOfNoCopy(g); owner != nil {
		return owner.UID
	}
	return ""
}

// Account names the ServiceAccount of g on the member.
func Account(g *v1alpha1.AuthTokenGrant) types.NamespacedName {
	return types.NamespacedName{Namespace: g.Spec.ServiceAccount.Namespace, Name: g.Spec.ServiceAccount.Name}
}

// Cluster names the ClusterProfile of g.
func Cluster(g *v1alpha1.AuthTokenGrant) types.NamespacedName {
	return types.NamespacedName{Namespace: g.Spec.ClusterProfile.Namespace, Name: g.Spec.ClusterProfile.Name}
}

// SecretName names the Secret that the tokens of a grant are bound to.
func SecretName(uid types.UID) string { return "clusterpass-" + string(uid) }

// BindingName names the binding to the role that a grant calls role, and that
// role itself where it is made for the grant. The UID keeps any other grant from
// binding it as an existing role.
func BindingName(uid types.UID, role string) string { return Prefix + string(uid) + ":" + role }

// RoleName names on the member the role that a grant calls role.
func RoleName(uid types.UID, role string, rules []rbacv1.PolicyRule) string {
	if len(rules) == 0 {
		return role
	}
	return BindingName(uid, role)
}

// Selector selects the objects of all grants of a hub.
func Selector(hubID string) string {
	return LabelManagedBy + "=" + ManagedBy + "," + LabelHubID + "=" + hubID
}

// Owns returns whether an object on a member belongs to the grant with that UID. A
// grant that is not stored yet has none, and owns nothing.
func Owns(hubID string, uid types.UID, object metav1.Object) bool {
	labels := object.GetLabels()
	return uid != "" && labels[LabelManagedBy] == ManagedBy && labels[LabelHubID] == hubID && labels[LabelGrantUID] == string(uid)
}

// ValidAuditID returns id where it is a UUID, as the API server makes them, else
// nothing: a caller may choose the Audit-ID header, and with it what stands here.
func ValidAuditID(id string) string {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return ""
	}
	return parsed.String()
}
