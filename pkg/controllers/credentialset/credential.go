// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/credentialset"
)

// Annotations of a Secret about the credential that it holds. There is nothing secret in them.
const (
	annotationPrefix = "clusterpass.dev/credential-"
	// annotationCluster and annotationClusterUID say for which ClusterProfile it is.
	annotationCluster    = annotationPrefix + "cluster"
	annotationClusterUID = annotationPrefix + "cluster-uid"
	// annotationIssued and annotationExpires are times as of RFC 3339.
	annotationIssued  = annotationPrefix + "issued-at"
	annotationExpires = annotationPrefix + "expires-at"
	// annotationGrant names the AuthTokenGrant in the set's namespace.
	annotationGrant = annotationPrefix + "grant"
	// annotationSecretInputs is a digest of the inputs of the Secret: those of the token, and the form
	// of the Secret. See secretInputs.
	annotationSecretInputs = annotationPrefix + "for"
	// annotationTokenInputs is a digest of the inputs of the token. See tokenInputs.
	annotationTokenInputs = annotationPrefix + "rights"
	// annotationContent is a digest of the data that was written.
	annotationContent = annotationPrefix + "content"
	// annotationKeys says which keys the controller has written. All other keys belong to others.
	annotationKeys = annotationPrefix + "keys"
	// annotationToken is a digest of the token, which identifies it if something else was changed.
	annotationToken = annotationPrefix + "token"
	// annotationChecksum is a digest of all that was written.
	annotationChecksum = annotationPrefix + "checksum"
	// annotationRotate is the value of v1alpha1.AnnotationRotate that it was made for.
	annotationRotate = annotationPrefix + "rotate"
	// annotationFound is a digest of the present content of the keys that were written.
	// annotationServer and annotationName are what a Secret gives Argo CD. All three are in the cache
	// alone.
	annotationFound  = annotationPrefix + "found"
	annotationServer = annotationPrefix + "argocd-server"
	annotationName   = annotationPrefix + "argocd-name"
)

// action is what a credential needs.
type action int

const (
	// mint is a new token.
	mint action = iota
	// replace is a new token for one whose grant the cache lacks, once the grant is not stored either.
	replace
	// repair is to write the Secret again with the token that it has.
	repair
)

const (
	// jitter is the part of the time until its renewal by which a credential may be renewed earlier.
	jitter = 0.1
	// grantLag is how much later than a token its grant may be in the cache, and writeLag how much
	// later a Secret that was written.
	grantLag = 5 * time.Second
	writeLag = 30 * time.Second
	// rotatePause is how long after a token another one may be asked for by the annotation: whoever
	// may write that is not the author, in whose name it is minted.
	rotatePause = 10 * time.Second
	// repairPause is how long after a write a Secret may be repaired.
	repairPause = time.Second
	// writePoll is when to check again for a Secret that was written.
	writePoll = 200 * time.Millisecond
)

// wanted is a credential as it should be.
type wanted struct {
	set     *v1alpha1.ClusterCredentialSet
	profile *inventoryv1alpha1.ClusterProfile
	// access leads to the member.
	access []inventoryv1alpha1.AccessProvider
}

// name returns the namespace and name of the Secret.
func (w *wanted) name() types.NamespacedName { return credentialset.SecretName(w.set, w.profile.Name) }

// digest identifies anything that encodes as JSON, maps by their sorted keys.
func digest(of any) string {
	encoded, err := json.Marshal(of)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:16])
}

// secretInputs is a digest of the inputs of the Secret: those of the token, and the form of the
// Secret. If it changes, the Secret is written again.
func (w *wanted) secretInputs() string {
	spec := &w.set.Spec
	parts := []any{spec.Template, spec.Secret, spec.Rotation.ExpirationSeconds, w.profile.UID, w.access}
	if spec.Secret.ArgoCD != nil {
		parts = append(parts, w.argoCD().Name)
	}
	return digest(parts)
}

// tokenInputs is a digest of the inputs of the token: what is requested, and the cluster. If it
// changes, a new token is needed.
func (w *wanted) tokenInputs() string {
	spec := &w.set.Spec
	return digest([]any{spec.Template, spec.Rotation.ExpirationSeconds, w.profile.UID, w.access})
}

// argoCD returns spec.secret.argoCD with the name of this cluster filled in; nil if the set has
// none.
func (w *wanted) argoCD() *v1alpha1.ArgoCDCluster {
	says := w.set.Spec.Secret.ArgoCD.DeepCopy()
	if says != nil {
		says.Name = credentialset.ExpandDisplay(says.Name, w.set, w.profile)
	}
	return says
}

// due returns what secret, which may be nil, needs, when, and why; the zero time means at once.
// grants returns whether a grant of the set exists.
func (w *wanted) due(secret *corev1.Secret, grants func(name string) bool) (time.Time, action, string) {
	if secret == nil || !credentialset.Owns(w.set, secret) {
		return time.Time{}, mint, "there is no Secret"
	}
	annotations := secret.Annotations
	issued, expires := times(secret)
	secretChanged := annotations[annotationSecretInputs] != w.secretInputs()
	// Earlier releases wrote no token inputs. Such a token is kept until secretInputs changes.
	tokenChanged := secretChanged && annotations[annotationTokenInputs] != w.tokenInputs()
	switch {
	case tokenChanged:
		return time.Time{}, mint, "the request has changed"
	case annotations[annotationRotate] != w.set.Annotations[v1alpha1.AnnotationRotate]:
		return issued.Add(rotatePause), mint, "a rotation was requested"
	case !isAsWritten(secret) || issued.IsZero() || !expires.After(issued):
		return time.Time{}, repair, "the Secret was changed"
	case !grants(annotations[annotationGrant]):
		return issued.Add(grantLag), replace, "the grant is revoked"
	case secretChanged:
		return time.Time{}, repair, "the contents of the Secret are to change"
	}
	part := float64(ptr.Deref(w.set.Spec.Rotation.RefreshAtPercent, v1alpha1.DefaultRefreshAtPercent))
	part *= (1 - jitter*loop.Phase(w.set.UID+w.profile.UID)) / 100
	return issued.Add(time.Duration(part * float64(expires.Sub(issued)))), mint, "it is due"
}

// times returns when the credential in a Secret was issued, and when it expires; zero if the Secret
// does not say.
func times(secret *corev1.Secret) (issued, expires time.Time) {
	// A time that cannot be parsed is zero.
	issued, _ = time.Parse(time.RFC3339, secret.Annotations[annotationIssued])
	expires, _ = time.Parse(time.RFC3339, secret.Annotations[annotationExpires])
	return issued, expires
}
