// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/ondemand"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/credentialset/format"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/rights"
	"clusterpass.dev/pkg/words"
)

// secretVerbs are the rights that the controller manager needs in a namespace with credentials.
var secretVerbs = []string{"get", "list", "watch", "create", "update", "delete"}

// forbiddenError says that the controller manager may not write Secrets in a namespace, and how to
// allow it.
type forbiddenError struct{ error }

// newSecrets returns informers of the Secrets of sets, which end with ctx. They run only in the
// namespaces that sets name. The cache has a digest instead of the content.
func (c *Controller) newSecrets(ctx context.Context) *ondemand.Informers[corelisters.SecretNamespaceLister] {
	changed := loop.Typed(func(secret *corev1.Secret) { c.secretChanged(&corev1.Secret{}, secret) })
	return ondemand.New(ctx, c.openSecrets, cache.ResourceEventHandlerFuncs{
		AddFunc: changed, UpdateFunc: typedUpdate(c.secretChanged), DeleteFunc: changed,
	}, errors.New("the Secrets of the namespace are not read yet"))
}

// openSecrets returns an informer of the Secrets of sets in namespace, or a forbiddenError if the
// controller manager lacks a right.
func (c *Controller) openSecrets(
	ctx context.Context, namespace string,
) (corelisters.SecretNamespaceLister, []cache.SharedIndexInformer, error) {
	missing, err := rights.Missing(ctx, c.Hub,
		authorizationv1.ResourceAttributes{Namespace: namespace, Version: "v1", Resource: "secrets"}, secretVerbs...)
	if err != nil {
		return nil, nil, fmt.Errorf("namespace %s: %w", namespace, err)
	}
	if len(missing) > 0 {
		return nil, nil, forbiddenError{fmt.Errorf("the controller manager may not %s Secrets in namespace %s. "+
			"To allow it: kubectl -n %s create rolebinding clusterpass-credential-sets --clusterrole=clusterpass:credential-sets "+
			"--serviceaccount=clusterpass-system:clusterpass-controller-manager", strings.Join(missing, ", "), namespace, namespace)}
	}
	factory := informers.NewSharedInformerFactoryWithOptions(c.Hub, 0,
		informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = v1alpha1.LabelCredentialSetUID }),
		informers.WithTransform(withoutContent))
	informer := factory.Core().V1().Secrets()
	return informer.Lister().Secrets(namespace), []cache.SharedIndexInformer{informer.Informer()}, nil
}

// withoutContent replaces the content of a Secret by a digest. It keeps the server and name for
// Argo CD, which are not secret. It may be called twice for the same object.
func withoutContent(object any) (any, error) {
	secret, ok := object.(*corev1.Secret)
	if !ok || secret.Data == nil && secret.Annotations[annotationFound] != "" {
		return object, nil
	}
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	secret.Annotations[annotationFound] = found(secret)
	delete(secret.Annotations, annotationServer)
	delete(secret.Annotations, annotationName)
	if secret.Labels[format.ArgoCDTypeLabel] == format.ArgoCDCluster {
		secret.Annotations[annotationServer] = words.Message(format.ArgoCDServer(string(secret.Data[format.ArgoCDServerKey])))
		secret.Annotations[annotationName] = words.Message(string(secret.Data[format.ArgoCDNameKey]))
	}
	secret.Data, secret.ManagedFields = nil, nil
	return secret, nil
}

// secretNamespace returns the namespace of the Secrets of set.
func secretNamespace(set *v1alpha1.ClusterCredentialSet) string {
	return credentialset.SecretName(set, "").Namespace
}

// cachedSecret returns a Secret without its content from the cache, or nil if no set has such a
// Secret.
func (c *Controller) cachedSecret(set *v1alpha1.ClusterCredentialSet, cluster string) (*corev1.Secret, error) {
	name := credentialset.SecretName(set, cluster)
	lister, err := c.secrets.Get(name.Namespace)
	if err != nil {
		return nil, err
	}
	secret, err := lister.Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // a missing Secret is a valid result
	}
	return secret, err
}

// cachedSecrets returns the Secrets in the namespace of set's Secrets, without their content.
func (c *Controller) cachedSecrets(set *v1alpha1.ClusterCredentialSet, selector labels.Selector) ([]*corev1.Secret, error) {
	lister, err := c.secrets.Get(secretNamespace(set))
	if err != nil {
		return nil, err
	}
	return lister.List(selector)
}

