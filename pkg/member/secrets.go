// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/profiles"
	"clusterpass.dev/pkg/sharedread"
)

const (
	// KubeconfigLabel is the label, with the value "true", of Secrets that hold the
	// kubeconfig of a member.
	KubeconfigLabel = "clusterpass.dev/member-kubeconfig"
	// ClusterProfileAnnotation names, as NAMESPACE/NAME, the ClusterProfile that such a Secret is for.
	// A member may have several, separated by commas.
	ClusterProfileAnnotation = "clusterpass.dev/cluster-profile"
	// KeyAnnotation names the key of such a Secret that is for that ClusterProfile. A Secret with
	// several keys needs it if the profile uses another key than "kubeconfig".
	KeyAnnotation = "clusterpass.dev/kubeconfig-key"
	// ContextAnnotation is the same for the context of the kubeconfig, if the profile uses another
	// than the current one.
	ContextAnnotation = "clusterpass.dev/kubeconfig-context"
	// LeavingAnnotation says that the member is being removed from the hub: nobody gets a token for
	// it any more. Its value is the time since when, in RFC 3339. `kubectl clusterpass unjoin` sets
	// it, and `kubectl clusterpass join` removes it.
	LeavingAnnotation = "clusterpass.dev/leaving"
	// LeavingProfilesAnnotation names those ClusterProfiles of a Secret that nobody gets a token for
	// any more, while the member stays for the others. It is written as ClusterProfileAnnotation is,
	// by the same commands as LeavingAnnotation, which is for all of them.
	LeavingProfilesAnnotation = "clusterpass.dev/leaving-profiles"
	// LabelJoinedBy is the label of objects that join creates on a member. Its value is the ID of
	// the hub. Objects of grants have another label, clusterpass.dev/hub-id: a hub deletes objects
	// with that label that belong to no grant.
	LabelJoinedBy = "clusterpass.dev/joined-by"
	// LabelCreatedBy is the same label for a namespace that join has created.
	LabelCreatedBy = "clusterpass.dev/created-by-join"
	// MemberUIDAnnotation is set by `kubectl clusterpass join` on the hub's objects for a member. Its
	// value is the UID of the member's namespace kube-system.
	MemberUIDAnnotation = "clusterpass.dev/member-uid"
	// CredentialSecret is the name of the Secret on a member that the tokens of clusterpass's own
	// ServiceAccount there are bound to, in the account's namespace. It has no data. Deleting it ends
	// all these tokens. clusterpass renews a credential only if it is bound to this Secret.
	CredentialSecret = "clusterpass-credential"

	labelled = "true"
)

// Secrets are the Secrets that hold the kubeconfigs of members.
type Secrets interface {
	// Get returns a Secret, which the caller must not change. Its error satisfies
	// apierrors.IsNotFound if there is none.
	Get(namespace, name string) (*corev1.Secret, error)
	// Of returns the Secrets that name a ClusterProfile, by namespace and name. The caller must not
	// change them.
	Of(namespace, name string) ([]*corev1.Secret, error)
}

// SecretInformers cache the Secrets of the configured namespaces that have KubeconfigLabel, and
// what leads to the clusters of other platforms. A lookup costs no call to the hub.
type SecretInformers struct {
	hub        kubernetes.Interface
	metadata   metadata.Interface
	namespaces map[string]coreinformers.SecretIndexInformer
	stored     *sharedread.Reader[types.NamespacedName, *corev1.Secret]
	listed     *sharedread.Reader[string, []metav1.PartialObjectMetadata]
	platforms  *platforms
}

var _ Secrets = (*SecretInformers)(nil)

// NewSecretInformers returns informers for the Secrets that config allows; Run starts them. hub and
// metadata, two clients for the hub, need the rights to get, list and watch Secrets in these
// namespaces and nowhere else, and objects, a third, needs those on Karmada's Clusters if config
// has these read. metadata may be nil if nobody calls StoredOf.
func NewSecretInformers(
	hub kubernetes.Interface, metadata metadata.Interface, objects dynamic.Interface, config *configv1alpha1.AccessConfiguration,
) *SecretInformers {
	s := &SecretInformers{
		hub: hub, metadata: metadata, namespaces: map[string]coreinformers.SecretIndexInformer{},
		platforms: newPlatforms(hub, objects, config),
	}
	s.stored = sharedread.NewReader(clock.RealClock{}, s.read)
	s.listed = sharedread.NewReader(clock.RealClock{}, s.list)
	for _, namespace := range SecretNamespaces(config) {
		secrets := coreinformers.NewTypedFilteredSecretInformer(hub, namespace, 0, coreinformers.SecretIndexers{profileIndex: indexed}, withLabel)
		utilruntime.Must(secrets.SetTransform(profiles.WithoutManagedFields))
		s.namespaces[namespace] = secrets
	}
	return s
}

