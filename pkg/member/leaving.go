// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"cmp"
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// CauseLeaving is the type of the cause in the details of a Status that refuses a token for a
// member that is leaving.
const CauseLeaving metav1.CauseType = "MemberLeaving"

// Leaving says that a member is being taken out of the hub: its Secret has LeavingAnnotation.
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

// leavingOf returns what the Secret of a member says.
func leavingOf(secret *corev1.Secret) *Leaving {
	value, ok := secret.Annotations[LeavingAnnotation]
	if !ok {
		return nil
	}
	since, _ := time.Parse(time.RFC3339, value) // what can't be parsed is zero
	return &Leaving{Since: since}
}

// CachedLeaving returns nil, but for a profile whose member is being taken out of the hub, by its
// Secret as of the last event. It calls nobody. A member that is not reached by a kubeconfig in a
// Secret never is, nor one that there is no access to.
func (p *Pool) CachedLeaving(profile *inventoryv1alpha1.ClusterProfile) *Leaving {
	return p.leaving(profile, p.cachedSecret)
}

// StoredLeaving is CachedLeaving by the Secret as it is stored.
func (p *Pool) StoredLeaving(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) *Leaving {
	return p.leaving(profile, p.by(ctx, p.stored))
}

// LiveLeaving is CachedLeaving by the Secret as it is stored now, at once. Where there is no access
// to the member any more, or it is not known, its error is that of Stored.
func (p *Pool) LiveLeaving(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*Leaving, error) {
	provider, _, source, err := p.source(profile, p.by(ctx, p.live))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, p.noAccess(ctx, keyOf(profile), provider, err)
	}
	return source.leaving, nil
}

func (p *Pool) leaving(profile *inventoryv1alpha1.ClusterProfile, get getSecret) *Leaving {
	_, _, source, err := p.source(profile, get)
	if err != nil {
		return nil
	}
	return source.leaving
}

// OnLeaving has changed called with the name of a ClusterProfile whose member begins to leave the
// hub, or stays after all. It is called before Run.
func (s *SecretInformers) OnLeaving(changed func(profile cache.ObjectName)) error {
	// tell is about the Secrets before and after an event; nil stands for none.
	tell := func(before, after *corev1.Secret) {
		of := cmp.Or(after, before)
		if (before != nil && leavingOf(before) != nil) == (after != nil && leavingOf(after) != nil) {
			return
		}
		if name, err := cache.ParseObjectName(of.Annotations[ClusterProfileAnnotation]); err == nil {
			changed(name)
		}
	}
	secretOf := func(obj any) *corev1.Secret {
		if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = tombstone.Obj
		}
		secret, _ := obj.(*corev1.Secret)
		return secret
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { tell(nil, secretOf(obj)) },
		UpdateFunc: func(old, obj any) { tell(secretOf(old), secretOf(obj)) },
		DeleteFunc: func(obj any) { tell(secretOf(obj), nil) },
	}
	for namespace, secrets := range s.namespaces {
		if _, err := secrets.informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watching the Secrets of namespace %s: %w", namespace, err)
		}
	}
	return nil
}