// storedSecret returns the Secret without the cache, nil if there is none. One that is not the
// set's is an error.
func (c *Controller) storedSecret(ctx context.Context, want *wanted) (*corev1.Secret, error) {
	name := want.name()
	secret, err := c.Hub.CoreV1().Secrets(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // that it is not there is an answer
	case err != nil:
		return nil, err
	case !credentialset.Owns(want.set, secret):
		return nil, secretConflict(name, fmt.Sprintf("is not this set's, and is left alone: it has no label %s=%s. "+
			"Delete it, or choose another spec.secret.name in another set", v1alpha1.LabelCredentialSetUID, want.set.UID))
	case ptr.Deref(secret.Immutable, false):
		return nil, secretConflict(name, "is immutable: delete it, and it is created again")
	}
	return secret, nil
}

// secretConflict is the error for a Secret that cannot be written.
func secretConflict(name types.NamespacedName, why string) error {
	return apierrors.NewConflict(corev1.Resource("secrets"), name.Name, fmt.Errorf("the Secret in namespace %s %s", name.Namespace, why))
}

// clockSkew is how far the time at which a token was requested may be from when the member says
// that it has issued it.
const clockSkew = 5 * time.Minute

// token is a token in a Secret.
type token struct {
	value           string
	issued, expires time.Time
}

// writtenToken returns the token that was written into a Secret, if it is still there and valid.
// The token is read rather than the annotations about its times, which may have been changed.
func (c *Controller) writtenToken(secret *corev1.Secret) token {
	if secret == nil || secret.Annotations[annotationToken] == "" {
		return token{}
	}
	for _, value := range format.Tokens(secret.Data) {
		if value == "" || digest(value) != secret.Annotations[annotationToken] {
			continue
		}
		issued, expires := times(secret)
		if says := member.TokenValidity(value); !says.NotAfter.IsZero() && !says.NotBefore.IsZero() {
			expires = says.NotAfter
			if issued.Sub(says.NotBefore).Abs() > clockSkew {
				issued = says.NotBefore
			}
		}
		if issued.IsZero() || !expires.After(c.Clock.Now()) {
			return token{}
		}
		return token{value, issued, expires}
	}
	return token{}
}

// secret returns the Secret for an answer whose token was issued at a time.
func (w *wanted) secret(answer *multiclusterv1alpha1.AuthTokenRequest, issued time.Time) (*corev1.Secret, error) {
	if answer.Status.ExpirationTimestamp == nil {
		return nil, errors.New("the answer does not say when the token expires")
	}
	spec, name := &w.set.Spec.Secret, w.name()
	rendered, err := format.Render(spec.Format, format.Credential{
		Cluster: w.profile.Name, Namespace: answer.Spec.ServiceAccountNamespace, Status: answer.Status, ArgoCD: w.argoCD(),
	})
	if err != nil {
		return nil, err
	}
	annotations := labels.Merge(spec.Annotations, labels.Set{
		annotationCluster:      w.profile.Name,
		annotationClusterUID:   string(w.profile.UID),
		annotationIssued:       issued.UTC().Format(time.RFC3339),
		annotationExpires:      answer.Status.ExpirationTimestamp.UTC().Format(time.RFC3339),
		annotationGrant:        answer.Status.GrantName,
		annotationSecretInputs: w.secretInputs(),
		annotationTokenInputs:  w.tokenInputs(),
		annotationContent:      digest(rendered.Data),
		annotationToken:        digest(answer.Status.Token),
	})
	if value := w.set.Annotations[v1alpha1.AnnotationRotate]; value != "" {
		annotations[annotationRotate] = value
	}
	// The keys that the consumer reads win over what the set says.
	secretLabels := labels.Merge(spec.Labels, rendered.Labels)
	secretLabels[v1alpha1.LabelCredentialSetUID] = string(w.set.UID)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, Labels: secretLabels, Annotations: annotations},
		Type:       rendered.Type,
		Data:       rendered.Data,
	}
	return secret, note(secret)
}

// store writes the Secret for an answer over current, which is nil if there is none. What others
// change in it meanwhile stays, and causes no other token.
func (c *Controller) store(
	ctx context.Context, want *wanted, current *corev1.Secret, answer *multiclusterv1alpha1.AuthTokenRequest, issued time.Time,
) (made *corev1.Secret, err error) {
	next, err := want.secret(answer, issued)
	if err != nil {
		return nil, err
	}
	secrets := c.Hub.CoreV1().Secrets(next.Namespace)
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		// Not the first attempt: it has ended with a conflict.
		if made != nil {
			if current, err = c.storedSecret(ctx, want); err != nil {
				return err
			}
		}
		made = next
		if current == nil {
			made, err = secrets.Create(ctx, next, metav1.CreateOptions{})
			return err
		}
		merged := merge(current, next)
		if equality.Semantic.DeepEqual(merged, current) {
			made = current
			return nil
		}
		made, err = secrets.Update(ctx, merged, metav1.UpdateOptions{})
		return err
	})
	if apierrors.IsAlreadyExists(err) {
		return nil, secretConflict(want.name(), "was made by somebody else just now")
	}
	return made, err
}