func withLabel(options *metav1.ListOptions) { options.LabelSelector = KubeconfigLabel + "=" + labelled }

// profileIndex indexes Secrets by the ClusterProfiles that they name.
const profileIndex = "clusterProfile"

func indexed(secret *corev1.Secret) ([]string, error) {
	profiles := SecretProfiles(secret)
	names := make([]string, len(profiles))
	for i := range profiles {
		names[i] = profiles[i].String()
	}
	return names, nil
}

// Run watches until ctx ends. It returns when all informers have stopped.
func (s *SecretInformers) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, secrets := range s.namespaces {
		running.Go(func() { secrets.RunWithContext(Quiet(ctx)) })
	}
	s.platforms.run(ctx, &running)
	<-ctx.Done()
	running.Wait()
}

// Synced returns whether the informers of the kubeconfigs of all namespaces have synced.
func (s *SecretInformers) Synced() bool {
	for _, secrets := range s.namespaces {
		if !secrets.HasSynced() {
			return false
		}
	}
	return true
}

// Get returns a Secret from the cache. A Secret without KubeconfigLabel, or outside the configured
// namespaces, is not found, unless it is one of another platform.
func (s *SecretInformers) Get(namespace, name string) (*corev1.Secret, error) {
	secrets, ok := s.namespaces[namespace]
	if !ok {
		return s.platforms.get(namespace, name)
	}
	if !secrets.HasSynced() {
		return nil, fmt.Errorf("the Secrets of namespace %s are not read yet", namespace)
	}
	found, err := corelisters.NewSecretLister(secrets.GetIndexer()).Secrets(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return s.platforms.get(namespace, name)
	}
	return found, err
}

// Of returns the Secrets in the cache that name a ClusterProfile, in order.
func (s *SecretInformers) Of(namespace, name string) ([]*corev1.Secret, error) {
	var all []*corev1.Secret
	for _, in := range slices.Sorted(maps.Keys(s.namespaces)) {
		if !s.namespaces[in].HasSynced() {
			return nil, fmt.Errorf("the Secrets of namespace %s are not read yet", in)
		}
		found, err := s.namespaces[in].GetTypedIndexer().ByTypedIndex(profileIndex, namespace+"/"+name)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(found, func(a, b *corev1.Secret) int { return strings.Compare(a.Name, b.Name) })
		all = append(all, found...)
	}
	return all, nil
}

// StoredOf returns the Secrets that name a ClusterProfile, as the hub stores them now, unless the
// cache has exactly one. It is for callers that are about to refuse something for want of one.
// Callers share the list, and may wait for up to sharedread.Interval.
func (s *SecretInformers) StoredOf(ctx context.Context, namespace, name string) ([]metav1.Object, error) {
	cached, err := s.Of(namespace, name)
	if err == nil && len(cached) == 1 {
		return []metav1.Object{cached[0]}, nil
	}
	var all []metav1.Object
	for _, in := range slices.Sorted(maps.Keys(s.namespaces)) {
		listed, err := s.listed.Get(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("the Secrets of namespace %s can't be listed: %w", in, err)
		}
		for i := range listed {
			if IsSecretOf(&listed[i], namespace, name) {
				all = append(all, &listed[i])
			}
		}
	}
	return all, nil
}

// list reads the metadata of the Secrets with kubeconfigs in a namespace, in order.
func (s *SecretInformers) list(ctx context.Context, namespace string) ([]metav1.PartialObjectMetadata, error) {
	var options metav1.ListOptions
	withLabel(&options)
	list, err := s.metadata.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).Namespace(namespace).List(ctx, options)
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// Stored returns what Get returns, as the hub stores it now. It is for callers that are about to
// refuse something because of the result of Get. Callers share the read, and may wait for up to
// sharedread.Interval.
func (s *SecretInformers) Stored(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	return s.readBy(ctx, s.stored.Get, namespace, name)
}

// Live returns what Stored returns, without waiting and with a read of its own. It is for callers
// that have made a change and must know whether other requests could still miss it.
func (s *SecretInformers) Live(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	return s.readBy(ctx, s.read, namespace, name)
}

func (s *SecretInformers) read(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	return s.hub.CoreV1().Secrets(name.Namespace).Get(Quiet(ctx), name.Name, metav1.GetOptions{})
}

