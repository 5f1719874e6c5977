// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/ondemand"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/credentialset/format"
	"clusterpass.dev/pkg/rights"
	"clusterpass.dev/pkg/words"
)

// secretVerbs are the rights that the controller manager needs in a namespace with credentials.
var secretVerbs = []string{"get", "list", "watch", "create", "update", "delete"}

// errNotRead says that the Secrets of a namespace have not been read yet. Their events enqueue the
// set.
var errNotRead = errors.New("the Secrets of the namespace are not read yet")

// forbiddenError says that the controller manager may not write Secrets in a namespace, and how to
// allow it.
type forbiddenError struct {
	namespace string
	verbs     []string
}

// Error implements error.
func (e *forbiddenError) Error() string {
	return fmt.Sprintf("the controller manager may not %s Secrets in namespace %s. "+
		"To allow it: kubectl -n %s create rolebinding clusterpass-credential-sets --clusterrole=clusterpass:credential-sets "+
		"--serviceaccount=clusterpass-system:clusterpass-controller-manager", strings.Join(e.verbs, ", "), e.namespace, e.namespace)
}

// secrets watches the Secrets of sets, only in the namespaces that sets name. The cache has a
// digest instead of their content.
type secrets struct {
	hub       kubernetes.Interface
	informers *ondemand.Informers[corelisters.SecretNamespaceLister]
}

// newSecrets returns watches that call changed, and end with ctx.
func newSecrets(ctx context.Context, hub kubernetes.Interface, changed func(old, obj any)) *secrets {
	s := &secrets{hub: hub}
	s.informers = ondemand.New(ctx, s.open, cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { changed(nil, obj) }, UpdateFunc: changed, DeleteFunc: func(obj any) { changed(nil, obj) },
	}, errNotRead)
	return s
}

// watch starts to watch the Secrets of set. It returns an error until they have been read, and a
// forbiddenError if the controller manager lacks a right.
func (s *secrets) watch(ctx context.Context, set *v1alpha1.ClusterCredentialSet) error {
	_, err := s.informers.Start(ctx, credentialset.SecretName(set, "").Namespace)
	return err
}

// open returns an informer of the Secrets of sets in namespace, or a forbiddenError.
func (s *secrets) open(ctx context.Context, namespace string) (corelisters.SecretNamespaceLister, []cache.SharedIndexInformer, error) {
	missing, err := rights.Missing(ctx, s.hub,
		authorizationv1.ResourceAttributes{Namespace: namespace, Version: "v1", Resource: "secrets"}, secretVerbs...)
	if err != nil {
		return nil, nil, fmt.Errorf("namespace %s: %w", namespace, err)
	}
	if len(missing) > 0 {
		return nil, nil, &forbiddenError{namespace: namespace, verbs: missing}
	}
	factory := informers.NewSharedInformerFactoryWithOptions(s.hub, 0,
		informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = v1alpha1.LabelCredentialSetUID }),
		informers.WithTransform(withoutContent))
	informer := factory.Core().V1().Secrets()
	return informer.Lister().Secrets(namespace), []cache.SharedIndexInformer{informer.Informer()}, nil
}

// get returns a Secret without its content from the cache, or nil if no set has such a Secret.
func (s *secrets) get(set *v1alpha1.ClusterCredentialSet, cluster string) (*corev1.Secret, error) {
	name := credentialset.SecretName(set, cluster)
	lister, err := s.informers.Get(name.Namespace)
	if err != nil {
		return nil, err
	}
	secret, err := lister.Get(name.Name)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // a missing Secret is a valid result
	}
	return secret, err
}

// of returns the Secrets of set.
func (s *secrets) of(set *v1alpha1.ClusterCredentialSet) ([]*corev1.Secret, error) {
	return s.list(set, selectorOf(set))
}

// all returns the Secrets of all sets in the namespace of set's Secrets.
func (s *secrets) all(set *v1alpha1.ClusterCredentialSet) ([]*corev1.Secret, error) {
	return s.list(set, labels.Everything())
}

func (s *secrets) list(set *v1alpha1.ClusterCredentialSet, selector labels.Selector) ([]*corev1.Secret, error) {
	lister, err := s.informers.Get(credentialset.SecretName(set, "").Namespace)
	if err != nil {
		return nil, err
	}
	return lister.List(selector)
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
