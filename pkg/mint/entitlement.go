// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// Labels and annotations of the objects that clusterpass makes on members.
const (
	// LabelHubID tells which hub an object is for.
	LabelHubID = "clusterpass.dev/hub-id"
	// LabelGrantUID tells which entitlement an object is for.
	LabelGrantUID = "clusterpass.dev/grant-uid"
	// LabelManagedBy marks every object of clusterpass, with the value ManagedBy.
	LabelManagedBy = "clusterpass.dev/managed-by"
	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "clusterpass"

	// AnnotationEntitlement, on a ServiceAccount, is the hash of what it was made for.
	AnnotationEntitlement = "clusterpass.dev/entitlement"
	// AnnotationClusterProfile names the hub's ClusterProfile, as namespace/name.
	AnnotationClusterProfile = "clusterpass.dev/cluster-profile"
	// AnnotationAuditID is the id that the hub's audit log has for the request that made the object.
	AnnotationAuditID = "clusterpass.dev/hub-audit-id"
)

// Prefix is what the names of Roles and bindings made by clusterpass begin with.
// Nothing of that name can be asked for as an existing role.
const Prefix = "clusterpass:"

// SecretType is the type of the Secrets that tokens are bound to. They hold nothing.
const SecretType = "clusterpass.dev/token-binding" //nolint:gosec // a name, not a secret

// entitlement is what one request was found entitled to, and the names of what
// stands for it on the member. Requests that ask for the same share one; they
// differ only in the lifetime of their tokens.
type entitlement struct {
	// id is a hash of everything below but auditID, and of the hub, the namespace of
	// the request and the UID of the ClusterProfile. The ServiceAccount is in it
	// because bindings, which are named by it, must not be shared by two of them.
	id             string
	hubID          string
	cluster        types.NamespacedName
	serviceAccount types.NamespacedName
	clusterRoles   []v1alpha1.ClusterRole
	roles          []v1alpha1.Role
	audiences      []string
	auditID        string
}

func newEntitlement(hubID string, r Request, profile types.UID) *entitlement {
	e := &entitlement{
		hubID:          hubID,
		cluster:        types.NamespacedName{Namespace: r.Spec.TargetClusterProfile.Namespace, Name: r.Spec.TargetClusterProfile.Name},
		serviceAccount: types.NamespacedName{Namespace: r.Spec.ServiceAccountNamespace, Name: r.Spec.ServiceAccountName},
		clusterRoles: slices.SortedFunc(slices.Values(r.Spec.ClusterRoles), func(a, b v1alpha1.ClusterRole) int {
			return strings.Compare(a.Name, b.Name)
		}),
		roles: slices.SortedFunc(slices.Values(r.Spec.Roles), func(a, b v1alpha1.Role) int {
			return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
		}),
		audiences: slices.Sorted(slices.Values(r.Spec.Audiences)),
		auditID:   validAuditID(r.AuditID),
	}
	e.id = hash(hubID, r.Namespace, string(profile), e.serviceAccount.String(), e.clusterRoles, e.roles, e.audiences)
	return e
}

// hash returns 160 bits of the SHA-256 of parts, as 32 characters that may stand
// in a label and in a name. JSON keeps the borders between the parts.
func hash(parts ...any) string {
	encoded, err := json.Marshal(parts)
	if err != nil {
		panic(fmt.Sprintf("strings and RBAC rules always encode: %v", err))
	}
	sum := sha256.Sum256(encoded)
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:20]))
}

// validAuditID returns id where it is a UUID, as the API server makes them, else
// nothing: a caller may choose the Audit-ID header, and with it what stands here.
func validAuditID(id string) string {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return ""
	}
	return parsed.String()
}

// meta returns the metadata of an object of the entitlement.
func (e *entitlement) meta(namespace, name string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace: namespace,
		Name:      name,
		Labels: map[string]string{
			LabelHubID:     e.hubID,
			LabelGrantUID:  e.id,
			LabelManagedBy: ManagedBy,
		},
		Annotations: map[string]string{AnnotationClusterProfile: e.cluster.String()},
	}
	if e.auditID != "" {
		m.Annotations[AnnotationAuditID] = e.auditID
	}
	return m
}

// owns says whether an object on the member is this entitlement's.
func (e *entitlement) owns(object metav1.Object) bool {
	labels := object.GetLabels()
	return labels[LabelManagedBy] == ManagedBy && labels[LabelHubID] == e.hubID && labels[LabelGrantUID] == e.id
}

// secretName names the Secret that the tokens are bound to.
func (e *entitlement) secretName() string { return "clusterpass-" + e.id }

// roleName names the role called name in the request on the member: itself, or
// the one made for the request where there are rules.
func (e *entitlement) roleName(name string, rules []rbacv1.PolicyRule) string {
	if len(rules) == 0 {
		return name
	}
	return e.bindingName(name)
}

// bindingName names the binding to the role called name in the request.
func (e *entitlement) bindingName(name string) string { return Prefix + e.id + ":" + name }

// subjects names the ServiceAccount in a binding.
func (e *entitlement) subjects() []rbacv1.Subject {
	return []rbacv1.Subject{{
		Kind:      rbacv1.ServiceAccountKind,
		Namespace: e.serviceAccount.Namespace,
		Name:      e.serviceAccount.Name,
	}}
}