func (s *SecretInformers) readBy(
	ctx context.Context, read func(context.Context, types.NamespacedName) (*corev1.Secret, error), namespace, name string,
) (*corev1.Secret, error) {
	notFound := apierrors.NewNotFound(corev1.Resource("secrets"), name)
	// A user who edits a ClusterProfile's status chooses the name. An invalid name is not sent to
	// the hub.
	platform := s.platforms.reads(namespace)
	if _, ok := s.namespaces[namespace]; !ok && !platform || len(validation.NameIsDNSSubdomain(name, false)) > 0 {
		return nil, notFound
	}
	secret, err := read(ctx, types.NamespacedName{Namespace: namespace, Name: name})
	if err == nil && !platform && secret.Labels[KubeconfigLabel] != labelled {
		return nil, notFound
	}
	return secret, err
}

// OnChange has changed called with the name of a ClusterProfile whose Secret was made, deleted, or
// changed in what gives access, or its Cluster of Karmada: a member may begin to leave the hub, or
// be reached in another way. It is not called for those that are there at first, unless the member
// is leaving. OnChange is called before Run.
func (s *SecretInformers) OnChange(changed func(profile cache.ObjectName)) error {
	call := func(secrets ...*corev1.Secret) {
		names := sets.New[types.NamespacedName]()
		for _, secret := range secrets {
			names.Insert(SecretProfiles(secret)...)
		}
		for name := range names {
			changed(cache.NamespacedNameAsObjectName(name))
		}
	}
	handler := coreinformers.SecretDetailedHandlerFuncs{
		AddFunc: func(added *corev1.Secret, initial bool) {
			if !initial || isMarked(added) {
				call(added)
			}
		},
		UpdateFunc: func(old, updated *corev1.Secret) {
			if !equality.Semantic.DeepEqual(old.Annotations, updated.Annotations) || !equality.Semantic.DeepEqual(old.Data, updated.Data) {
				call(old, updated)
			}
		},
		DeleteFunc: func(deleted coreinformers.DeletedSecret) {
			if deleted.OptionalObj != nil {
				call(deleted.OptionalObj)
			}
		},
	}
	for namespace, secrets := range s.namespaces {
		if _, err := secrets.AddTypedEventHandler(handler); err != nil {
			return fmt.Errorf("watching the Secrets of namespace %s: %w", namespace, err)
		}
	}
	return s.platforms.onChange(changed)
}

// CauseLeaving is the type of the cause in the details of a Status that refuses a token for a
// member that is leaving.
const CauseLeaving metav1.CauseType = "MemberLeaving"

// Leaving says that a ClusterProfile is being taken out of the hub, with or without its member: the
// Secret has LeavingAnnotation, or names the profile in LeavingProfilesAnnotation.
type Leaving struct {
	// Since is when that began; zero if the annotation does not say.
	Since time.Time
}

// String says it for users.
func (l *Leaving) String() string {
	since := ""
	if !l.Since.IsZero() {
		since = ", since " + l.Since.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("the cluster is leaving this hub%s: `kubectl clusterpass unjoin` is removing it; to keep it, join it again", since)
}

// isMarked returns whether a ClusterProfile of a Secret is leaving.
func isMarked(secret *corev1.Secret) bool {
	return slices.ContainsFunc(SecretProfiles(secret), func(of types.NamespacedName) bool {
		return LeavingOf(secret, of.Namespace, of.Name) != nil
	})
}

// LeavingOf returns the mark of a ClusterProfile in the Secret that has its kubeconfig, or nil.
func LeavingOf(secret metav1.Object, namespace, name string) *Leaving {
	if value, ok := secret.GetAnnotations()[LeavingAnnotation]; ok {
		since, _ := time.Parse(time.RFC3339, value) // what can't be parsed is zero
		return &Leaving{Since: since}
	}
	if slices.Contains(LeavingProfiles(secret), types.NamespacedName{Namespace: namespace, Name: name}) {
		return &Leaving{}
	}
	return nil
}

// MendCredential returns a sentence that says how to give clusterpass a new credential for the
// cluster of profile. For a joined cluster, it is a command for somebody who has a context for that
// cluster.
func MendCredential(profile *inventoryv1alpha1.ClusterProfile) string {
	again := fmt.Sprintf("kubectl clusterpass join %s --namespace=%s --credential-only --member-context=CONTEXT",
		profile.Name, profile.Namespace)
	switch {
	case IsImported(profile):
		return "Have its platform put a new credential into the Secret"
	case profile.Annotations[MemberUIDAnnotation] == "": // adopted, or joined by hand
		return "Put a new kubeconfig into its Secret on the hub; or, if join has made that, run: " + again
	default:
		return "Run: " + again
	}
}
