// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

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
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/credentialset/format"
	"clusterpass.dev/pkg/rights"
	"clusterpass.dev/pkg/words"
)

// secretVerbs are the rights that the controller manager needs in a namespace with credentials.
var secretVerbs = []string{"get", "list", "watch", "create", "update", "delete"}

// errNotRead says that the Secrets of a namespace have not been read yet. Their events enqueue the set.
var errNotRead = errors.New("the Secrets of the namespace are not read yet")

// forbiddenError says that the controller manager may not write Secrets in a namespace, and how to allow it.
type forbiddenError struct {
	namespace string
	verbs     []string
}

// Error implements error.
func (e *forbiddenError) Error() string {
	return fmt.Sprintf("the controller manager may not %s Secrets in namespace %s. To allow it: kubectl -n %s create rolebinding clusterpass-credential-sets "+
		"--clusterrole=clusterpass:credential-sets --serviceaccount=clusterpass-system:clusterpass-controller-manager",
		strings.Join(e.verbs, ", "), e.namespace, e.namespace)
}

// secrets watches the Secrets of sets, only in the namespaces that sets name. The cache has a
// digest instead of their content.
type secrets struct {
	hub     kubernetes.Interface
	ctx     context.Context //nolint:containedctx // That of Run: informers live as long.
	changed func(old, obj any)

	mu         sync.Mutex
	namespaces map[string]*watched
}

// watched are the Secrets of one namespace.
type watched struct {
	lister corelisters.SecretNamespaceLister
	synced cache.InformerSynced
}

func newSecrets(hub kubernetes.Interface) *secrets {
	return &secrets{hub: hub, namespaces: map[string]*watched{}}
}

// run sets the context and the handler of watches, which end with ctx.
func (s *secrets) run(ctx context.Context, changed func(old, obj any)) {
	s.ctx, s.changed = ctx, changed
}

// watch starts to watch the Secrets of set. It returns an error until they have been read, and a
// forbiddenError if the controller manager lacks a right.
func (s *secrets) watch(ctx context.Context, set *v1alpha1.ClusterCredentialSet) error {
	namespace := credentialset.SecretName(set, "").Namespace
	s.mu.Lock()
	known := s.namespaces[namespace]
	s.mu.Unlock()
	if known == nil {
		if err := s.allowed(ctx, namespace); err != nil {
			return err
		}
		known = s.start(namespace)
	}
	if !known.synced() {
		return errNotRead
	}
	return nil
}

// allowed reviews the rights first, because an informer without rights would retry for ever.
func (s *secrets) allowed(ctx context.Context, namespace string) error {
	missing, err := rights.Missing(ctx, s.hub, authorizationv1.ResourceAttributes{Namespace: namespace, Version: "v1", Resource: "secrets"}, secretVerbs...)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", namespace, err)
	}
	if len(missing) > 0 {
		return &forbiddenError{namespace: namespace, verbs: missing}
	}
	return nil
}

func (s *secrets) start(namespace string) *watched {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.namespaces[namespace]; known != nil {
		return known
	}
	factory := informers.NewSharedInformerFactoryWithOptions(s.hub, 0,
		informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(options *metav1.ListOptions) { options.LabelSelector = v1alpha1.LabelCredentialSetUID }),
		informers.WithTransform(withoutContent))
	informer := factory.Core().V1().Secrets()
	started := &watched{lister: informer.Lister().Secrets(namespace)}
	registration, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { s.changed(nil, obj) }, UpdateFunc: s.changed, DeleteFunc: func(obj any) { s.changed(nil, obj) },
	})
	if err != nil {
		// AddEventHandler fails only for stopped informers.
		started.synced = func() bool { return false }
		return started
	}
	started.synced = registration.HasSynced
	s.namespaces[namespace] = started
	factory.StartWithContext(s.ctx)
	return started
}

// get returns a Secret without its content from the cache, or nil if no set has such a Secret.
func (s *secrets) get(set *v1alpha1.ClusterCredentialSet, cluster string) (*corev1.Secret, error) {
	name := credentialset.SecretName(set, cluster)
	s.mu.Lock()
	known := s.namespaces[name.Namespace]
	s.mu.Unlock()
	if known == nil || !known.synced() {
		return nil, errNotRead
	}
	secret, err := known.lister.Get(name.Name)
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
	s.mu.Lock()
	known := s.namespaces[credentialset.SecretName(set, "").Namespace]
	s.mu.Unlock()
	if known == nil || !known.synced() {
		return nil, errNotRead
	}
	return known.lister.List(selector)
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
